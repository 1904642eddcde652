import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import type { Listener, Transport } from "../../transport/transport.ts";

const LF = 10;
const CR = 13;
const TLS_HANDSHAKE = 22;
const RECORD_HEADER = 5;
const BULK_BYTES = 262_144;

/** "GET /bulk": the first byte after which it differs from the other requests. */
const BULK_MARK_AT = 5;
const BULK_MARK = "b".charCodeAt(0);

/**
 * The app behind the proxies: answers every request without a body with 200 and the same bytes, a request for /bulk
 * with bytes without end. A ClientHello in front is passed over, so that it can stand behind a relay without the
 * cost of TLS. Trusts whoever calls: it parses no more than it must to be faster than what is measured.
 */
export function serveApp(transport: Transport, bodyBytes: number): Promise<Listener> {
  const body = "x".repeat(bodyBytes);
  const answer = Buffer.from(
    `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${bodyBytes}\r\n\r\n${body}`,
    "latin1",
  );
  return transport.listenTcp({ host: "127.0.0.1", port: 0 }, (stream) => new AppConnection(stream, answer));
}

const BULK = Buffer.alloc(BULK_BYTES, "x");

class AppConnection implements ByteStreamUser {
  readonly #stream: ByteStream;
  readonly #answer: Buffer;
  #begun = false;
  /** Bytes of the ClientHello that are still to come. */
  #skip = 0;
  /** How much of CR LF CR LF has been seen. */
  #matched = 0;
  #bulk = false;

  constructor(stream: ByteStream, answer: Buffer) {
    this.#stream = stream;
    this.#answer = answer;
  }

  onRead(buffer: Buffer, length: number): void {
    let at = 0;
    if (!this.#begun) {
      this.#begun = true;
      if (buffer[0] === TLS_HANDSHAKE) this.#skip = RECORD_HEADER + buffer.readUInt16BE(3);
    }
    const skipped = Math.min(this.#skip, length);
    this.#skip -= skipped;
    at += skipped;
    if (at < length && buffer[at + BULK_MARK_AT] === BULK_MARK) {
      this.#bulk = true;
      this.#pour();
      return;
    }
    let matched = this.#matched;
    for (; at < length; at++) {
      const byte = buffer[at];
      if (byte === (matched % 2 === 0 ? CR : LF)) matched++;
      else matched = byte === CR ? 1 : 0;
      if (matched < 4) continue;
      matched = 0;
      this.#stream.write(this.#answer, 0, this.#answer.length);
    }
    this.#matched = matched;
  }

  onEnd(): void {
    this.#bulk = false;
    this.#stream.end();
  }

  onDrain(): void {
    if (this.#bulk) this.#pour();
  }

  onClose(): void {}

  #pour(): void {
    while (!this.#stream.closed && this.#stream.write(BULK, 0, BULK.length));
  }
}
