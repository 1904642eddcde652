// What both ends of HTTP/2 connections have in common (RFC 9113): frames, settings, windows, pings, the end.
import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import { WheelTimer } from "../../transport/timer-wheel.ts";
import type { Http2Engine } from "./engine.ts";
import { FloodGuard } from "./flood-guard.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import {
  CANCEL,
  COMPRESSION_ERROR,
  contentEnd,
  contentStart,
  ENHANCE_YOUR_CALM,
  ERROR_NAMES,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PRIORITY,
  FLOW_CONTROL_ERROR,
  FRAME_CONTINUATION,
  FRAME_GOAWAY,
  FRAME_HEADERS,
  FRAME_PING,
  FRAME_PRIORITY,
  FRAME_PUSH_PROMISE,
  FRAME_RST_STREAM,
  FRAME_SETTINGS,
  FRAME_WINDOW_UPDATE,
  MAX_WINDOW_BYTES,
  NO_ERROR,
  PROTOCOL_ERROR,
  readUint31,
  readUint32,
  STREAM_CLOSED,
} from "./frames.ts";
import { HeaderBlock } from "./header-block.ts";
import { HPACK_ERROR, HpackDecoder } from "./hpack/decoder.ts";
import type { Field } from "./hpack/field.ts";
import { shorten } from "./message.ts";
import { Sender } from "./sender.ts";
import { applySettings, defaultSettings } from "./settings.ts";
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

export abstract class Http2Connection extends Sender implements ByteStreamUser, FrameSink {
  readonly streams = new Map<number, Stream>();
  /** No more is read, or sent: the end is under way. */
  over = false;
  /** Takes no new streams. */
  draining = false;
  /** The peer's first SETTINGS have come. */
  settled = false;
  protected readonly peer = defaultSettings();
  protected readonly engine: Http2Engine;
  protected readonly decoder = new HpackDecoder();
  protected readonly guard = new FloodGuard();
  readonly #reader = new FrameReader(this);
  readonly #timer: WheelTimer;
  #recvWindow = FIRST_WINDOW_BYTES;
  #owed = 0;
  #grown = 0;
  readonly #block = new HeaderBlock();
  #heard = false;
  #pinged = false;
  #armedMs = 0;
  readonly #resets = new Int32Array(REMEMBERED_RESETS);
  #nextReset = 0;

  constructor(stream: ByteStream, engine: Http2Engine) {
    super(stream, engine.outputs);
    this.engine = engine;
    stream.maxReadBytes = BULK_READ_BYTES;
    this.#timer = new WheelTimer(() => this.#expired());
  }

  get remoteAddress(): string {
    return this.stream.remoteAddress;
  }

  // --- what each end does its own way

