// Heads are parsed in place: one pass over the bytes into a reused record of offsets and flags, no strings and no
// objects. Strict by RFC 9112: what two implementations could read in two ways is malformed, never forwarded.
import { AUTHORITY, ascii, CLASS, matches, TARGET, TOKEN, VALUE } from "./syntax.ts";

export const INCOMPLETE = -1;
export const MALFORMED = -2;
export const TOO_LARGE = -3;

export const MAX_HEAD_BYTES = 65_536;
export const MAX_HEAD_FIELDS = 200;
/** Names in Connection; each is compared with every field. */
const MAX_NOMINATED = 64;

/** What a field is to a proxy; the rest is OTHER. */
export const OTHER = 0;
export const HOST = 1;
export const CONNECTION = 2;
export const HOP_BY_HOP = 3;
const TRANSFER_ENCODING = 4;
const CONTENT_LENGTH = 5;
export const UPGRADE = 6;
/** `x-causeway-*`, also spelt with underscores, which CGI-like servers fold into hyphens. */
export const OURS = 7;
/** Named by Connection, so not to be forwarded. */
export const NOMINATED = 8;
export const KEEP_ALIVE = 10;

const METHOD_OTHER = 0;
export const GET = 1;
export const HEAD = 2;
export const OPTIONS = 3;
export const PUT = 4;
export const DELETE = 5;
export const TRACE = 6;
export const CONNECT = 7;
const POST = 8;

/** The last head that was parsed. Offsets are into the buffer that was parsed. */
export interface Head {
  /** Larger heads, or with more fields, are TOO_LARGE. */
  readonly maxBytes: number;
  readonly maxFields: number;
  /** First byte of the start line (an empty line before a request is skipped). */
  start: number;
  method: number;
  methodEnd: number;
  targetStart: number;
  targetEnd: number;
  /** 0 or 1: HTTP/1.0 or HTTP/1.1. */
  minor: number;
  status: number;
  /** Where the fields begin: after the start line. */
  fieldsStart: number;
  /** Where the empty line begins. */
  fieldsEnd: number;
  count: number;
  /** Kind by field. */
  readonly kinds: Uint8Array;
  /** By field: start and end of the name, start and end of the value without surrounding blanks. */
  readonly at: Uint32Array;
  /** -1: absent. */
  contentLength: number;
  chunked: boolean;
  /** The sender ends the connection after this message (Connection: close, or HTTP/1.0 without keep-alive). */
  close: boolean;
  /** Connection names upgrade, and Upgrade offers something other than HTTP again. */
  upgrade: boolean;
  /** Value of Host; both 0 where absent. */
  hostStart: number;
  hostEnd: number;
  /** Bit set of the kinds that occur. */
  present: number;
  /** Seconds of Keep-Alive: timeout=…, -1 where absent. */
  keepAliveSeconds: number;
}

export function createHead(maxBytes = MAX_HEAD_BYTES, maxFields = MAX_HEAD_FIELDS): Head {
  return {
    maxBytes,
    maxFields,
    start: 0,
    method: 0,
    methodEnd: 0,
    targetStart: 0,
    targetEnd: 0,
    minor: 1,
    status: 0,
    fieldsStart: 0,
    fieldsEnd: 0,
    count: 0,
    kinds: new Uint8Array(maxFields),
    at: new Uint32Array(maxFields * 4),
    contentLength: -1,
    chunked: false,
    close: false,
    upgrade: false,
    hostStart: 0,
    hostEnd: 0,
    present: 0,
    keepAliveSeconds: -1,
  };
}

const N_HOST = ascii("host");
const N_TE = ascii("te");
const N_UPGRADE = ascii("upgrade");
const N_CONNECTION = ascii("connection");
const N_KEEP_ALIVE = ascii("keep-alive");
const N_CONTENT_LENGTH = ascii("content-length");
const N_PROXY_CONNECTION = ascii("proxy-connection");
const N_TRANSFER_ENCODING = ascii("transfer-encoding");
const N_PROXY_AUTHORIZATION = ascii("proxy-authorization");
const N_OURS = ascii("x-causeway-");
const V_CHUNKED = ascii("chunked");
const V_CLOSE = ascii("close");
const V_TIMEOUT = ascii("timeout=");

