// The sending half of a connection: frames are written into a buffer that goes out once per turn of the event loop.
import type { ByteStream } from "../../transport/byte-stream.ts";
import { put } from "../http1/head-writer.ts";
import {
  DEFAULT_MAX_FRAME_BYTES,
  FLAG_END_STREAM,
  FRAME_DATA,
  FRAME_HEADER_BYTES,
  frameHeaderBlock,
  writeFrameHeader,
  writeGoaway,
  writePing,
  writeRstStream,
  writeSettings,
  writeSettingsAck,
  writeWindowUpdate,
} from "./frames.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import type { Field } from "./hpack/field.ts";
import type { DirtyConnection, Outputs } from "./outputs.ts";
import { FIRST_WINDOW_BYTES, type Stream } from "./stream.ts";

const TABLE_UPDATE_BYTES = 6;
/** After so much of a stream it is looked whether the socket takes more. */
const TURN_BYTES = 65_536;

export abstract class Sender implements DirtyConnection {
  readonly stream: ByteStream;
  /** What the peer lets us send on all streams together, and on a new one. */
  sendWindow = FIRST_WINDOW_BYTES;
  initialWindow = FIRST_WINDOW_BYTES;
  /** The socket takes no more until it says so. */
  blocked = false;
  protected readonly encoder = new HpackEncoder();
  readonly #outputs: Outputs;
  readonly #waiting = new Set<Stream>();
  #out: Buffer | undefined = undefined;
  #end = 0;

  constructor(stream: ByteStream, outputs: Outputs) {
    this.stream = stream;
    this.#outputs = outputs;
  }

  /** `bytes` that came on `from` have been sent here. */
  protected abstract passedOn(from: Stream, bytes: number): void;
  /** END_STREAM has been sent. */
  protected abstract ended(stream: Stream): void;
  abstract reset(stream: Stream, code: number): void;

  // --- the buffer

  /** The buffer, with `bytes` of room from `#end` on. */
  #room(bytes: number): Buffer {
    const out = this.#out;
    if (out !== undefined) {
      if (this.#end + bytes <= out.length) return out;
      this.#write(out);
      return out;
    }
    const taken = this.#outputs.take(this);
    this.#out = taken;
    this.#end = 0;
    return taken;
  }

