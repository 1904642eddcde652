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
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const MAX_RECORD_BYTES = 16_384;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ALPN = 16;
const HOST_NAME = 0;

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
  const fragments: Buffer[] = [];
  let gathered = 0;
  for (let at = 0; ; ) {
    if (!looksLikeRecord(bytes, at, length)) {
      if (at === 0) return NOT_TLS;
      throw new Malformed("another record interrupts the ClientHello");
    }
    if (length - at < RECORD_HEADER) return NEED_MORE;
    const size = bytes.readUInt16BE(at + 3);
    if (size === 0) throw new Malformed("an empty handshake record");
    if (size > MAX_RECORD_BYTES) throw new Malformed("a record over 16 KiB");
    const from = at + RECORD_HEADER;
    const to = Math.min(from + size, length);
    fragments.push(bytes.subarray(from, to));
    gathered += to - from;
    const wanted = messageBytes(fragments, gathered);
    if (gathered >= wanted) return parseMessage(joined(fragments).subarray(0, wanted));
    if (to < from + size) return NEED_MORE;
    at = to;
  }
}

/** Whether what is there of the record at `at` can be the start of a TLS handshake record. */
function looksLikeRecord(bytes: Buffer, at: number, length: number): boolean {
  if (length > at && bytes[at] !== HANDSHAKE_RECORD) return false;
  if (length > at + 1 && bytes[at + 1] !== 3) return false;
  return !(length > at + 2 && (bytes[at + 2] ?? 0) > 4);
}

/** Length of the handshake message with its header, or 4 while the header is not whole. */
function messageBytes(fragments: readonly Buffer[], gathered: number): number {
  if (gathered === 0) return 4;
  // No fragment but the last is empty, so the header is within the first four.
  const head = joined(fragments.slice(0, 4));
  if (head[0] !== CLIENT_HELLO) throw new Malformed("the first handshake message is no ClientHello");
  if (gathered < 4) return 4;
  const size = 4 + head.readUIntBE(1, 3);
  if (size > MAX_CLIENT_HELLO_BYTES) throw new Malformed("a ClientHello over 16 KiB");
  return size;
}

function joined(fragments: readonly Buffer[]): Buffer {
  const only = fragments[0];
  return fragments.length === 1 && only !== undefined ? only : Buffer.concat(fragments);
}

/** Reads lengths and vectors; every one must fit into its parent. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  take(count: number): Buffer {
    if (count > this.left) throw new Malformed("a length runs over its end");
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  uint(size: 1 | 2): number {
    return this.take(size).readUIntBE(0, size);
  }

  /** A vector after its length of `size` bytes. */
  vector(size: 1 | 2, minBytes: number): Buffer {
    const bytes = this.take(this.uint(size));
    if (bytes.length < minBytes) throw new Malformed("a vector is too short");
    return bytes;
  }

  end(): void {
    if (this.left !== 0) throw new Malformed("bytes are left over");
  }
}

function parseMessage(message: Buffer): ClientHelloResult {
  const reader = new Reader(message.subarray(4));
  if (reader.uint(2) < 0x0301) throw new Malformed("SSL 3 or older");
  reader.take(32);
  if (reader.vector(1, 0).length > 32) throw new Malformed("a session id over 32 bytes");
  if (reader.vector(2, 2).length % 2 !== 0) throw new Malformed("half a cipher suite");
  reader.vector(1, 1);
  let serverName = "";
  let alpn: readonly string[] = [];
  if (reader.left > 0) {
    const extensions = new Reader(reader.vector(2, 0));
    reader.end();
    const seen = new Set<number>();
    while (extensions.left > 0) {
      const type = extensions.uint(2);
      const body = new Reader(extensions.vector(2, 0));
      if (seen.has(type)) throw new Malformed("an extension comes twice");
      seen.add(type);
      if (type === EXTENSION_SERVER_NAME) serverName = parseServerName(body);
      else if (type === EXTENSION_ALPN) alpn = parseAlpn(body);
    }
  }
  return { kind: "hello", serverName, alpn };
}

function parseServerName(body: Reader): string {
  const list = new Reader(body.vector(2, 1));
  body.end();
  if (list.uint(1) !== HOST_NAME) throw new Malformed("a server name that is no host_name");
  const name = list.vector(2, 1);
  if (list.left > 0) throw new Malformed("more than one server name");
  if (name.length > 253) throw new Malformed("a server name over 253 bytes");
  for (const byte of name) if (byte <= 0x20 || byte >= 0x7f) throw new Malformed("a server name that is not ASCII");
  return name.toString("latin1").toLowerCase();
}

function parseAlpn(body: Reader): string[] {
  const list = new Reader(body.vector(2, 2));
  body.end();
  const protocols: string[] = [];
  while (list.left > 0) protocols.push(list.vector(1, 1).toString("latin1"));
  return protocols;
}
