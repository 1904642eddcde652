import { findHeadEnd, INCOMPLETE, MALFORMED, MAX_HEAD_BYTES, TOO_LARGE } from "./head.ts";

const LF = 10;

/** Bytes of a head that did not arrive in one read. Searched once each, however small the pieces. */
export class PartialHead {
  bytes: Buffer = EMPTY;
  length = 0;
  #searched = 0;
  /** Bytes that were here when the head was last parsed. */
  #parsed = 0;
  /** What was given away last: not shared, so its rest need not be copied. */
  #given: Buffer = EMPTY;
  readonly #maxBytes: number;

  constructor(maxBytes = MAX_HEAD_BYTES) {
    this.#maxBytes = maxBytes;
  }

  get empty(): boolean {
    return this.length === 0;
  }

  /**
   * Takes `b[start, end)`. Returns INCOMPLETE, MALFORMED, TOO_LARGE, or 0 where parsing is worth it: the head's end is
   * among the bytes, or enough lines are for what is malformed to be told early. That is after the first line and then
   * whenever the bytes have doubled, so that all parsing together stays linear.
   */
  append(b: Buffer, start: number, end: number): number {
    this.hold(b, start, end);
    // The first line may be empty, so its end is no empty line after fields: the parser decides then.
    const from = this.#searched;
    const found = findHeadEnd(this.bytes, from, this.length);
    this.#searched = this.length;
    if (found === MALFORMED) return MALFORMED;
    if (found !== INCOMPLETE) return 0;
    if (this.length > this.#maxBytes) return TOO_LARGE;
    if (this.length < 2 * this.#parsed || this.bytes.subarray(from, this.length).indexOf(LF) < 0) return INCOMPLETE;
    this.#parsed = this.length;
    return 0;
  }

  /** Takes `b[start, end)` without looking at it. */
  hold(b: Buffer, start: number, end: number): void {
    if (this.length === 0 && b === this.#given) {
      this.bytes = b.subarray(start, end);
      this.length = end - start;
      return;
    }
    const need = this.length + end - start;
    if (need > this.bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(need, Math.min(this.bytes.length * 2, 2 * MAX_HEAD_BYTES), 1_024));
      this.bytes.copy(grown, 0, 0, this.length);
      this.bytes = grown;
    }
    b.copy(this.bytes, this.length, start, end);
    this.length = need;
  }

  /** Gives the bytes away and is empty again. */
  take(): Buffer {
    const taken = this.bytes.subarray(0, this.length);
    this.bytes = EMPTY;
    this.length = 0;
    this.#searched = 0;
    this.#parsed = 0;
    this.#given = taken;
    return taken;
  }

  /** What was given away is used up: none of it comes back, so it need not be kept. */
  forget(): void {
    this.#given = EMPTY;
  }
}

const EMPTY = Buffer.alloc(0);
