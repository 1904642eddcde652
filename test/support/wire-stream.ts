import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";

const NO_USER: ByteStreamUser = { onRead() {}, onEnd() {}, onDrain() {}, onClose() {} };

/** A byte stream whose other end is the test: what was written is there to see, what comes is what the test says. */
export class WireStream implements ByteStream {
  user: ByteStreamUser = NO_USER;
  maxReadBytes = 65_536;
  closed = false;
  ended = false;
  paused = false;
  /** Whether writes say that enough waits. */
  blocked = false;
  error: Error | undefined = undefined;
  readonly remoteAddress = "192.0.2.1";
  readonly remotePort = 1;
  readonly localAddress = "192.0.2.2";
  readonly localPort = 2;
  readonly pendingBytes = 0;
  /** One for each write, until taken. */
  #written: Buffer[] = [];
  readonly #readBuffer = Buffer.alloc(65_536);

  write(buffer: Buffer, start: number, end: number): boolean {
    if (!this.closed && !this.ended) this.#written.push(Buffer.from(buffer.subarray(start, end)));
    return !this.blocked;
  }

  get writes(): number {
    return this.#written.length;
  }

  take(): Buffer {
    return Buffer.concat(this.#written.splice(0));
  }

  /** Has `bytes` arrive, in reads of at most `atATime`, in a buffer that is overwritten afterwards. */
  arrive(bytes: Buffer, atATime = 65_536): void {
    for (let from = 0; from < bytes.length && !this.closed; from += atATime) {
      const length = bytes.copy(this.#readBuffer, 0, from, Math.min(from + atATime, bytes.length));
      this.user.onRead(this.#readBuffer, length);
      this.#readBuffer.fill(0xa5, 0, length);
    }
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  end(): void {
    this.ended = true;
  }

  destroy(error?: Error): void {
    if (this.closed) return;
    this.closed = true;
    this.error = error;
    queueMicrotask(() => this.user.onClose(error));
  }
}

/** Passes on what the two have written, until neither has more to say. */
export async function exchange(a: WireStream, b: WireStream, atATime?: number): Promise<void> {
  for (let quiet = 0; quiet < 3; quiet++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const bytes = from.take();
      if (bytes.length === 0) continue;
      quiet = -1;
      to.arrive(bytes, atATime);
    }
  }
}
