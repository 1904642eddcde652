import { errorText } from "../../core/errors.ts";
import type { ByteStream, ByteStreamUser } from "../byte-stream.ts";
import { callbackError, overflowError } from "../stream-error.ts";
import { RESET_BROKEN, RESET_CLOSED, RESET_REFUSED } from "./frame.ts";
import type { MuxContext } from "./mux-context.ts";

const FIRST_HELD_BYTES = 4_096;
const READ_BYTES = 65_536;

const NO_USER: ByteStreamUser = { onRead() {}, onEnd() {}, onDrain() {}, onClose() {} };

/** How a stream's frames get out. */
export interface FrameSender {
  /** Sends what credit and room allow of `buffer[start, end)`; returns the index after it. */
  sendData(stream: MuxStream, buffer: Buffer, start: number, end: number): number;
  sendEnd(stream: MuxStream): void;
  /** Tells the peer, once for each credit, that the stream has more to send. */
  sayBlocked(stream: MuxStream): void;
  /** Gives the peer credit for `bytes` more. */
  sendWindow(stream: MuxStream, bytes: number): void;
  /** The stream has been destroyed by this side: one of the RESET_ values. */
  sendReset(stream: MuxStream, how: number): void;
  /** The stream has bytes waiting; asked for again when there is room. */
  waitForRoom(stream: MuxStream): void;
}

/** The connection that carries a stream, as far as the stream needs it. */
export interface Carrier {
  readonly context: MuxContext;
  readonly stream: ByteStream;
  readonly sender: FrameSender;
  /** It takes no new streams and closes after the last one. */
  readonly draining: boolean;
  /** Whether this side accepted: the one that may refuse. */
  readonly mayRefuse: boolean;
  /** No frame of the stream counts any more. */
  forget(stream: MuxStream): void;
}

/** Bytes at rest, in one buffer that is as large as it must be. */
class Resting {
  buffer: Buffer | undefined = undefined;
  start = 0;
  end = 0;

  get length(): number {
    return this.end - this.start;
  }

  /** Room is made ahead, up to `most` bytes. */
  add(from: Buffer, start: number, end: number, most = Number.POSITIVE_INFINITY): void {
    const length = end - start;
    const kept = this.end - this.start;
    const known = this.buffer;
    if (known === undefined || this.end + length > known.length) {
      const roomy = known !== undefined && kept + length <= known.length && this.start >= kept;
      const next = roomy ? known : Buffer.allocUnsafeSlow(room(kept, length, most));
      known?.copy(next, 0, this.start, this.end);
      this.buffer = next;
      this.start = 0;
      this.end = kept;
    }
    from.copy(this.buffer as Buffer, this.end, start, end);
    this.end += length;
  }

  /** `bytes` of the front are done with. */
  drop(bytes: number): void {
    this.start += bytes;
    if (this.start === this.end) this.clear();
  }

  clear(): void {
    this.buffer = undefined;
    this.start = 0;
    this.end = 0;
  }
}

function room(kept: number, length: number, most: number): number {
  return Math.max(kept + length, Math.min(most, Math.max(FIRST_HELD_BYTES, 2 * kept)));
}

/** One of the byte streams that a multiplexed connection carries. */
export class MuxStream implements ByteStream {
  user: ByteStreamUser = NO_USER;
  maxReadBytes = READ_BYTES;
  closed = false;
  readonly refuse?: () => void;
  readonly id: number;
  /** Bytes that may be sent. Of the connection. */
  credit: number;
  /** Bytes that the peer may send. Of the connection. */
  allowed: number;
  /** BLOCKED was sent since the last credit came. Of the connection. */
  saidBlocked = false;
  /** In the connection's queue for room. Of the connection. */
  queued = false;
  /** Something was sent on it. Of the connection. */
  answered = false;
  readonly #carrier: Carrier;
  #window: number;
  /** Read by the user, and not yet given back as credit. */
  #taken = 0;
  /** The peer said that the window holds it up, since credit was given last. */
  #wanted = false;
  readonly #waiting = new Resting();
  #owesDrain = false;
  #paused = false;
  readonly #held = new Resting();
  #heldEnd = false;
  #heldClose = false;
  #closeError: Error | undefined = undefined;
  #replaying = false;
  #readEnded = false;
  #ending = false;
  #endSent = false;
  #error: Error | undefined = undefined;