const HTTP_PROTOCOLS = ["h2c", "h2", "h3", "http", "https", "tls"].map(ascii);

const M_TRACE = ascii("TRACE");
const M_DELETE = ascii("DELETE");
const M_OPTIONS = ascii("OPTIONS");
const M_CONNECT = ascii("CONNECT");

const CR = 13;
const LF = 10;
const SP = 32;

/** Whether the name at `start` begins with `x-causeway-`, an underscore counting as a hyphen. */
function isOurs(b: Uint8Array, start: number, end: number): boolean {
  if (end - start < N_OURS.length) return false;
  for (let i = 0; i < N_OURS.length; i++) {
    let c = b[start + i] as number;
    if (c === 95) c = 45;
    else if (c >= 65 && c <= 90) c |= 32;
    if (c !== N_OURS[i]) return false;
  }
  return true;
}

function kindOf(b: Uint8Array, start: number, end: number): number {
  switch (end - start) {
    case 2:
      return matches(b, start, N_TE) ? HOP_BY_HOP : OTHER;
    case 4:
      return matches(b, start, N_HOST) ? HOST : OTHER;
    case 7:
      return matches(b, start, N_UPGRADE) ? UPGRADE : OTHER;
    case 10:
      if (matches(b, start, N_CONNECTION)) return CONNECTION;
      return matches(b, start, N_KEEP_ALIVE) ? KEEP_ALIVE : OTHER;
    case 14:
      if (matches(b, start, N_CONTENT_LENGTH)) return CONTENT_LENGTH;
      break;
    case 16:
      if (matches(b, start, N_PROXY_CONNECTION)) return HOP_BY_HOP;
      break;
    case 17:
      if (matches(b, start, N_TRANSFER_ENCODING)) return TRANSFER_ENCODING;
      break;
    case 19:
      if (matches(b, start, N_PROXY_AUTHORIZATION)) return HOP_BY_HOP;
      break;
    default:
      break;
  }
  const first = b[start] as number;
  return (first | 32) === 120 && isOurs(b, start, end) ? OURS : OTHER;
}

/** Whether a tab is among the blanks round a value: nginx before, and llhttp behind, take it for a part of that. */
function tabAround(b: Uint8Array, start: number, end: number): boolean {
  for (let i = end; b[i] !== CR; i++) if (b[i] === 9) return true;
  for (let i = start - 1; b[i] !== 58; i--) if (b[i] === 9) return true;
  return false;
}

/** Takes what the field means for framing into `head`. False: it breaks the rules. */
function takeField(head: Head, kind: number, b: Uint8Array, start: number, end: number): boolean {
  const seen = (head.present & (1 << kind)) !== 0;
  switch (kind) {
    case HOST:
      if (seen) return false;
      // One name for one host: with a blank, comma, "@" or "/" in it two readers may see two.
      for (let i = start; i < end; i++) if (((CLASS[b[i] as number] as number) & AUTHORITY) === 0) return false;
      head.hostStart = start;
      head.hostEnd = end;
      return true;
    case CONTENT_LENGTH: {
      // A second one is refused even when equal (RFC 9112 section 6.3 allows either).
      if (seen || end === start || end - start > 15 || tabAround(b, start, end)) return false;
      let value = 0;
      for (let i = start; i < end; i++) {
        const digit = (b[i] as number) - 48;
        if (digit < 0 || digit > 9) return false;
        value = value * 10 + digit;
      }
      head.contentLength = value;
      return true;
    }
    case TRANSFER_ENCODING:
      // Only the one coding that we can frame; anything before it would hide the length from the next hop.
      if (seen || end - start !== 7 || !matches(b, start, V_CHUNKED) || tabAround(b, start, end)) return false;
      head.chunked = true;
      return true;
    case KEEP_ALIVE: {
      if (end - start < 9 || !matches(b, start, V_TIMEOUT)) return true;
      let value = 0;
      for (let i = start + 8; i < end && i < start + 14; i++) {
        const digit = (b[i] as number) - 48;
        if (digit < 0 || digit > 9) break;
        value = value * 10 + digit;
      }
      head.keepAliveSeconds = value;
      return true;
    }
    default:
      return true;
  }
}

