// Writing heads from parsed ones: kept fields are copied in runs, ours are put at the end.
import { CONNECTION, type Head, HOP_BY_HOP, HOST, KEEP_ALIVE, NOMINATED, OPTIONS, OURS, UPGRADE } from "./head.ts";

/** Fields that end at each hop (RFC 9110 section 7.6.1), and what only the mesh may say. */
const DROPPED =
  (1 << CONNECTION) | (1 << HOP_BY_HOP) | (1 << KEEP_ALIVE) | (1 << NOMINATED) | (1 << OURS) | (1 << UPGRADE);
const DROPPED_WITH_HOST = DROPPED | (1 << HOST);

const VERSION = Buffer.from(" HTTP/1.1\r\n", "latin1");
const STATUS_VERSION = Buffer.from("HTTP/1.1", "latin1");
const CONNECTION_CLOSE = Buffer.from("connection: close\r\n", "latin1");
const CONNECTION_UPGRADE = Buffer.from("connection: upgrade\r\n", "latin1");
const KEEP = Buffer.from("connection: keep-alive\r\n", "latin1");
const NO_LINES = Buffer.alloc(0);
const HOST_FIELD = Buffer.from("host: ", "latin1");

/** Copies `b[start, end)` to `out` at `o`; returns the index after it. Short runs cost less in a loop. */
export function put(out: Buffer, o: number, b: Uint8Array, start: number, end: number): number {
  if (end - start > 96) {
    out.set(b.subarray(start, end), o);
    return o + end - start;
  }
  let to = o;
  for (let i = start; i < end; i++) out[to++] = b[i] as number;
  return to;
}

function putAll(out: Buffer, o: number, b: Uint8Array): number {
  return put(out, o, b, 0, b.length);
}

function endLine(out: Buffer, o: number): number {
  out[o] = 13;
  out[o + 1] = 10;
  return o + 2;
}

/** Copies the fields whose kind is not in the bit set `dropped`, in order. */
function putFields(head: Head, b: Uint8Array, out: Buffer, o: number, dropped: number): number {
  if ((head.present & dropped) === 0) return put(out, o, b, head.fieldsStart, head.fieldsEnd);
  const { kinds, at, count } = head;
  let to = o;
  let runStart = head.fieldsStart;
  for (let f = 0; f < count; f++) {
    if (((dropped >>> (kinds[f] as number)) & 1) === 0) continue;
    const lineStart = at[f * 4] as number;
    if (lineStart > runStart) to = put(out, to, b, runStart, lineStart);
    runStart = f + 1 < count ? (at[f * 4 + 4] as number) : head.fieldsEnd;
  }
  return head.fieldsEnd > runStart ? put(out, to, b, runStart, head.fieldsEnd) : to;
}

export interface RequestRewrite {
  /** Part of the target to send; equal to the head's target for origin-form. */
  targetStart: number;
  targetEnd: number;
  /** Sent in place of the target that came: a rule changed the path. */
  target: Buffer | undefined;
  /** Sent in place of the Host field that came: for absolute-form (RFC 9112 section 3.2.2). */
  host: Buffer | undefined;
  /** Whole field lines, each with CRLF: a rule's, then the mesh's. */
  lines: Buffer;
  added: Buffer;
}

/** Room that `writeRequestHead` needs at most for a head that came in `headBytes`. */
export function writtenHeadBytes(headBytes: number, how: RequestRewrite): number {
  const { host, lines, added, target, targetStart, targetEnd } = how;
  const changes = (target?.length ?? 0) + (host?.length ?? 0) + lines.length + added.length;
  return headBytes + (targetEnd - targetStart) + changes + 64;
}

/** Writes the request on to the next hop; returns the index after its head. */
export function writeRequestHead(head: Head, b: Uint8Array, out: Buffer, from: number, how: RequestRewrite): number {
  let o = put(out, from, b, head.start, head.methodEnd);
  out[o++] = 32;
  if (how.target !== undefined) o = putAll(out, o, how.target);
  // Of a URL without path OPTIONS means the server as a whole (RFC 9112 section 3.2.4).
  else if (how.targetStart === how.targetEnd) out[o++] = head.method === OPTIONS ? 42 : 47;
  else {
    // `http://host?query` has an empty path, which is sent as "/" (RFC 9112 section 3.2.1).
    if (b[how.targetStart] === 63) out[o++] = 47;
    o = put(out, o, b, how.targetStart, how.targetEnd);
  }
  o = putAll(out, o, VERSION);
  // A 1.0 client could not read a chunked answer, so the version goes on as it came.
  if (head.minor === 0) out[o - 3] = 48;
  let dropped = DROPPED;
  if (how.host !== undefined) {
    dropped = DROPPED_WITH_HOST;
    o = endLine(out, putAll(out, putAll(out, o, HOST_FIELD), how.host));
  }
  if (head.upgrade) dropped &= ~(1 << UPGRADE);
  o = putFields(head, b, out, o, dropped);
  if (head.upgrade) o = putAll(out, o, CONNECTION_UPGRADE);
  o = putAll(out, putAll(out, o, how.lines), how.added);
  return endLine(out, o);
}

/** What the answer says about the connection that it goes out on. */
export type Persistence = "keep" | "close" | "keep10" | "upgrade";

/** Whether a response's head is to go on byte for byte as it came; parameters as of `writeResponseHead`. */
export function goesAsItCame(head: Head, persistence: Persistence, ours: boolean, lines: Buffer): boolean {
  const dropped = ours ? DROPPED & ~(1 << OURS) : DROPPED;
  return persistence === "keep" && (head.present & dropped) === 0 && head.minor === 1 && lines.length === 0;
}

/**
 * Writes the response on to the client; returns the index after its head. `ours` lets x-causeway-* fields through:
 * only where the sender is a proxy of the mesh. `lines`: whole field lines to be
 * added.
 */
export function writeResponseHead(
  head: Head,
  b: Uint8Array,
  out: Buffer,
  from: number,
  persistence: Persistence,
  ours: boolean,
  lines: Buffer = NO_LINES,
): number {
  let dropped = DROPPED;
  // 426 says in Upgrade what it asks for.
  const upgrade = persistence === "upgrade" || (head.status === 426 && (head.present & (1 << UPGRADE)) !== 0);
  if (upgrade) dropped &= ~(1 << UPGRADE);
  if (ours) dropped &= ~(1 << OURS);
  let o = putAll(out, from, STATUS_VERSION);
  o = put(out, o, b, head.start + 8, head.fieldsStart);
  o = putAll(out, putFields(head, b, out, o, dropped), lines);
  if (persistence === "close") o = putAll(out, o, CONNECTION_CLOSE);
  else if (persistence === "keep10") o = putAll(out, o, KEEP);
  if (upgrade) o = putAll(out, o, CONNECTION_UPGRADE);
  return endLine(out, o);
}
