// What header lists must and must not hold (RFC 9113 section 8), and what a proxy reads in them.
import {
  AUTHORITY,
  CONTENT_LENGTH,
  CONTENT_TYPE,
  FORBIDDEN,
  GRPC_STATUS,
  GRPC_TIMEOUT,
  HOST,
  METHOD,
  OUR_DEADLINE,
  OUR_ERROR,
  OUR_PREFER,
  OUR_RETRIES_LEFT,
  OURS,
  PATH,
  PLAIN,
  PROTOCOL,
  SCHEME,
  STATUS,
  TE,
  UNKNOWN_PSEUDO,
} from "./field-kind.ts";
import { grpcTimeoutMs } from "./grpc-timeout.ts";
import type { Field } from "./hpack/field.ts";

export const OK = 0;
/** Breaks the rules: a stream error. */
export const MALFORMED = 1;

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
    const { kind, value } = each;
    if (kind === PLAIN || kind > UNKNOWN_PSEUDO) pseudo = false;
    else if (!pseudo) return MALFORMED;
    switch (kind) {
      case PLAIN:
        break;
      case OURS:
      case OUR_ERROR:
        continue;
      case OUR_RETRIES_LEFT:
        into.retriesLeft = digitOf(value);
        continue;
      case OUR_DEADLINE:
        into.deadlineMs = lesser(into.deadlineMs, deadlineOf(value));
        continue;
      case OUR_PREFER:
        into.prefer = value;
        continue;
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
      case UNKNOWN_PSEUDO:
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
      case GRPC_TIMEOUT:
        into.deadlineMs = lesser(into.deadlineMs, grpcTimeoutMs(value));
        break;
      case TE:
        if (value !== "trailers") return MALFORMED;
        break;
    }
    fields[kept++] = each;
  }
  shorten(fields, kept);
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
    const { kind, value } = each;
    if (kind === STATUS) {
      if (!pseudo || into.status !== 0) return MALFORMED;
      into.status = statusOf(value);
      if (into.status === 0) return MALFORMED;
      continue;
    }
    pseudo = false;
    switch (kind) {
      case FORBIDDEN:
      case METHOD:
      case SCHEME:
      case AUTHORITY:
      case PATH:
      case PROTOCOL:
      case UNKNOWN_PSEUDO:
        return MALFORMED;
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
      case OUR_ERROR:
        into.error = value;
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
    const { kind } = each;
    if (!each.wellFormed || kind === FORBIDDEN || (kind !== PLAIN && kind <= UNKNOWN_PSEUDO)) return -2;
    if (kind === GRPC_STATUS) grpcStatus = grpcStatusOf(each.value);
  }
  return grpcStatus;
}

/** Takes x-causeway-* fields out of a list. */
export function dropOurs(fields: Field[]): void {
  let kept = 0;
  for (const each of fields) if (each.kind < OURS) fields[kept++] = each;
  shorten(fields, kept);
}

/** Makes a list shorter, and keeps its memory, which setting its length would not. */
export function shorten(fields: Field[], length: number): void {
  while (fields.length > length) fields.pop();
}

function isGrpc(contentType: string): boolean {
  if (!contentType.startsWith("application/grpc")) return false;
  const next = contentType.charCodeAt(16);
  // "+proto", ";charset", or the end; grpc-web is another protocol.
  return contentType.length === 16 || next === 43 || next === 59;
}

const ZERO = 48;
const MAX_LENGTH_DIGITS = 15;

/** What digits say; -1 where there are others, none, or more than a length has. */
function lengthOf(value: string): number {
  const { length } = value;
  if (length === 0 || length > MAX_LENGTH_DIGITS) return -1;
  let sum = 0;
  for (let i = 0; i < length; i++) {
    const digit = value.charCodeAt(i) - ZERO;
    if (digit < 0 || digit > 9) return -1;
    sum = sum * 10 + digit;
  }
  return sum;
}

/** A status from 100 to 599, or 0. */
function statusOf(value: string): number {
  const status = value.length === 3 ? lengthOf(value) : -1;
  return status >= 100 && status < 600 ? status : 0;
}

function lesser(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}

function deadlineOf(value: string): number | undefined {
  const ms = value.length <= 8 ? lengthOf(value) : -1;
  return ms < 0 ? undefined : ms;
}

function digitOf(value: string): number | undefined {
  return /^[0-9]$/.test(value) ? Number(value) : undefined;
}

const UNKNOWN = 2;

function grpcStatusOf(value: string): number {
  const status = value.length <= 3 ? lengthOf(value) : -1;
  return status < 0 ? UNKNOWN : status;
}
