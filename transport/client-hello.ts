/** A ClientHello over this is refused; those of browsers with post-quantum key shares take about 2 KiB. */
const MAX_CLIENT_HELLO_BYTES = 16_384;

interface ClientHello {
  readonly kind: "hello";
  /** Lower case; "" where there is no SNI. */
  readonly serverName: string;
  readonly alpn: readonly string[];
}

export type ClientHelloResult =
  | ClientHello
  | { readonly kind: "needMore" }
  /** The bytes are no TLS handshake record. */
  | { readonly kind: "notTls" }
  | { readonly kind: "malformed"; readonly reason: string };

const NEED_MORE: ClientHelloResult = { kind: "needMore" };
const NOT_TLS: ClientHelloResult = { kind: "notTls" };

const RECORD_HEADER = 5;
const MESSAGE_HEADER = 4;
const RANDOM_BYTES = 32;
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const MAX_RECORD_BYTES = 16_384;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ALPN = 16;
const HOST_NAME = 0;

const NO_PROTOCOLS: readonly string[] = [];

class Malformed extends Error {}

/**
 * Reads SNI and ALPN from the first bytes of a connection, as far as they are there: call again with all of them
 * when more came. The ClientHello may span records and segments (RFC 8446 sections 4.1.2 and 5.1); after it
 * anything may follow. Strict: each length must fit exactly, an extension comes once, one host_name (RFC 6066
 * section 3) of at most 253 visible ASCII characters.
 */
export function parseClientHello(bytes: Buffer, length: number = bytes.length): ClientHelloResult {
  try {
    return parseRecords(bytes, length);
  } catch (error) {
    if (error instanceof Malformed) return { kind: "malformed", reason: error.message };
    throw error;
  }
}

function parseRecords(bytes: Buffer, length: number): ClientHelloResult {
  // Nearly always one record holds it all, and is read where it lies.
  if (length >= RECORD_HEADER + MESSAGE_HEADER && looksLikeRecord(bytes, 0, length)) {
    const size = uint16(bytes, 3);
    const from = RECORD_HEADER;
    const wanted = messageBytes(bytes, from, Math.min(size, length - from));
    if (size <= MAX_RECORD_BYTES && wanted <= size && from + wanted <= length) {
      return parseMessage(bytes, from + MESSAGE_HEADER, from + wanted);
    }
  }
  return parseFragments(bytes, length);
}

function parseFragments(bytes: Buffer, length: number): ClientHelloResult {
  const fragments: Buffer[] = [];
  let gathered = 0;
  for (let at = 0; ; ) {
    if (!looksLikeRecord(bytes, at, length)) {
      if (at === 0) return NOT_TLS;
      throw new Malformed("another record interrupts the ClientHello");
    }
    if (length - at < RECORD_HEADER) return NEED_MORE;
    const size = uint16(bytes, at + 3);
    if (size === 0) throw new Malformed("an empty handshake record");
    if (size > MAX_RECORD_BYTES) throw new Malformed("a record over 16 KiB");
    const from = at + RECORD_HEADER;
    const to = Math.min(from + size, length);
    fragments.push(bytes.subarray(from, to));
    gathered += to - from;
    // No fragment but the last is empty, so the header is within the first four.
    const wanted = messageBytes(joined(fragments.slice(0, MESSAGE_HEADER)), 0, gathered);
    if (gathered >= wanted) return parseMessage(joined(fragments), MESSAGE_HEADER, wanted);
    if (to < from + size) return NEED_MORE;
    at = to;
  }
}

/** Whether what is there of the record at `at` can be the start of a TLS handshake record. */
function looksLikeRecord(bytes: Buffer, at: number, length: number): boolean {
  if (length > at && bytes[at] !== HANDSHAKE_RECORD) return false;
  if (length > at + 1 && bytes[at + 1] !== 3) return false;
  return !(length > at + 2 && byte(bytes, at + 2) > 4);
}

/** Length of the handshake message at `at` with its header, or 4 while the header is not whole. */
function messageBytes(bytes: Buffer, at: number, there: number): number {
  if (there === 0) return MESSAGE_HEADER;
  if (bytes[at] !== CLIENT_HELLO) throw new Malformed("the first handshake message is no ClientHello");
  if (there < MESSAGE_HEADER) return MESSAGE_HEADER;
  const size = MESSAGE_HEADER + (byte(bytes, at + 1) << 16) + uint16(bytes, at + 2);
  if (size > MAX_CLIENT_HELLO_BYTES) throw new Malformed("a ClientHello over 16 KiB");
  return size;
}

