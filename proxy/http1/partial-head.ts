import { findHeadEnd, INCOMPLETE, MALFORMED, MAX_HEAD_BYTES, TOO_LARGE } from "./head.ts";

/** Bytes of a head that did not arrive in one read. Searched once each, however small the pieces. */
export class PartialHead {
  bytes: Buffer = EMPTY;
  length = 0;
  #searched = 0;

  get empty(): boolean {
    return this.length === 0;
  }

  /** Takes `b[start, end)`. Returns INCOMPLETE, MALFORMED, TOO_LARGE, or 0 once the head's end is among the bytes. */
  append(b: Buffer, start: number, end: number): number {
    this.hold(b, start, end);
    // The first line may be empty, so its end is no empty line after fields: the parser decides then.
    const found = findHeadEnd(this.bytes, this.#searched, this.length);
    this.#searched = this.length;
    if (found === MALFORMED) return MALFORMED;
    if (found !== INCOMPLETE) return 0;
    return this.length > MAX_HEAD_BYTES ? TOO_LARGE : INCOMPLETE;
  }

  /** Takes `b[start, end)` without looking at it. */
  hold(b: Buffer, start: number, end: number): void {
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
    return taken;
  }
}

const EMPTY = Buffer.alloc(0);
