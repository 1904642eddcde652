// The life of an HTTP/2 connection, apart from what its frames say: its streams, the windows that it grants, time, and
// the end (RFC 9113).
import type { ByteStream } from "../../transport/byte-stream.ts";
import { WheelTimer } from "../../transport/timer-wheel.ts";
import type { Http2Engine } from "./engine.ts";
import { FloodGuard } from "./flood-guard.ts";
import { CANCEL, ENHANCE_YOUR_CALM, ERROR_NAMES, NO_ERROR, PROTOCOL_ERROR } from "./frames.ts";
import { HeaderBlock } from "./header-block.ts";
import { Sender } from "./sender.ts";
import { FIRST_WINDOW_BYTES, type Stream } from "./stream.ts";

/** Bytes that may be on their way to us on a connection: as many as our streams' first windows together. */
const CONNECTION_WINDOW = 16 * 1024 * 1024;
const MAX_STREAM_WINDOW = 1024 * 1024;
/** By how much all windows of a connection's streams together may have grown. */
const MAX_GROWN = 4 * 1024 * 1024;
export const PING_DATA = Buffer.alloc(8);
/** Frames are read wherever they are, so that bulk may come in larger reads. */
const BULK_READ_BYTES = 262_144;
const LINGER_MS = 1_000;
/** Streams that were reset from this side lately: what was under way on them comes still. */
const REMEMBERED_RESETS = 256;

export abstract class Http2Session extends Sender {
  readonly streams = new Map<number, Stream>();
  /** No more is read, or sent: the end is under way. */
  over = false;
  /** Takes no new streams. */
  draining = false;
  /** The peer's first SETTINGS have come. */
  settled = false;
  protected readonly engine: Http2Engine;
  protected readonly guard: FloodGuard;
  /** Has a limit in time, as the connection itself. */
  protected readonly block = new HeaderBlock();
  /** What the peer may send on all streams together. */
  protected recvWindow = FIRST_WINDOW_BYTES;
  /** Something came since this was last asked. */
  protected heard = false;
  readonly #timer: WheelTimer;
  #owed = 0;
  #grown = 0;
  #pinged = false;
  #armedMs = 0;
  readonly #resets = new Int32Array(REMEMBERED_RESETS);
  #nextReset = 0;

  constructor(stream: ByteStream, engine: Http2Engine) {
    super(stream, engine.outputs);
    this.engine = engine;
    this.guard = new FloodGuard(engine.limits);
    stream.maxReadBytes = BULK_READ_BYTES;
    this.#timer = new WheelTimer(() => this.#expired());
  }

  get remoteAddress(): string {
    return this.stream.remoteAddress;
  }

  /** The peer begins the streams, so that resetting them may be an attack. */
  protected abstract readonly countsResets: boolean;
  /** A stream has closed. */
  protected abstract onStreamClosed(): void;
  /** The connection is gone, its streams are told already. */
  protected abstract onOver(): void;
  /** Of a stream of the peer that was processed, for GOAWAY. */
  protected abstract lastPeerId(): number;
  /** How long the connection may be without a stream. */
  protected abstract idleMs(): number;

  /** Says our settings and opens the connection's window. */
  protected greet(settings: readonly number[]): void {
    this.writeSettings(settings);
    this.writeWindowUpdate(0, CONNECTION_WINDOW - FIRST_WINDOW_BYTES);
    this.recvWindow = CONNECTION_WINDOW;
    this.arm(this.engine.base.limits.headMs);
  }

  /** A frame that carries nothing; false where the connection is over for it. */
  protected idleFrame(): boolean {
    if (this.guard.idleFrame()) return true;
    this.fail(ENHANCE_YOUR_CALM);
    return false;
  }

  // --- windows of ours

  /** `bytes` that came on `stream` have been passed on or dropped: the peer may send as many more. */
  credit(stream: Stream, bytes: number): void {
    const count = Math.min(bytes, stream.uncredited);
    if (count <= 0) return;
    stream.uncredited -= count;
    this.creditConnection(count);
    if (!stream.open || stream.receivedEnd) return;
    stream.owed += count;
    if (stream.owed * 2 < stream.recvLimit || this.over) return;
    // What is passed on as fast as it comes may come faster: the window, not the reader, was what held it up.
    const { recvLimit } = stream;
    if (recvLimit < MAX_STREAM_WINDOW && this.#grown + recvLimit <= MAX_GROWN && !stream.other.waiting) {
      this.#grown += recvLimit;
      stream.owed += recvLimit;
      stream.recvLimit = 2 * recvLimit;
    }
    stream.recvWindow += stream.owed;
    this.writeWindowUpdate(stream.id, stream.owed);
    stream.owed = 0;
  }

  /** Nothing that came on `stream` is kept any more. */
  settle(stream: Stream): void {
    this.creditConnection(stream.uncredited);
    stream.uncredited = 0;
  }

  protected creditConnection(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed * 4 < CONNECTION_WINDOW || this.over) return;
    this.recvWindow += this.#owed;
    this.writeWindowUpdate(0, this.#owed);
    this.#owed = 0;
  }

  protected override passedOn(from: Stream, bytes: number): void {
    from.connection?.credit(from, bytes);
  }

  // --- streams

