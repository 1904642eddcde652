import {
  checkFrame,
  DEFAULT_MAX_FRAME_BYTES,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FRAME_DATA,
  FRAME_HEADER_BYTES,
  frameFlags,
  frameLength,
  frameStream,
  frameType,
  NO_ERROR,
  PROTOCOL_ERROR,
} from "./frames.ts";

/** Who takes the frames of a connection. */
export interface FrameSink {
  /** Nothing more is wanted. */
  readonly over: boolean;
  /** A frame other than DATA; its payload is `b[start, end)`, valid during the call. */
  onFrame(type: number, flags: number, id: number, b: Buffer, start: number, end: number): void;
  /**
   * Payload of a DATA frame as it comes, `b[start, end)`. The first piece of each frame has `charge`, the frame's
   * whole length as flow control counts it, of which `padding` bytes are none of the payload; later ones have 0.
   * `end`: it is the frame's last and ends the stream.
   */
  onData(id: number, charge: number, padding: number, b: Buffer, from: number, to: number, end: boolean): void;
  /** The peer's framing is broken: a connection error. */
  onBrokenFrame(code: number): void;
}

const NOTHING = Buffer.alloc(0);

/**
 * Cuts a byte stream into frames, in place. DATA passes through as it arrives, so that no frame of it is ever held;
 * of other frames one at most is, while it is incomplete.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  #held: Buffer = NOTHING;
  #heldLength = 0;
  /** Of the DATA frame that is under way. */
  #dataId = 0;
  #dataLeft = 0;
  #paddingLeft = 0;
  #dataEnds = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** A frame is incomplete. */
  get midFrame(): boolean {
    return this.#heldLength > 0 || this.#dataLeft > 0 || this.#paddingLeft > 0;
  }

  read(b: Buffer, start: number, length: number): void {
    let at = start;
    if (this.#heldLength > 0) at = this.#complete(b, at, length);
    if (this.#dataLeft > 0 || this.#paddingLeft > 0) at = this.#moreData(b, at, length);
    const sink = this.#sink;
    while (at < length && !sink.over) {
      if (length - at < FRAME_HEADER_BYTES) {
        this.#hold(b, at, length, FRAME_HEADER_BYTES);
        return;
      }
      const size = frameLength(b, at);
      const type = frameType(b, at);
      const error = checkFrame(type, frameFlags(b, at), frameStream(b, at), size, DEFAULT_MAX_FRAME_BYTES);
      if (error !== NO_ERROR) {
        sink.onBrokenFrame(error);
        return;
      }
      if (type === FRAME_DATA) {
        const prefix = prefixOf(b, at);
        if (length - at < prefix) {
          this.#hold(b, at, length, prefix);
          return;
        }
        at = this.#beginData(b, at, size, length);
        continue;
      }
      const end = at + FRAME_HEADER_BYTES + size;
      if (end > length) {
        this.#hold(b, at, length, end - at);
        return;
      }
      sink.onFrame(type, frameFlags(b, at), frameStream(b, at), b, at + FRAME_HEADER_BYTES, end);
      at = end;
    }
  }

  /** Takes the header of the DATA frame at `at` and what is there of its payload; returns the index after that. */
  #beginData(b: Buffer, at: number, size: number, length: number): number {
    const flags = frameFlags(b, at);
    let padding = 0;
    if ((flags & FLAG_PADDED) !== 0) {
      padding = 1 + (b[at + FRAME_HEADER_BYTES] as number);
      if (padding > size) {
        this.#sink.onBrokenFrame(PROTOCOL_ERROR);
        return length;
      }
    }
    const id = frameStream(b, at);
    const from = at + FRAME_HEADER_BYTES + (padding > 0 ? 1 : 0);
    const payload = size - padding;
    const to = Math.min(from + payload, length);
    const ends = (flags & FLAG_END_STREAM) !== 0;
    this.#dataId = id;
    this.#dataLeft = payload - (to - from);
    this.#paddingLeft = padding > 0 ? padding - 1 : 0;
    this.#dataEnds = ends;
    this.#sink.onData(id, size, padding, b, from, to, ends && this.#dataLeft === 0);
    return this.#skipPadding(to, length);
  }

  #moreData(b: Buffer, at: number, length: number): number {
    if (this.#dataLeft === 0) return this.#skipPadding(at, length);
    const to = Math.min(at + this.#dataLeft, length);
    this.#dataLeft -= to - at;
    this.#sink.onData(this.#dataId, 0, 0, b, at, to, this.#dataEnds && this.#dataLeft === 0);
    return this.#skipPadding(to, length);
  }

  #skipPadding(at: number, length: number): number {
    if (this.#dataLeft > 0 || this.#paddingLeft === 0) return at;
    const skipped = Math.min(this.#paddingLeft, length - at);
    this.#paddingLeft -= skipped;
    return at + skipped;
  }

  /** Keeps `b[from, to)`, the start of a frame of which `need` bytes are wanted before it is looked at again. */
  #hold(b: Buffer, from: number, to: number, need: number): void {
    if (this.#held.length < need) {
      const grown = Buffer.allocUnsafeSlow(need < 512 ? 512 : FRAME_HEADER_BYTES + DEFAULT_MAX_FRAME_BYTES);
      this.#held.copy(grown, 0, 0, this.#heldLength);
      this.#held = grown;
    }
    b.copy(this.#held, this.#heldLength, from, to);
    this.#heldLength += to - from;
  }

  /** Adds to the frame that is held; once it is complete it is passed on. Returns the index in `b` after it. */
  #complete(b: Buffer, from: number, length: number): number {
    let at = from;
    for (;;) {
      const need = this.#need();
      const more = Math.min(need - this.#heldLength, length - at);
      if (more > 0) this.#hold(b, at, at + more, need);
      at += more;
      if (this.#heldLength < need) return length;
      if (this.#need() === need) break;
    }
    const held = this.#held;
    const end = this.#heldLength;
    this.#heldLength = 0;
    const size = frameLength(held, 0);
    const type = frameType(held, 0);
    const flags = frameFlags(held, 0);
    const id = frameStream(held, 0);
    const error = checkFrame(type, flags, id, size, DEFAULT_MAX_FRAME_BYTES);
    if (error !== NO_ERROR) this.#sink.onBrokenFrame(error);
    else if (type === FRAME_DATA) this.#beginData(held, 0, size, end);
    else this.#sink.onFrame(type, flags, id, held, FRAME_HEADER_BYTES, end);
    if (held.length > 512) this.#held = NOTHING;
    return at;
  }

  /** Bytes of the held frame that are needed, as far as it can be told now. */
  #need(): number {
    const held = this.#held;
    if (this.#heldLength < FRAME_HEADER_BYTES) return FRAME_HEADER_BYTES;
    const size = frameLength(held, 0);
    const type = frameType(held, 0);
    // What is wrong already is not waited for.
    if (checkFrame(type, frameFlags(held, 0), frameStream(held, 0), size, DEFAULT_MAX_FRAME_BYTES) !== NO_ERROR) {
      return FRAME_HEADER_BYTES;
    }
    return type === FRAME_DATA ? prefixOf(held, 0) : FRAME_HEADER_BYTES + size;
  }
}

/** Bytes of a DATA frame before its payload. */
function prefixOf(b: Buffer, at: number): number {
  return (frameFlags(b, at) & FLAG_PADDED) !== 0 ? FRAME_HEADER_BYTES + 1 : FRAME_HEADER_BYTES;
}
