// What frames say, at both ends of HTTP/2 connections (RFC 9113).
import type { ByteStreamUser } from "../../transport/byte-stream.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import {
  COMPRESSION_ERROR,
  contentEnd,
  contentStart,
  ENHANCE_YOUR_CALM,
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
import { HPACK_ERROR, HpackDecoder } from "./hpack/decoder.ts";
import type { Field } from "./hpack/field.ts";
import { shorten } from "./message.ts";
import { Http2Session } from "./session.ts";
import { applySettings, defaultSettings } from "./settings.ts";

export abstract class Http2Connection extends Http2Session implements ByteStreamUser, FrameSink {
  protected readonly peer = defaultSettings();
  protected readonly decoder = new HpackDecoder();
  readonly #reader = new FrameReader(this);

  // --- what each end does its own way

  /** A whole header block of stream `id`, not decoded yet: to be decoded whatever becomes of it. */
  protected abstract onHeaderBlock(id: number, end: boolean, b: Buffer, from: number, to: number): void;
  /** The stream was never opened: a frame on it breaks the rules. */
  protected abstract isIdle(id: number): boolean;
  protected abstract onGoaway(lastId: number, code: number): void;
  protected abstract onSettled(): void;
  protected abstract onPong(): void;

  // --- reading

  onRead(b: Buffer, length: number): void {
    this.heard = true;
    if (!this.over) this.#reader.read(b, this.skipPreface(b, length), length);
  }

  /** Where the frames begin in what was read. */
  protected skipPreface(_b: Buffer, _length: number): number {
    return 0;
  }

  onFrame(type: number, flags: number, id: number, b: Buffer, from: number, to: number): void {
    if (this.block.id !== 0 && (type !== FRAME_CONTINUATION || id !== this.block.id)) {
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
        if (!this.idleFrame()) return;
        if ((flags & FLAG_ACK) !== 0) this.onPong();
        else this.writePing(true, b, from);
        return;
      case FRAME_WINDOW_UPDATE:
        this.#takeWindowUpdate(id, readUint31(b, from));
        return;
      case FRAME_GOAWAY:
        if (this.idleFrame()) this.onGoaway(readUint31(b, from), readUint32(b, from + 4));
        return;
      case FRAME_PRIORITY:
        if (readUint31(b, from) === id) this.#streamError(id, PROTOCOL_ERROR);
        else this.idleFrame();
        return;
      case FRAME_PUSH_PROMISE:
        this.fail(PROTOCOL_ERROR);
        return;
      default:
        this.idleFrame();
    }
  }

  onBrokenFrame(code: number): void {
    this.fail(code);
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
    this.block.begin(id, (flags & FLAG_END_STREAM) !== 0, b, start, end);
    this.arm(this.engine.base.limits.headMs);
  }

  #continueHeaders(flags: number, b: Buffer, from: number, to: number): void {
    const block = this.block;
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
    if (!this.wasReset(id)) this.fail(STREAM_CLOSED);
    else this.idleFrame();
  }

  #takeReset(id: number, code: number): void {
    if (this.isIdle(id)) {
      this.fail(PROTOCOL_ERROR);
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) {
      this.idleFrame();
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
      else this.idleFrame();
      return;
    }
    if (!this.idleFrame()) return;
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
    if (!this.idleFrame()) return;
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
      this.recvWindow -= charge;
      if (this.recvWindow < 0) {
        this.fail(FLOW_CONTROL_ERROR);
        return;
      }
    }
    if (this.block.id !== 0 || !this.settled) {
      this.fail(PROTOCOL_ERROR);
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined || stream.receivedEnd) {
      this.creditConnection(charge);
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
    if (from === to && !last && charge === padding && !this.idleFrame()) return;
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
    else if (charge > 0 && this.idleFrame() && !this.wasReset(id)) this.fail(STREAM_CLOSED);
  }

  /** The peer broke the rules on one stream. */
  #streamError(id: number, code: number): void {
    if (!this.idleFrame()) return;
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id)) this.fail(code);
      return;
    }
    this.malformed(stream, code);
  }
}