  constructor(carrier: Carrier, id: number) {
    const { windowBytes } = carrier.context.limits;
    this.#carrier = carrier;
    this.id = id;
    this.credit = windowBytes;
    this.allowed = windowBytes;
    this.#window = windowBytes;
    if (carrier.mayRefuse) this.refuse = () => this.#refuse();
  }

  get retiring(): boolean {
    return this.#carrier.draining;
  }

  get pendingBytes(): number {
    return this.#waiting.length;
  }

  get remoteAddress(): string {
    return this.#carrier.stream.remoteAddress;
  }

  get remotePort(): number {
    return this.#carrier.stream.remotePort;
  }

  get localAddress(): string {
    return this.#carrier.stream.localAddress;
  }

  get localPort(): number {
    return this.#carrier.stream.localPort;
  }

  // --- writing

  write(buffer: Buffer, start: number, end: number): boolean {
    if (this.closed || this.#ending || end <= start) return true;
    const waiting = this.#waiting.length;
    if (waiting === 0) {
      const sent = this.#carrier.sender.sendData(this, buffer, start, end);
      if (sent === end) return true;
      this.#waiting.add(buffer, sent, end);
      if (this.credit === 0) this.#carrier.sender.sayBlocked(this);
      else this.#carrier.sender.waitForRoom(this);
    } else {
      const { maxPendingBytes } = this.#carrier.context.limits;
      if (waiting > maxPendingBytes) {
        this.destroy(overflowError(maxPendingBytes));
        return true;
      }
      this.#waiting.add(buffer, start, end);
    }
    this.#owesDrain = true;
    return false;
  }

  /** Sends at most `quantum` bytes of what waits; false: nothing is left to send, or no credit to send it. */
  sendWaiting(quantum: number): boolean {
    const { buffer, start, end } = this.#waiting;
    if (buffer === undefined || this.closed) return false;
    const sent = this.#carrier.sender.sendData(this, buffer, start, Math.min(end, start + quantum));
    this.#waiting.drop(sent - start);
    if (this.#waiting.length > 0) {
      if (this.credit > 0) return true;
      this.#carrier.sender.sayBlocked(this);
      return false;
    }
    if (this.#ending) this.#sendEnd();
    if (this.#owesDrain && !this.closed) {
      this.#owesDrain = false;
      try {
        this.user.onDrain();
      } catch (error) {
        this.#failed(error);
      }
    }
    return false;
  }

  end(): void {
    if (this.#ending || this.closed) return;
    this.#ending = true;
    if (this.#waiting.length === 0) this.#sendEnd();
  }

  #sendEnd(): void {
    if (this.#endSent || this.closed) return;
    this.#endSent = true;
    this.#carrier.sender.sendEnd(this);
    this.#closeIfDone();
  }

  // --- reading

  pause(): void {
    if (!this.closed) this.#paused = true;
  }

  resume(): void {
    if (!this.#paused || this.closed) return;
    this.#paused = false;
    if (this.#replaying || (this.#held.length === 0 && !this.#heldEnd && !this.#heldClose)) return;
    this.#replaying = true;
    process.nextTick(() => {
      this.#replaying = false;
      this.#replay();
    });
  }

  get #holding(): boolean {
    return this.#paused || this.#held.length > 0;
  }

  /** Payload of the stream: `b[from, to)`, of the read buffer. */
  received(b: Buffer, from: number, to: number): void {
    if (this.closed) return;
    if (this.#holding) {
      this.#hold(b, from, to);
      return;
    }
    const length = to - from;
    try {
      this.user.onRead(from === 0 ? b : b.subarray(from, to), length);
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.#consumed(length);
  }

  #hold(b: Buffer, from: number, to: number): void {
    const { context } = this.#carrier;
    context.held += to - from;
    this.#held.add(b, from, to, this.#window);
    if (context.held > context.limits.heldBytes) this.destroy(overflowError(context.limits.heldBytes), true);
  }

  #replay(): void {
    while (this.#held.length > 0) {
      if (this.#paused || this.closed) return;
      const { buffer, start } = this.#held;
      const length = Math.min(this.#held.length, this.maxReadBytes);
      const view = (buffer as Buffer).subarray(start, start + length);
      this.#carrier.context.held -= length;
      this.#held.drop(length);
      try {
        this.user.onRead(view, length);
      } catch (error) {
        this.#failed(error);
        return;
      }
      this.#consumed(length);
    }
    if (this.#paused || this.closed) return;
    if (this.#heldEnd) this.#end();
    if (this.#heldClose && !this.#paused) this.#closedByPeer();
  }

  /** Credit goes back when half a window has been read: seldom enough to cost little, soon enough not to stall. */
  #consumed(length: number): void {
    this.#taken += length;
    if (this.#taken * 2 < this.#window || this.closed || this.#readEnded) return;
    const { context } = this.#carrier;
    // Where growth is short, windows that nobody was held up by shrink again.
    if (!this.#wanted && context.growthLeft * 2 < context.limits.growthBytes) {
      const least = context.limits.windowBytes;
      const less = Math.min(this.#window - least, this.#window >> 2);
      if (less > 0) {
        this.#window -= less;
        this.#taken -= less;
        context.growthLeft += less;
      }
    }
    this.#give(this.#taken);
    this.#taken = 0;
  }

  #give(bytes: number): void {
    this.#wanted = false;
    this.allowed += bytes;
    this.#carrier.sender.sendWindow(this, bytes);
  }

  /**
   * The peer has more and no credit. A user who reads on gets a larger window; one who does not, does not. False: the
   * peer had said so since it last got credit.
   */
  wanted(): boolean {
    if (this.closed || this.#readEnded) return true;
    const again = this.#wanted;
    this.#wanted = true;
    const { context } = this.#carrier;
    const { growthLeft, limits } = context;
    const more = Math.min(this.#window, limits.maxWindowBytes - this.#window, growthLeft);
    if (again) return false;
    if (this.#holding || more <= 0) return true;
    this.#window += more;
    context.growthLeft -= more;
    this.#give(more + this.#taken);
    this.#taken = 0;
    return true;
  }

  /** The peer has said that it sends no more. */
  get ended(): boolean {
    return this.#readEnded || this.#heldEnd || this.#heldClose;
  }

  receivedEnd(): void {
    if (this.closed) return;
    if (this.#holding) this.#heldEnd = true;
    else this.#end();
  }

  #end(): void {
    if (this.#readEnded) return;
    this.#readEnded = true;
    this.#heldEnd = false;
    try {
      this.user.onEnd();
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.#closeIfDone();
  }

  // --- the end

  #closeIfDone(): void {
    if (!this.#readEnded || !this.#endSent || this.closed) return;
    this.#gone(undefined);
    this.#carrier.forget(this);
    queueMicrotask(() => this.tellClosed());
  }

  destroy(error?: Error, reset = false): void {
    if (this.closed) return;
    this.#drop(error, reset || this.#waiting.length > 0 ? RESET_BROKEN : RESET_CLOSED);
  }

  #refuse(): void {
    if (!this.closed) this.#drop(undefined, RESET_REFUSED);
  }

  #drop(error: Error | undefined, how: number): void {
    this.#gone(error);
    this.#carrier.sender.sendReset(this, how);
    this.#carrier.forget(this);
    queueMicrotask(() => this.tellClosed());
  }

  /** The peer has closed the stream in both directions, or refuses what it has not read; what came is read first. */
  closedByPeer(error?: Error): void {
    if (this.closed) return;
    this.#closeError = error;
    if (this.#holding) this.#heldClose = true;
    else this.#closedByPeer();
  }

  #closedByPeer(): void {
    const error = this.#closeError;
    if (!this.#readEnded && error === undefined) this.#end();
    if (this.closed) return;
    this.#gone(error);
    this.#carrier.forget(this);
    this.tellClosed();
  }

  /** The stream is no more, by no deed of this side: `tellClosed` is to follow. */
  lost(error: Error): void {
    this.#gone(error);
  }

  #gone(error: Error | undefined): void {
    const { context } = this.#carrier;
    this.closed = true;
    this.#error = error;
    context.held -= this.#held.length;
    context.growthLeft += this.#window - context.limits.windowBytes;
    this.#held.clear();
    this.#waiting.clear();
  }

  /** Nothing comes on the connection any more. */
  stall(): void {
    try {
      if (!this.closed) this.user.onStall?.();
    } catch (error) {
      this.#failed(error);
    }
  }

  tellClosed(): void {
    try {
      this.user.onClose(this.#error);
    } catch (error) {
      this.#carrier.context.log.error("stream_user_failed", { error: errorText(error) });
    }
  }

  #failed(error: unknown): void {
    this.#carrier.context.log.error("stream_user_failed", { error: errorText(error) });
    this.destroy(callbackError(error), true);
  }
}
