// What header lists must and must not hold (RFC 9113 section 8), and what a proxy reads in them.
import { grpcTimeoutMs } from "./grpc-timeout.ts";
import type { Field } from "./hpack/field.ts";

export const OK = 0;
/** Breaks the rules: a stream error. */
export const MALFORMED = 1;

const PLAIN = 0;
const METHOD = 1;
const SCHEME = 2;
const AUTHORITY = 3;
const PATH = 4;
const PROTOCOL = 5;
const STATUS = 6;
const LAST_PSEUDO = STATUS;
const HOST = 7;
const CONTENT_LENGTH = 8;
const CONTENT_TYPE = 9;
const TE = 10;
/** Of a connection of HTTP/1.1 (section 8.2.2). */
const FORBIDDEN = 11;
const GRPC_STATUS = 12;
const GRPC_TIMEOUT = 13;

const KINDS: ReadonlyMap<string, number> = new Map([
  [":method", METHOD],
  [":scheme", SCHEME],
  [":authority", AUTHORITY],
  [":path", PATH],
  [":protocol", PROTOCOL],
  [":status", STATUS],
  ["host", HOST],
  ["content-length", CONTENT_LENGTH],
  ["content-type", CONTENT_TYPE],
  ["te", TE],
  ["connection", FORBIDDEN],
  ["keep-alive", FORBIDDEN],
  ["proxy-connection", FORBIDDEN],
  ["transfer-encoding", FORBIDDEN],
  ["upgrade", FORBIDDEN],
  ["grpc-status", GRPC_STATUS],
  ["grpc-timeout", GRPC_TIMEOUT],
]);

const COLON = 58;
const LETTER_X = 120;
const OURS = "x-causeway-";

function isOurs(name: string): boolean {
  return name.charCodeAt(0) === LETTER_X && name.startsWith(OURS);
}

/** A request's header list, as far as a proxy needs it; filled anew for each. */
export interface RequestInfo {
  method: string;
  /** Of `:authority`, else of `host`; "" where it has neither. */
  authority: string;
  path: string;
  /** Of an extended CONNECT (RFC 8441); "" otherwise. */
  protocol: string;
  /** -1 where it is not said. */
  contentLength: number;
  grpc: boolean;
  /** x-causeway-retries-left, undefined where it is not said; x-causeway-prefer, or "". */
  retriesLeft: number | undefined;
  prefer: string;
  /** What is left of x-causeway-deadline-ms and grpc-timeout, the lesser; undefined where neither is said. */
  deadlineMs: number | undefined;
}

export function createRequestInfo(): RequestInfo {
  return {
    method: "",
    authority: "",
    path: "",
    protocol: "",
    contentLength: -1,
    grpc: false,
    retriesLeft: undefined,
    deadlineMs: undefined,
    prefer: "",
  };
}

/** Reads and checks a request's header list, and takes x-causeway-* fields out of it. */
export function readRequest(fields: Field[], into: RequestInfo): typeof OK | typeof MALFORMED {
  let method: string | undefined;
  let scheme: string | undefined;
  let path: string | undefined;
  let authority: string | undefined;
  let protocol: string | undefined;
  let host: string | undefined;
  into.contentLength = -1;
  into.grpc = false;
  into.retriesLeft = undefined;
  into.deadlineMs = undefined;
  into.prefer = "";
  let pseudo = true;
  let kept = 0;
  for (const each of fields) {
    if (!each.wellFormed) return MALFORMED;
    const { name, value } = each;
    const kind = KINDS.get(name) ?? PLAIN;
    if (kind > LAST_PSEUDO || kind === PLAIN) {
      if (name.charCodeAt(0) === COLON) return MALFORMED;
      pseudo = false;
    } else if (!pseudo) return MALFORMED;
    switch (kind) {
      case PLAIN:
        if (isOurs(name)) {
          if (name === "x-causeway-retries-left") into.retriesLeft = digitOf(value);
          else if (name === "x-causeway-prefer") into.prefer = value;
          else if (name === "x-causeway-deadline-ms" && /^[0-9]{1,8}$/.test(value))
            into.deadlineMs = lesser(into.deadlineMs, Number(value));
          continue;
        }
        break;
      case METHOD:
        if (method !== undefined || value === "") return MALFORMED;
        method = value;
        break;
      case SCHEME:
        if (scheme !== undefined || value === "") return MALFORMED;
        scheme = value;
        break;
      case AUTHORITY:
        if (authority !== undefined) return MALFORMED;
        authority = value;
        break;
      case PATH:
        if (path !== undefined || value === "") return MALFORMED;
        path = value;
        break;
      case PROTOCOL:
        if (protocol !== undefined || value === "") return MALFORMED;
        protocol = value;
        break;
      case STATUS:
      case FORBIDDEN:
        return MALFORMED;
      case HOST:
        if (host !== undefined) return MALFORMED;
        host = value;
        break;
      case CONTENT_LENGTH:
        if (into.contentLength >= 0) return MALFORMED;
        into.contentLength = lengthOf(value);
        if (into.contentLength < 0) return MALFORMED;
        break;
      case CONTENT_TYPE:
        into.grpc = isGrpc(value);
        break;
      case TE:
        if (value !== "trailers") return MALFORMED;
        break;
      case GRPC_TIMEOUT:
        into.deadlineMs = lesser(into.deadlineMs, grpcTimeoutMs(value));
        break;
    }
    fields[kept++] = each;
  }
  fields.length = kept;
  if (method === undefined) return MALFORMED;
  // Two names for one thing may be read differently by those behind (section 8.3.1).
  if (authority !== undefined && host !== undefined && host.toLowerCase() !== authority.toLowerCase()) return MALFORMED;
  if (method === "CONNECT" && protocol === undefined) {
    if (scheme !== undefined || path !== undefined || authority === undefined) return MALFORMED;
  } else {
    if (scheme === undefined || path === undefined) return MALFORMED;
    if (protocol !== undefined && (method !== "CONNECT" || authority === undefined)) return MALFORMED;
    if (path.charCodeAt(0) !== 47 && !(path === "*" && method === "OPTIONS")) return MALFORMED;
  }
  into.method = method;
  into.path = path ?? "";
  into.protocol = protocol ?? "";
  into.authority = authority ?? host ?? "";
  return OK;
}