/**
 * Reads the Connection fields: close, keep-alive, upgrade; other names lose the fields that they nominate. False: there
 * are too many of them.
 */
function takeConnection(head: Head, b: Uint8Array): boolean {
  const { kinds, at, count } = head;
  let named = 0;
  let nominated = 0;
  let upgrade = false;
  for (let f = 0; f < count; f++) {
    if (kinds[f] !== CONNECTION) continue;
    let i = at[f * 4 + 2] as number;
    const end = at[f * 4 + 3] as number;
    while (i < end) {
      while (i < end && (b[i] === 44 || b[i] === SP || b[i] === 9)) i++;
      const start = i;
      while (i < end && b[i] !== 44 && b[i] !== SP && b[i] !== 9) i++;
      const length = i - start;
      if (length === 0) continue;
      if (length === 5 && matches(b, start, V_CLOSE)) head.close = true;
      else if (length === 10 && matches(b, start, N_KEEP_ALIVE)) named |= 1;
      else if (length === 7 && matches(b, start, N_UPGRADE)) upgrade = true;
      else if (++nominated > MAX_NOMINATED) return false;
      else nominate(head, b, start, length);
    }
  }
  if (head.minor === 0 && (named & 1) !== 0 && !closeNamed(head, b)) head.close = false;
  // HTTP/1.0 knows no upgrade (RFC 9110 section 7.8).
  head.upgrade = upgrade && head.minor === 1 && (head.present & (1 << UPGRADE)) !== 0 && leavesHttp(head, b);
  return true;
}

/**
 * Whether Upgrade offers no HTTP. What follows an upgrade is passed on unread, so requests in there, as h2c or inside of
 * TLS, would carry any x-causeway-* that the client likes.
 */
function leavesHttp(head: Head, b: Uint8Array): boolean {
  const { kinds, at, count } = head;
  for (let f = 0; f < count; f++) {
    if (kinds[f] !== UPGRADE) continue;
    const end = at[f * 4 + 3] as number;
    let i = at[f * 4 + 2] as number;
    while (i < end) {
      const start = i;
      while (i < end && ((CLASS[b[i] as number] as number) & TOKEN) !== 0) i++;
      const length = i - start;
      if (length === 0) i++;
      for (const name of HTTP_PROTOCOLS) if (length === name.length && matches(b, start, name)) return false;
    }
  }
  return true;
}

/** Whether any Connection field has `close`: it wins over keep-alive. */
function closeNamed(head: Head, b: Uint8Array): boolean {
  for (let f = 0; f < head.count; f++) {
    if (head.kinds[f] !== CONNECTION) continue;
    const end = head.at[f * 4 + 3] as number;
    for (let i = head.at[f * 4 + 2] as number; i + 5 <= end; i++) if (matches(b, i, V_CLOSE)) return true;
  }
  return false;
}

/** Marks the fields called like the token at `start`. Those that frame or address the message stay. */
function nominate(head: Head, b: Uint8Array, start: number, length: number): void {
  const { kinds, at } = head;
  for (let f = 0; f < head.count; f++) {
    const kind = kinds[f] as number;
    if (kind !== OTHER) continue;
    const nameStart = at[f * 4] as number;
    if ((at[f * 4 + 1] as number) - nameStart !== length) continue;
    let same = true;
    for (let i = 0; i < length && same; i++) {
      const x = b[nameStart + i] as number;
      const y = b[start + i] as number;
      same = (x >= 65 && x <= 90 ? x | 32 : x) === (y >= 65 && y <= 90 ? y | 32 : y);
    }
    if (!same) continue;
    kinds[f] = NOMINATED;
    head.present |= 1 << NOMINATED;
  }
}