  /** The peer begins the streams, so that resetting them may be an attack. */
  protected abstract readonly countsResets: boolean;
  /** A whole header block of stream `id`, not decoded yet: to be decoded whatever becomes of it. */
  protected abstract onHeaderBlock(id: number, end: boolean, b: Buffer, from: number, to: number): void;
  /** The stream was never opened: a frame on it breaks the rules. */
  protected abstract isIdle(id: number): boolean;
  protected abstract onGoaway(lastId: number, code: number): void;
  protected abstract onSettled(): void;
  protected abstract onPong(): void;
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
    this.#recvWindow = CONNECTION_WINDOW;
    this.arm(this.engine.base.limits.headMs);
  }

  // --- reading

  onRead(b: Buffer, length: number): void {
    this.#heard = true;
    if (!this.over) this.#reader.read(b, this.skipPreface(b, length), length);
  }

  /** Where the frames begin in what was read. */
  protected skipPreface(_b: Buffer, _length: number): number {
    return 0;
  }

  onFrame(type: number, flags: number, id: number, b: Buffer, from: number, to: number): void {
    if (this.#block.id !== 0 && (type !== FRAME_CONTINUATION || id !== this.#block.id)) {
      this.fail(PROTOCOL_ERROR);
      return;
    }
    if (!this.settled && type !== FRAME_SETTINGS) {
      this.fail(PROTOCOL_ERROR);
      return;
    }
    switch (type) {
      case FRAME_HEADERS:
        this.#takeHeaders(flags, id, b, from, to);
        return;
      case FRAME_CONTINUATION:
        this.#continueHeaders(flags, b, from, to);
        return;
      case FRAME_RST_STREAM:
        this.#takeReset(id, readUint32(b, from));
        return;
      case FRAME_SETTINGS:
        this.#takeSettings(flags, b, from, to);
        return;
      case FRAME_PING:
        if (!this.#idleFrame()) return;
        if ((flags & FLAG_ACK) !== 0) this.onPong();
        else this.writePing(true, b, from);
        return;
      case FRAME_WINDOW_UPDATE:
        this.#takeWindowUpdate(id, readUint31(b, from));
        return;
      case FRAME_GOAWAY:
        if (this.#idleFrame()) this.onGoaway(readUint31(b, from), readUint32(b, from + 4));
        return;
      case FRAME_PRIORITY:
        if (readUint31(b, from) === id) this.#streamError(id, PROTOCOL_ERROR);
        else this.#idleFrame();
        return;
      case FRAME_PUSH_PROMISE:
        this.fail(PROTOCOL_ERROR);
        return;
      default:
        this.#idleFrame();
    }
  }

  onBrokenFrame(code: number): void {
    this.fail(code);
  }

  /** False where the connection is over for it. */
  #idleFrame(): boolean {
    if (this.guard.idleFrame()) return true;
    this.fail(ENHANCE_YOUR_CALM);
    return false;
  }

  #takeHeaders(flags: number, id: number, b: Buffer, from: number, to: number): void {
    const length = to - from;
    const start = contentStart(FRAME_HEADERS, flags, from);
    const end = contentEnd(b, FRAME_HEADERS, flags, from, length);
    if (end < start || ((flags & FLAG_PRIORITY) !== 0 && readUint31(b, start - 5) === id)) {
      this.fail(PROTOCOL_ERROR);
      return;
    }
    this.guard.useful();
    if ((flags & FLAG_END_HEADERS) !== 0) {
      this.onHeaderBlock(id, (flags & FLAG_END_STREAM) !== 0, b, start, end);
      return;
    }
    this.#block.begin(id, (flags & FLAG_END_STREAM) !== 0, b, start, end);
    this.arm(this.engine.base.limits.headMs);
  }

  #continueHeaders(flags: number, b: Buffer, from: number, to: number): void {
    const block = this.#block;
    if (block.id === 0) {
      this.fail(PROTOCOL_ERROR);
      return;
    }
    if (!block.append(b, from, to)) {
      this.fail(ENHANCE_YOUR_CALM);
      return;
    }
    if ((flags & FLAG_END_HEADERS) === 0) return;
    const { id, ends } = block;
    const whole = block.take();
    this.rearm();
    this.onHeaderBlock(id, ends, whole, 0, whole.length);
  }

  /** Decodes a header block into `out`; false where the connection has failed. The list's verdict is in `listBytes`. */
  protected decode(b: Buffer, from: number, to: number, out: Field[]): boolean {
    shorten(out, 0);
    this.listBytes = this.decoder.decode(b, from, to, out, this.engine.limits.maxListBytes);
    if (this.listBytes !== HPACK_ERROR) return true;
    this.fail(COMPRESSION_ERROR);
    return false;
  }

  /** Of the last list decoded; HPACK_TOO_LARGE where it is. */
  protected listBytes = 0;

  /** A block on a stream that has closed: of one that we reset it may be late; else the peer is confused. */
  protected onLateBlock(id: number, b: Buffer, from: number, to: number): void {
    if (!this.decode(b, from, to, this.engine.fields)) return;
    if (!this.#resets.includes(id)) this.fail(STREAM_CLOSED);
    else this.#idleFrame();
  }

  #takeReset(id: number, code: number): void {
    if (this.isIdle(id)) {
      this.fail(PROTOCOL_ERROR);
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) {
      this.#idleFrame();
      return;
    }
    const early = !stream.sentEnd;
    this.forget(stream);
    stream.user.onReset(stream, code, false);
    if (early && this.countsResets && !this.guard.reset()) this.fail(ENHANCE_YOUR_CALM);
  }

  #takeSettings(flags: number, b: Buffer, from: number, to: number): void {
    if ((flags & FLAG_ACK) !== 0) {
      if (!this.settled) this.fail(PROTOCOL_ERROR);
      else this.#idleFrame();
      return;
    }
    if (!this.#idleFrame()) return;
    const { peer } = this;
    const error = applySettings(peer, b, from, to, !this.countsResets);
    if (error !== NO_ERROR) {
      this.fail(error);
      return;
    }
    this.encoder.setMaxTableBytes(peer.headerTableBytes);
    if (!this.#resizeWindows(peer.initialWindowBytes)) {
      this.fail(FLOW_CONTROL_ERROR);
      return;
    }
    this.writeSettingsAck();
    if (!this.settled) {
      this.settled = true;
      this.rearm();
    }
    this.onSettled();
    this.sendWaiting();
  }

  /** False where a window would be too large (RFC 9113 section 6.9.2). */
  #resizeWindows(bytes: number): boolean {
    const change = bytes - this.initialWindow;
    if (change === 0) return true;
    this.initialWindow = bytes;
    for (const stream of this.streams.values()) {
      stream.sendWindow += change;
      if (stream.sendWindow > MAX_WINDOW_BYTES) return false;
    }
    return true;
  }

  #takeWindowUpdate(id: number, increment: number): void {
    if (!this.#idleFrame()) return;
    if (id === 0) {
      if (increment === 0) this.fail(PROTOCOL_ERROR);
      else if (this.sendWindow + increment > MAX_WINDOW_BYTES) this.fail(FLOW_CONTROL_ERROR);
      else {
        this.sendWindow += increment;
        this.sendWaiting();
      }
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id)) this.fail(PROTOCOL_ERROR);
      return;
    }
    if (increment === 0) this.#streamError(id, PROTOCOL_ERROR);
    else if (stream.sendWindow + increment > MAX_WINDOW_BYTES) this.#streamError(id, FLOW_CONTROL_ERROR);
    else {
      stream.sendWindow += increment;
      if (stream.waiting) this.sendQueue(stream);
    }
  }

  onData(id: number, charge: number, padding: number, b: Buffer, from: number, to: number, last: boolean): void {
    if (charge > 0) {
      this.#recvWindow -= charge;
      if (this.#recvWindow < 0) {
        this.fail(FLOW_CONTROL_ERROR);
        return;
      }
    }
    if (this.#block.id !== 0 || !this.settled) {
      this.fail(PROTOCOL_ERROR);
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined || stream.receivedEnd) {
      this.#creditConnection(charge);
      this.#strayData(id, charge);
      return;
    }
    if (charge > 0) {
      if (charge > padding) this.guard.useful();
      stream.recvWindow -= charge;
      stream.uncredited += charge;
      if (stream.recvWindow < 0) {
        this.#streamError(id, FLOW_CONTROL_ERROR);
        return;
      }
      if (padding > 0) this.credit(stream, padding);
    }
    if (from === to && !last && charge === padding && !this.#idleFrame()) return;
    if (stream.contentLeft >= 0) {
      stream.contentLeft -= to - from;
      if (stream.contentLeft < 0 || (last && stream.contentLeft > 0)) {
        this.#streamError(id, PROTOCOL_ERROR);
        return;
      }
    }
    if (last) stream.receivedEnd = true;
    stream.user.onData(stream, b, from, to, last);
    if (last) this.closeIfDone(stream, id);
  }

  #strayData(id: number, charge: number): void {
    if (this.isIdle(id)) this.fail(PROTOCOL_ERROR);
    else if (this.streams.has(id)) this.#streamError(id, STREAM_CLOSED);
    else if (charge > 0 && this.#idleFrame() && !this.#resets.includes(id)) this.fail(STREAM_CLOSED);
  }

  /** The peer broke the rules on one stream. */
  #streamError(id: number, code: number): void {
    if (!this.#idleFrame()) return;
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id)) this.fail(code);
      return;
    }
    this.malformed(stream, code);
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

  // --- windows of ours

  /** `bytes` that came on `stream` have been passed on or dropped: the peer may send as many more. */
  credit(stream: Stream, bytes: number): void {
    const count = Math.min(bytes, stream.uncredited);
    if (count <= 0) return;
    stream.uncredited -= count;
    this.#creditConnection(count);
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
    this.#creditConnection(stream.uncredited);
    stream.uncredited = 0;
  }

  #creditConnection(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed * 4 < CONNECTION_WINDOW || this.over) return;
    this.#recvWindow += this.#owed;
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

  /** Answers a stream that was never taken up. */
  protected refuse(id: number, code: number): void {
    this.writeReset(id, code);
    this.#remember(id);
    this.#idleFrame();
  }

  #remember(id: number): void {
    this.#resets[this.#nextReset++ % REMEMBERED_RESETS] = id;
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
    if (this.over || this.#block.id !== 0 || !this.settled) return;
    this.arm(this.streams.size === 0 ? this.idleMs() : this.engine.limits.pingAfterMs);
  }

  #expired(): void {
    this.guard.passed(this.#armedMs / 1_000);
    if (this.over) {
      this.stream.destroy();
      return;
    }
    if (!this.settled || this.#block.id !== 0) {
      this.fail(this.#block.id !== 0 ? ENHANCE_YOUR_CALM : PROTOCOL_ERROR);
      return;
    }
    if (this.streams.size === 0) {
      this.fail(NO_ERROR);
      return;
    }
    const heard = this.#heard;
    this.#heard = false;
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
    this.engine.base.transport.wheel.disarm(this.#timer);
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