/** An answer's header list; filled anew for each. */
export interface AnswerInfo {
  status: number;
  contentLength: number;
  grpc: boolean;
  /** -1 where it is not said. */
  grpcStatus: number;
  /** x-causeway-error; undefined where there is none. */
  error: string | undefined;
}

export function createAnswerInfo(): AnswerInfo {
  return { status: 0, contentLength: -1, grpc: false, grpcStatus: -1, error: undefined };
}

/** Reads and checks an answer's header list. */
export function readAnswer(fields: readonly Field[], into: AnswerInfo): typeof OK | typeof MALFORMED {
  into.status = 0;
  into.contentLength = -1;
  into.grpc = false;
  into.grpcStatus = -1;
  into.error = undefined;
  let pseudo = true;
  for (const each of fields) {
    if (!each.wellFormed) return MALFORMED;
    const { name, value } = each;
    const kind = KINDS.get(name) ?? PLAIN;
    if (kind === STATUS) {
      if (!pseudo || into.status !== 0 || !/^[1-5][0-9][0-9]$/.test(value)) return MALFORMED;
      into.status = Number(value);
      continue;
    }
    if (kind === FORBIDDEN || name.charCodeAt(0) === COLON) return MALFORMED;
    pseudo = false;
    switch (kind) {
      case CONTENT_LENGTH:
        if (into.contentLength >= 0) return MALFORMED;
        into.contentLength = lengthOf(value);
        if (into.contentLength < 0) return MALFORMED;
        break;
      case CONTENT_TYPE:
        into.grpc = isGrpc(value);
        break;
      case GRPC_STATUS:
        into.grpcStatus = grpcStatusOf(value);
        break;
      case PLAIN:
        if (name === "x-causeway-error") into.error = value;
        break;
    }
  }
  // 101 has no meaning here (section 8.6).
  return into.status === 0 || into.status === 101 ? MALFORMED : OK;
}

/** Checks trailers; returns the grpc-status in them (-1: none), or -2 where they are malformed. */
export function readTrailers(fields: readonly Field[]): number {
  let grpcStatus = -1;
  for (const each of fields) {
    if (!each.wellFormed || each.name.charCodeAt(0) === COLON) return -2;
    const kind = KINDS.get(each.name) ?? PLAIN;
    if (kind === FORBIDDEN) return -2;
    if (kind === GRPC_STATUS) grpcStatus = grpcStatusOf(each.value);
  }
  return grpcStatus;
}

/** Takes x-causeway-* fields out of a list. */
export function dropOurs(fields: Field[]): void {
  let kept = 0;
  for (const each of fields) if (!isOurs(each.name)) fields[kept++] = each;
  fields.length = kept;
}

function isGrpc(contentType: string): boolean {
  if (!contentType.startsWith("application/grpc")) return false;
  const next = contentType.charCodeAt(16);
  // "+proto", ";charset", or the end; grpc-web is another protocol.
  return contentType.length === 16 || next === 43 || next === 59;
}

function lengthOf(value: string): number {
  return /^[0-9]{1,15}$/.test(value) ? Number(value) : -1;
}

function lesser(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}

function digitOf(value: string): number | undefined {
  return /^[0-9]$/.test(value) ? Number(value) : undefined;
}

const UNKNOWN = 2;

function grpcStatusOf(value: string): number {
  return /^[0-9]{1,3}$/.test(value) ? Number(value) : UNKNOWN;
}