/** Parses the field lines from `i`. Returns the index after the empty line, or a negative verdict. */
function parseFields(head: Head, b: Uint8Array, from: number, end: number): number {
  const { kinds, at } = head;
  let i = from;
  let count = 0;
  head.fieldsStart = i;
  head.present = 0;
  head.contentLength = -1;
  head.chunked = false;
  head.upgrade = false;
  head.hostStart = 0;
  head.hostEnd = 0;
  head.keepAliveSeconds = -1;
  for (;;) {
    if (i >= end) return INCOMPLETE;
    if (b[i] === CR) {
      if (i + 1 >= end) return INCOMPLETE;
      if (b[i + 1] !== LF) return MALFORMED;
      break;
    }
    const nameStart = i;
    while (i < end && ((CLASS[b[i] as number] as number) & TOKEN) !== 0) i++;
    if (i >= end) return INCOMPLETE;
    // A blank here is an obs-fold or a blank before the colon; both have been used to smuggle.
    if (b[i] !== 58 || i === nameStart) return MALFORMED;
    const nameEnd = i++;
    while (i < end && (b[i] === SP || b[i] === 9)) i++;
    const valueStart = i;
    while (i < end && ((CLASS[b[i] as number] as number) & VALUE) !== 0) i++;
    if (i >= end) return INCOMPLETE;
    if (b[i] !== CR) return MALFORMED;
    if (i + 1 >= end) return INCOMPLETE;
    if (b[i + 1] !== LF) return MALFORMED;
    let valueEnd = i;
    while (valueEnd > valueStart && (b[valueEnd - 1] === SP || b[valueEnd - 1] === 9)) valueEnd--;
    i += 2;
    if (count === head.maxFields) return TOO_LARGE;
    const kind = kindOf(b, nameStart, nameEnd);
    kinds[count] = kind;
    const a = count * 4;
    at[a] = nameStart;
    at[a + 1] = nameEnd;
    at[a + 2] = valueStart;
    at[a + 3] = valueEnd;
    count++;
    if (kind !== OTHER) {
      if (!takeField(head, kind, b, valueStart, valueEnd)) return MALFORMED;
      head.present |= 1 << kind;
    }
  }
  head.fieldsEnd = i;
  head.count = count;
  if (head.chunked && (head.contentLength >= 0 || head.minor === 0)) return MALFORMED;
  head.close = head.minor === 0;
  if ((head.present & (1 << CONNECTION)) !== 0 && !takeConnection(head, b)) return TOO_LARGE;
  return i + 2;
}

function version(head: Head, b: Uint8Array, i: number): boolean {
  if (b[i] !== 72 || b[i + 1] !== 84 || b[i + 2] !== 84 || b[i + 3] !== 80 || b[i + 4] !== 47) return false;
  if (b[i + 5] !== 49 || b[i + 6] !== 46) return false;
  head.minor = (b[i + 7] as number) - 48;
  return head.minor === 0 || head.minor === 1;
}

function methodAt(b: Uint8Array, start: number, length: number): number {
  switch (length) {
    case 3:
      if (b[start] === 71 && b[start + 1] === 69 && b[start + 2] === 84) return GET;
      return b[start] === 80 && b[start + 1] === 85 && b[start + 2] === 84 ? PUT : METHOD_OTHER;
    case 4:
      if (b[start] === 80 && b[start + 1] === 79 && b[start + 2] === 83 && b[start + 3] === 84) return POST;
      return b[start] === 72 && b[start + 1] === 69 && b[start + 2] === 65 && b[start + 3] === 68 ? HEAD : METHOD_OTHER;
    case 5:
      return same(b, start, M_TRACE) ? TRACE : METHOD_OTHER;
    case 6:
      return same(b, start, M_DELETE) ? DELETE : METHOD_OTHER;
    case 7:
      if (same(b, start, M_OPTIONS)) return OPTIONS;
      return same(b, start, M_CONNECT) ? CONNECT : METHOD_OTHER;
    default:
      return METHOD_OTHER;
  }
}

/** Methods are case-sensitive. */
function same(b: Uint8Array, start: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) if (b[start + i] !== name[i]) return false;
  return true;
}