  /** Ends `stream` from this side, at once. */
  reset(stream: Stream, code: number): void {
    if (!stream.open) return;
    if (!this.over) {
      this.writeReset(stream.id, code);
      this.#remember(stream.id);
    }
    this.forget(stream);
    stream.user.onClosed(stream);
  }

  /** Resets `stream`, on which the peer broke the rules, and tells its user. */
  malformed(stream: Stream, code = PROTOCOL_ERROR): void {
    this.writeReset(stream.id, code);
    this.#remember(stream.id);
    this.forget(stream);
    stream.user.onReset(stream, code, true);
    // A client that makes us reset its streams costs what one costs that resets them itself (CVE-2025-8671).
    if (this.countsResets && !this.guard.reset()) this.fail(ENHANCE_YOUR_CALM);
  }

  /** Answers a stream that was never taken up. */
  protected refuse(id: number, code: number): void {
    this.writeReset(id, code);
    this.#remember(id);
    this.idleFrame();
  }

  #remember(id: number): void {
    this.#resets[this.#nextReset++ % REMEMBERED_RESETS] = id;
  }

  /** What comes on the stream may have been under way when this side reset it. */
  protected wasReset(id: number): boolean {
    return this.#resets.includes(id);
  }

  protected override ended(stream: Stream): void {
    if (stream.receivedEnd) this.closeIfDone(stream, stream.id);
  }

  /** Closes the stream where it is still the one that `id` was, and both sides have ended. */
  protected closeIfDone(stream: Stream, id: number): void {
    if (!stream.open || stream.id !== id || stream.connection !== this) return;
    if (!stream.sentEnd || !stream.receivedEnd) return;
    this.guard.served();
    this.forget(stream);
    stream.user.onClosed(stream);
  }

  /** Takes the stream off the table; what waits on it is dropped. */
  protected forget(stream: Stream): void {
    if (!stream.open) return;
    stream.open = false;
    this.streams.delete(stream.id);
    this.#grown -= stream.recvLimit - FIRST_WINDOW_BYTES;
    const { other } = stream;
    const dropped = stream.queueEnd - stream.queueStart;
    this.dequeue(stream);
    if (dropped > 0) other.connection?.credit(other, dropped);
    if (this.streams.size === 0 && !this.over) this.rearm();
    this.onStreamClosed();
  }

  // --- time

  protected arm(afterMs: number): void {
    this.#armedMs = afterMs;
    this.engine.base.transport.wheel.arm(this.#timer, afterMs);
  }

  /** Waits for whatever is to come next. */
  protected rearm(): void {
    if (this.over || this.block.id !== 0 || !this.settled) return;
    this.arm(this.streams.size === 0 ? this.idleMs() : this.engine.limits.pingAfterMs);
  }

  #expired(): void {
    this.guard.passed(this.#armedMs / 1_000);
    if (this.over) {
      this.stream.destroy();
      return;
    }
    if (!this.settled || this.block.id !== 0) {
      this.fail(this.block.id !== 0 ? ENHANCE_YOUR_CALM : PROTOCOL_ERROR);
      return;
    }
    if (this.streams.size === 0) {
      this.fail(NO_ERROR);
      return;
    }
    const heard = this.heard;
    this.heard = false;
    if (heard) {
      this.#pinged = false;
      this.arm(this.engine.limits.pingAfterMs);
    } else if (this.#pinged) {
      this.stream.destroy(undefined, true);
    } else {
      this.#pinged = true;
      this.writePing(false, PING_DATA, 0);
      this.arm(this.engine.limits.pingMs);
    }
  }

  // --- the end

  /** Ends the connection with GOAWAY; what is under way is lost. */
  fail(code: number): void {
    if (this.over) return;
    if (code !== NO_ERROR) {
      const error = ERROR_NAMES[code] ?? "UNKNOWN";
      this.engine.base.log.debug("http2.connection.failed", { error });
      this.engine.failed(error);
    }
    this.writeGoaway(this.lastPeerId(), code);
    this.end();
  }

  /** Closes after what has been written. */
  protected end(): void {
    if (this.over) return;
    this.flush();
    this.over = true;
    this.stream.end();
    this.engine.base.transport.wheel.arm(this.#timer, LINGER_MS);
    this.#lose();
  }

  #lose(): void {
    this.draining = true;
    for (const stream of [...this.streams.values()]) {
      if (!stream.open) continue;
      this.forget(stream);
      stream.user.onLost(stream, false);
    }
    this.onOver();
  }

  /** Streams that the peer did nothing with, and will not. */
  protected lose(above: number): void {
    for (const [id, stream] of [...this.streams]) {
      if (id <= above || !stream.open) continue;
      this.forget(stream);
      stream.user.onLost(stream, true);
    }
  }

  onEnd(): void {
    if (this.over) this.stream.destroy();
    else this.end();
  }

  onDrain(): void {
    this.blocked = false;
    if (!this.over) this.sendWaiting();
  }

  onClose(): void {
    this.engine.base.transport.wheel.drop(this.#timer);
    if (this.over) {
      this.discard();
      return;
    }
    this.over = true;
    this.discard();
    this.#lose();
  }

  destroy(): void {
    this.stream.destroy(undefined, true);
  }

  /** Ends a stream that nobody wants any more. */
  cancel(stream: Stream): void {
    if (stream.receivedEnd && stream.sentEnd) this.closeIfDone(stream, stream.id);
    else this.reset(stream, CANCEL);
  }
}