function joined(fragments: readonly Buffer[]): Buffer {
  const only = fragments[0];
  return fragments.length === 1 && only !== undefined ? only : Buffer.concat(fragments);
}

/** Of places that are known to be there. */
function byte(bytes: Buffer, at: number): number {
  return bytes[at] as number;
}

function uint16(bytes: Buffer, at: number): number {
  return (byte(bytes, at) << 8) | byte(bytes, at + 1);
}

/** Where the vector ends whose length, of `size` bytes, is at `at`; it must fit before `limit`. */
function vectorEnd(bytes: Buffer, at: number, size: 1 | 2, limit: number, minBytes: number): number {
  const from = at + size;
  if (from > limit) throw new Malformed("a length runs over its end");
  const end = from + (size === 1 ? byte(bytes, at) : uint16(bytes, at));
  if (end > limit) throw new Malformed("a length runs over its end");
  if (end - from < minBytes) throw new Malformed("a vector is too short");
  return end;
}

function mustEnd(at: number, end: number): void {
  if (at !== end) throw new Malformed("bytes are left over");
}

/** The message without its header is at `from` to `end`. Nothing is copied, and no view made. */
function parseMessage(bytes: Buffer, from: number, end: number): ClientHelloResult {
  let at = from + 2 + RANDOM_BYTES;
  if (at > end) throw new Malformed("a length runs over its end");
  if (uint16(bytes, from) < 0x0301) throw new Malformed("SSL 3 or older");
  const sessionEnd = vectorEnd(bytes, at, 1, end, 0);
  if (sessionEnd - at - 1 > 32) throw new Malformed("a session id over 32 bytes");
  at = vectorEnd(bytes, sessionEnd, 2, end, 2);
  if ((at - sessionEnd) % 2 !== 0) throw new Malformed("half a cipher suite");
  at = vectorEnd(bytes, at, 1, end, 1);
  if (at === end) return { kind: "hello", serverName: "", alpn: [] };
  mustEnd(vectorEnd(bytes, at, 2, end, 0), end);
  return parseExtensions(bytes, at + 2, end);
}

function parseExtensions(bytes: Buffer, from: number, end: number): ClientHelloResult {
  let serverName = "";
  let alpn: readonly string[] = NO_PROTOCOLS;
  // Types seen: those below 64, nearly all there are, as bits.
  let low = 0;
  let high = 0;
  let others: Set<number> | undefined;
  for (let at = from; at < end; ) {
    if (at + 2 > end) throw new Malformed("a length runs over its end");
    const type = uint16(bytes, at);
    const bodyAt = at + 4;
    at = vectorEnd(bytes, at + 2, 2, end, 0);
    const bit = 1 << (type & 31);
    let twice: boolean;
    if (type < 32) {
      twice = (low & bit) !== 0;
      low |= bit;
    } else if (type < 64) {
      twice = (high & bit) !== 0;
      high |= bit;
    } else {
      others ??= new Set();
      twice = others.has(type);
      others.add(type);
    }
    if (twice) throw new Malformed("an extension comes twice");
    if (type === EXTENSION_SERVER_NAME) serverName = parseServerName(bytes, bodyAt, at);
    else if (type === EXTENSION_ALPN) alpn = parseAlpn(bytes, bodyAt, at);
  }
  return { kind: "hello", serverName, alpn };
}

function parseServerName(bytes: Buffer, from: number, end: number): string {
  mustEnd(vectorEnd(bytes, from, 2, end, 1), end);
  const at = from + 2;
  if (bytes[at] !== HOST_NAME) throw new Malformed("a server name that is no host_name");
  const nameAt = at + 3;
  const nameEnd = vectorEnd(bytes, at + 1, 2, end, 1);
  if (nameEnd < end) throw new Malformed("more than one server name");
  if (nameEnd - nameAt > 253) throw new Malformed("a server name over 253 bytes");
  for (let i = nameAt; i < nameEnd; i++) {
    const letter = byte(bytes, i);
    if (letter <= 0x20 || letter >= 0x7f) throw new Malformed("a server name that is not ASCII");
  }
  return bytes.toString("latin1", nameAt, nameEnd).toLowerCase();
}

function parseAlpn(bytes: Buffer, from: number, end: number): string[] {
  mustEnd(vectorEnd(bytes, from, 2, end, 2), end);
  const protocols: string[] = [];
  for (let at = from + 2; at < end; ) {
    const next = vectorEnd(bytes, at, 1, end, 1);
    protocols.push(bytes.toString("latin1", at + 1, next));
    at = next;
  }
  return protocols;
}