  #write(out: Buffer): void {
    const end = this.#end;
    this.#end = 0;
    if (end > 0 && !this.stream.write(out, 0, end)) this.blocked = true;
  }

  flush(): void {
    const out = this.#out;
    if (out === undefined) return;
    this.#out = undefined;
    this.#write(out);
    this.#outputs.give(out);
  }

  /** The socket is gone. */
  protected discard(): void {
    const out = this.#out;
    this.#out = undefined;
    if (out !== undefined) this.#outputs.give(out);
    this.#waiting.clear();
  }

  /** A preface, before all frames. */
  protected writeBytes(bytes: Readonly<Uint8Array>): void {
    const out = this.#room(bytes.length);
    out.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  // --- frames of the connection

  protected writeSettings(settings: readonly number[]): void {
    const out = this.#room(FRAME_HEADER_BYTES + settings.length * 3);
    this.#end = writeSettings(out, this.#end, settings);
  }

  protected writeSettingsAck(): void {
    const out = this.#room(FRAME_HEADER_BYTES);
    this.#end = writeSettingsAck(out, this.#end);
  }

  /** With 8 bytes of `data` at `from`. */
  protected writePing(ack: boolean, data: Uint8Array, from: number): void {
    const out = this.#room(FRAME_HEADER_BYTES + 8);
    this.#end = writePing(out, this.#end, ack, data, from);
  }

  protected writeGoaway(lastId: number, code: number): void {
    const out = this.#room(FRAME_HEADER_BYTES + 8);
    this.#end = writeGoaway(out, this.#end, lastId, code);
  }

  protected writeWindowUpdate(id: number, increment: number): void {
    const out = this.#room(FRAME_HEADER_BYTES + 4);
    this.#end = writeWindowUpdate(out, this.#end, id, increment);
  }

  protected writeReset(id: number, code: number): void {
    const out = this.#room(FRAME_HEADER_BYTES + 4);
    this.#end = writeRstStream(out, this.#end, id, code);
  }

  // --- messages

  /** Sends a header list; one that ends the stream waits for its data. */
  sendHeaders(stream: Stream, fields: Field[], end: boolean): void {
    if (!stream.open || stream.sentEnd) return;
    if (stream.waiting) {
      stream.trailers = fields.slice();
      return;
    }
    this.#writeHeaders(stream, fields, end);
  }

  #writeHeaders(stream: Stream, fields: Field[], end: boolean): void {
    let room = FRAME_HEADER_BYTES + TABLE_UPDATE_BYTES;
    for (const { size } of fields) room += size;
    // Each further frame has a header of its own.
    room += Math.ceil(room / DEFAULT_MAX_FRAME_BYTES) * FRAME_HEADER_BYTES;
    const out = this.#room(room);
    const at = this.#end;
    const to = this.encoder.encode(fields, fields.length, out, at + FRAME_HEADER_BYTES);
    this.#end = frameHeaderBlock(out, at, to, stream.id, end, DEFAULT_MAX_FRAME_BYTES);
    if (end) {
      stream.sentEnd = true;
      this.ended(stream);
    }
  }

  /** Passes bytes of `stream.other` on, or keeps those for which there is no window; the former are credited. */
  sendData(stream: Stream, b: Buffer, start: number, end: number, last: boolean): void {
    if (!stream.open || stream.sentEnd) {
      this.passedOn(stream.other, end - start);
      return;
    }
    let from = start;
    if (!stream.waiting && !this.blocked) {
      const may = Math.max(0, Math.min(end - start, stream.sendWindow, this.sendWindow));
      const all = may === end - start;
      if (may > 0 || all) {
        from += may;
        this.#writeData(stream, b, start, from, last && all);
        if (may > 0) this.passedOn(stream.other, may);
        if (all) {
          if (last) this.ended(stream);
          return;
        }
      }
    }
    stream.enqueue(b, from, end);
    stream.endQueued = last;
    this.#waiting.add(stream);
  }

  /** `last` sets `sentEnd`; `ended` is for the caller. */
  #writeData(stream: Stream, b: Buffer, start: number, end: number, last: boolean): void {
    stream.sendWindow -= end - start;
    this.sendWindow -= end - start;
    if (last) stream.sentEnd = true;
    let from = start;
    do {
      const length = Math.min(end - from, DEFAULT_MAX_FRAME_BYTES);
      const out = this.#room(FRAME_HEADER_BYTES + length);
      const at = this.#end;
      const ends = last && from + length === end;
      const to = writeFrameHeader(out, at, length, FRAME_DATA, ends ? FLAG_END_STREAM : 0, stream.id);
      this.#end = put(out, to, b, from, from + length);
      from += length;
    } while (from < end);
  }

  /** Resets the stream after what waits on it. */
  resetAfterQueue(stream: Stream, code: number): void {
    if (stream.waiting) stream.resetQueued = code;
    else this.reset(stream, code);
  }

  // --- what waits

  /** Sends of all streams that wait what can be sent, in turn. */
  protected sendWaiting(): void {
    for (let left = this.#waiting.size; left > 0 && !this.blocked && this.sendWindow > 0; left--) {
      const next = this.#waiting.values().next();
      if (next.done === true) return;
      this.#waiting.delete(next.value);
      this.#waiting.add(next.value);
      this.sendQueue(next.value);
    }
  }

  /** Sends of what waits on `stream` what can be sent. */
  protected sendQueue(stream: Stream): void {
    const { other } = stream;
    while (!this.blocked) {
      const { queue, queueStart } = stream;
      const queued = stream.queueEnd - queueStart;
      const may = Math.max(0, Math.min(queued, stream.sendWindow, this.sendWindow, TURN_BYTES));
      const all = may === queued;
      if (may === 0 && !all) return;
      const last = all && stream.endQueued;
      if (may > 0 || last) this.#writeData(stream, queue, queueStart, queueStart + may, last);
      if (!all) {
        stream.dequeued(may);
        this.passedOn(other, may);
        continue;
      }
      const { trailers, resetQueued } = stream;
      this.dequeue(stream);
      this.passedOn(other, may);
      if (trailers !== undefined) this.#writeHeaders(stream, trailers, true);
      else if (last) this.ended(stream);
      if (resetQueued >= 0) this.reset(stream, resetQueued);
      return;
    }
  }

  protected dequeue(stream: Stream): void {
    if (this.#waiting.size > 0) this.#waiting.delete(stream);
    stream.dropQueue();
  }
}