/** A verdict on an unfinished head: too large once it could not end within the limit. */
function unfinished(head: Head, start: number, end: number): number {
  return end - start >= head.maxBytes ? TOO_LARGE : INCOMPLETE;
}

function finished(head: Head, verdict: number, start: number, end: number): number {
  if (verdict === INCOMPLETE) return unfinished(head, start, end);
  return verdict > 0 && verdict - start > head.maxBytes ? TOO_LARGE : verdict;
}

/**
 * Parses a request head in `b[start, end)` into `head`. Returns the index after it, or INCOMPLETE, MALFORMED
 * (answer 400 and close) or TOO_LARGE (431 and close). RFC 9112 sections 2 to 6.
 */
export function parseRequestHead(head: Head, b: Uint8Array, start: number, end: number): number {
  let i = start;
  if (b[i] === CR && i < end) {
    if (i + 1 >= end) return INCOMPLETE;
    if (b[i + 1] !== LF) return MALFORMED;
    i += 2;
  }
  const first = i;
  head.start = first;
  while (i < end && ((CLASS[b[i] as number] as number) & TOKEN) !== 0) i++;
  if (i - first > 32) return MALFORMED;
  if (i >= end) return unfinished(head, start, end);
  if (b[i] !== SP || i === first) return MALFORMED;
  head.methodEnd = i;
  head.method = methodAt(b, first, i - first);
  i++;
  head.targetStart = i;
  while (i < end && ((CLASS[b[i] as number] as number) & TARGET) !== 0) i++;
  if (i >= end) return unfinished(head, start, end);
  if (b[i] !== SP || i === head.targetStart) return MALFORMED;
  head.targetEnd = i;
  i++;
  if (end - i < 10) return unfinished(head, start, end);
  if (!version(head, b, i) || b[i + 8] !== CR || b[i + 9] !== LF) return MALFORMED;
  const done = finished(head, parseFields(head, b, i + 10, end), start, end);
  if (done > 0 && head.minor === 1 && (head.present & (1 << HOST)) === 0) return MALFORMED;
  return done;
}

/** Parses a response head in `b[start, end)` into `head`; verdicts as `parseRequestHead`. */
export function parseResponseHead(head: Head, b: Uint8Array, start: number, end: number): number {
  head.start = start;
  if (end - start < 14) return INCOMPLETE;
  if (!version(head, b, start) || b[start + 8] !== SP) return MALFORMED;
  let status = 0;
  let i = start + 9;
  for (; i < start + 12; i++) {
    const digit = (b[i] as number) - 48;
    if (digit < 0 || digit > 9) return MALFORMED;
    status = status * 10 + digit;
  }
  if (status < 100 || (b[i] !== SP && b[i] !== CR)) return MALFORMED;
  head.status = status;
  while (i < end && ((CLASS[b[i] as number] as number) & VALUE) !== 0) i++;
  if (i >= end) return unfinished(head, start, end);
  if (b[i] !== CR) return MALFORMED;
  if (i + 1 >= end) return INCOMPLETE;
  if (b[i + 1] !== LF) return MALFORMED;
  return finished(head, parseFields(head, b, i + 2, end), start, end);
}

/**
 * Where the search for the end of an unfinished head goes on: returns the index after an empty line in `b[from, end)`,
 * INCOMPLETE, or MALFORMED at an octet that no head may have. `from` must be at least 3 past the head's first byte or
 * at it. Keeps the cost of a head that trickles in linear.
 */
export function findHeadEnd(b: Uint8Array, from: number, end: number): number {
  for (let i = from; i < end; i++) {
    const c = b[i] as number;
    if (c >= SP && c !== 127) {
      if (i > 0 && b[i - 1] === CR) return MALFORMED;
      continue;
    }
    if (c === LF) {
      if (i === 0 || b[i - 1] !== CR) return MALFORMED;
      if (i >= 3 && b[i - 2] === LF && b[i - 3] === CR) return i + 1;
    } else if ((c !== CR && c !== 9) || (i > 0 && b[i - 1] === CR)) return MALFORMED;
  }
  return INCOMPLETE;
}
