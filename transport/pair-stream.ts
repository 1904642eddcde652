import { errorText } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { ByteStream, ByteStreamUser } from "./byte-stream.ts";
import { callbackError, closedError, overflowError } from "./stream-error.ts";

/** As much may wait for a reader before the writer is told to stop. */
const WINDOW_BYTES = 65_536;
const FIRST_INBOX_BYTES = 4_096;

const NO_USER: ByteStreamUser = { onRead() {}, onEnd() {}, onDrain() {}, onClose() {} };

export interface PairAddress {
  readonly address: string;
  readonly port: number;
}

export interface PairOptions {
  readonly log: Log;
  readonly maxPendingBytes: number;
  /** What each end calls its own address. */
  readonly addresses: readonly [PairAddress, PairAddress];
}

/**
 * Two ends of a connection within the process, without a socket: what one writes the other reads, later in the same
 * turn of the event loop, all that was written meanwhile at once.
 */
export function createPair(options: PairOptions): readonly [ByteStream, ByteStream] {
  const [here, there] = options.addresses;
  const one = new PairStream(options, here, there);
  const two = new PairStream(options, there, here);
  one.join(two);
  return [one, two];
}

class PairStream implements ByteStream {
  user: ByteStreamUser = NO_USER;
  maxReadBytes = WINDOW_BYTES;
  closed = false;
  readonly #log: Log;
  readonly #maxPendingBytes: number;
  readonly #local: PairAddress;
  readonly #remote: PairAddress;
  #other: PairStream = this;
  /** What came and was not read yet. */
  #inbox: Buffer = Buffer.alloc(0);
  #inboxStart = 0;
  #inboxEnd = 0;
  /** The other end will write no more. */
  #inboxEnded = false;
  #readEnded = false;
  /** The other end is gone: whoever still writes is told. */
  #broken = false;
  #ended = false;
  #paused = false;
  #due = false;
  #owesDrain = false;
  #error: Error | undefined = undefined;

  constructor({ log, maxPendingBytes }: PairOptions, local: PairAddress, remote: PairAddress) {
    this.#log = log;
    this.#maxPendingBytes = maxPendingBytes;
    this.#local = local;
    this.#remote = remote;
  }

  join(other: PairStream): void {
    this.#other = other;
    other.#other = this;
  }

  get pendingBytes(): number {
    return this.#other.#waiting;
  }

  get #waiting(): number {
    return this.#inboxEnd - this.#inboxStart;
  }

  get remoteAddress(): string {
    return this.#remote.address;
  }

  get remotePort(): number {
    return this.#remote.port;
  }

  get localAddress(): string {
    return this.#local.address;
  }

  get localPort(): number {
    return this.#local.port;
  }

  write(buffer: Buffer, start: number, end: number): boolean {
    if (this.closed || this.#ended || end <= start) return true;
    if (this.#broken) {
      this.destroy(closedError(new Error("EPIPE")));
      return true;
    }
    const other = this.#other;
    if (other.#waiting > this.#maxPendingBytes) {
      this.destroy(overflowError(this.#maxPendingBytes));
      return true;
    }
    other.#receive(buffer, start, end);
    if (other.#waiting <= WINDOW_BYTES) return true;
    this.#owesDrain = true;
    return false;
  }

  #receive(buffer: Buffer, start: number, end: number): void {
    const length = end - start;
    const used = this.#waiting;
    if (this.#inboxEnd + length > this.#inbox.length) {
      const room =
        used + length <= this.#inbox.length && this.#inboxStart > 0
          ? this.#inbox
          : Buffer.allocUnsafe(Math.max(FIRST_INBOX_BYTES, used + length, 2 * this.#inbox.length));
      this.#inbox.copy(room, 0, this.#inboxStart, this.#inboxEnd);
      this.#inbox = room;
      this.#inboxStart = 0;
      this.#inboxEnd = used;
    }
    buffer.copy(this.#inbox, this.#inboxEnd, start, end);
    this.#inboxEnd += length;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#due || this.#paused || this.closed) return;
    this.#due = true;
    process.nextTick(() => {
      this.#due = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    if (this.#paused || this.closed) return;
    const length = Math.min(this.#waiting, this.maxReadBytes);
    if (length > 0) {
      // The user may cause more to be written here: that must not land where it reads.
      const buffer = this.#inbox;
      const start = this.#inboxStart;
      this.#inboxStart += length;
      if (this.#inboxStart === this.#inboxEnd) {
        this.#inbox = Buffer.alloc(0);
        this.#inboxStart = 0;
        this.#inboxEnd = 0;
      }
      this.#call(() => this.user.onRead(start === 0 ? buffer : buffer.subarray(start), length));
      if (this.#inbox.length === 0) this.#inbox = buffer;
      this.#other.#drained();
    }
    if (this.closed) return;
    if (this.#waiting > 0) this.#schedule();
    else if (this.#inboxEnded && !this.#readEnded && !this.#paused) {
      this.#readEnded = true;
      this.#call(() => this.user.onEnd());
      this.#closeIfDone();
    }
  }

  #drained(): void {
    if (!this.#owesDrain || this.closed || this.#other.#waiting > 0) return;
    this.#owesDrain = false;
    this.#call(() => this.user.onDrain());
  }

  #call(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#log.error("stream_user_failed", { error: errorText(error) });
      this.destroy(callbackError(error), true);
    }
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#waiting > 0 || this.#inboxEnded) this.#schedule();
  }

  end(): void {
    if (this.#ended || this.closed) return;
    this.#ended = true;
    this.#other.#ending();
    this.#closeIfDone();
  }

  /** The other end has said that it is done. */
  #ending(): void {
    if (this.#inboxEnded || this.closed) return;
    this.#inboxEnded = true;
    this.#schedule();
  }

  #closeIfDone(): void {
    if (this.#readEnded && this.#ended) this.destroy();
  }

  destroy(error?: Error, reset = false): void {
    if (this.closed) return;
    this.closed = true;
    this.#error = error;
    this.#inbox = Buffer.alloc(0);
    this.#inboxStart = 0;
    this.#inboxEnd = 0;
    const other = this.#other;
    other.#broken = true;
    if (reset) other.destroy(closedError(new Error("ECONNRESET")));
    else other.#ending();
    process.nextTick(() => {
      try {
        this.user.onClose(this.#error);
      } catch (failed) {
        this.#log.error("stream_user_failed", { error: errorText(failed) });
      }
    });
  }
}
