import {
  type Answer,
  AUTHORITATIVE_ANSWER,
  type DecodedPacket,
  decode,
  encode,
  type Packet,
  TRUNCATED_RESPONSE,
} from "dns-packet";
import { answer, RCODES } from "./answer.ts";
import type { Zone } from "./zone.ts";

/** Bytes of a query; ours are far shorter, and RFC 1035 lets a name have 255. */
export const MAX_QUERY_BYTES = 1_232;
/** Bytes of an answer over UDP, whatever the client can take: larger datagrams are fragmented (DNS flag day 2020). */
const MAX_UDP_BYTES = 1_232;
const MIN_UDP_BYTES = 512;
const MAX_TCP_BYTES = 65_535;
const HEADER_BYTES = 12;
const MAX_NAME_BYTES = 255;
const RECURSION_DESIRED = 0x0100;
const BAD_VERSION = 16;

/**
 * The response to one message, or undefined where silence is the only answer: responses, and what is too short to
 * have an id. Never throws; `bytes` may be anything.
 */
export function respond(bytes: Buffer, transport: "udp" | "tcp", zone: Zone): Buffer | undefined {
  if (bytes.length < HEADER_BYTES || (bytes.readUInt16BE(2) & 0x8000) !== 0) return undefined;
  const bare = (rcode: number) => bareResponse(bytes, rcode);
  if (((bytes.readUInt16BE(2) >> 11) & 15) !== 0) return bare(RCODES.notImplemented);
  if (bytes.length > MAX_QUERY_BYTES || bytes.readUInt16BE(4) !== 1) return bare(RCODES.formatError);
  // A query has one question and at most the OPT record; more could only keep us busy.
  if (bytes.readUInt16BE(6) !== 0 || bytes.readUInt16BE(8) !== 0 || bytes.readUInt16BE(10) > 2)
    return bare(RCODES.formatError);
  const question = readQuestion(bytes);
  if (question === undefined) return bare(RCODES.formatError);
  let query: DecodedPacket;
  try {
    query = decode(bytes);
  } catch {
    return bare(RCODES.formatError);
  }
  try {
    return answerQuery(query, question, transport, zone) ?? bare(RCODES.formatError);
  } catch {
    return bare(RCODES.serverFailure);
  }
}

interface RawQuestion {
  /** What cannot be in a name of ours reads "?". */
  readonly name: string;
  /** The section as it came: it goes back unchanged, odd bytes and mixed case included. */
  readonly bytes: Buffer;
}

/** The question section; undefined where it is malformed. Nothing stands before it that a pointer could mean. */
function readQuestion(bytes: Buffer): RawQuestion | undefined {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || length > 63) return undefined;
    at++;
    if (length === 0) break;
    labels.push(bytes.toString("latin1", at, at + length).replace(/[^A-Za-z0-9_-]/g, "?"));
    at += length;
  }
  const end = at + 4;
  if (at - HEADER_BYTES > MAX_NAME_BYTES || end > bytes.length) return undefined;
  return { name: labels.join("."), bytes: bytes.subarray(HEADER_BYTES, end) };
}

/** A packet without question, and that question put back into it; nothing in ours is compressed, so offsets may shift. */
function withQuestion(packet: Packet, question: RawQuestion): Buffer {
  const plain = encode(packet);
  const header = plain.subarray(0, HEADER_BYTES);
  header.writeUInt16BE(1, 4);
  return Buffer.concat([header, question.bytes, plain.subarray(HEADER_BYTES)]);
}

function answerQuery(query: DecodedPacket, raw: RawQuestion, transport: "udp" | "tcp", zone: Zone): Buffer | undefined {
  const [question] = query.questions ?? [];
  if (question === undefined) return undefined;
  const options = (query.additionals ?? []).filter((record) => record.type === "OPT");
  // RFC 6891 section 6.1.1
  if (options.length > 1) return undefined;
  const [edns] = options;
  const badVersion = edns?.type === "OPT" && edns.ednsVersion !== 0;
  const reply =
    badVersion || (question.class ?? "IN") !== "IN"
      ? { rcode: badVersion ? BAD_VERSION : RCODES.refused, answers: [], additionals: [], authorities: [] }
      : answer({ name: raw.name, type: question.type }, zone);
  const opt: Answer[] = edns === undefined ? [] : [optRecord(reply.rcode >> 4)];
  const flags = (query.flag_rd ? RECURSION_DESIRED : 0) | AUTHORITATIVE_ANSWER | (reply.rcode & 15);
  const base = { type: "response" as const, id: query.id ?? 0 };
  const whole = withQuestion(
    {
      ...base,
      flags: reply.rcode === RCODES.refused ? flags & ~AUTHORITATIVE_ANSWER : flags,
      answers: [...reply.answers],
      authorities: [...reply.authorities],
      additionals: [...reply.additionals, ...opt],
    },
    raw,
  );
  const limit = transport === "tcp" ? MAX_TCP_BYTES : udpLimit(edns);
  if (whole.length <= limit) return whole;
  // The hints go first; if that is not enough, the client asks again over TCP.
  const lean = withQuestion({ ...base, flags, answers: [...reply.answers], additionals: opt }, raw);
  if (lean.length <= limit) return lean;
  return withQuestion({ ...base, flags: flags | TRUNCATED_RESPONSE, additionals: opt }, raw);
}

function udpLimit(edns: Answer | undefined): number {
  const offered = edns?.type === "OPT" ? edns.udpPayloadSize : MIN_UDP_BYTES;
  return Math.min(MAX_UDP_BYTES, Math.max(MIN_UDP_BYTES, offered));
}

function optRecord(extendedRcode: number): Answer {
  return {
    type: "OPT",
    name: ".",
    udpPayloadSize: MAX_UDP_BYTES,
    extendedRcode,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
}

/** A response of a header only, for what cannot be understood. */
function bareResponse(bytes: Buffer, rcode: number): Buffer {
  const out = Buffer.alloc(HEADER_BYTES);
  bytes.copy(out, 0, 0, 2);
  const asked = bytes.readUInt16BE(2);
  out.writeUInt16BE(0x8000 | (asked & (0x7800 | RECURSION_DESIRED)) | rcode, 2);
  return out;
}
