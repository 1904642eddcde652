import { put } from "../http1/head-writer.ts";
import type { HeldBuffers } from "../http1/held-buffers.ts";
import type { Field } from "./hpack/field.ts";

const NOTHING = Buffer.alloc(0);

/** What came of a request's body and its trailers, to be sent or sent again. Its memory is borrowed. */
export class HeldBody {
  /** The first `length` bytes count. */
  bytes: Buffer = NOTHING;
  length = 0;
  trailers: Field[] | undefined = undefined;
  readonly #buffers: HeldBuffers;

  constructor(buffers: HeldBuffers) {
    this.#buffers = buffers;
  }

  get empty(): boolean {
    return this.length === 0 && this.trailers === undefined;
  }

  /** Keeps bytes `start` to `end` of `b`. */
  add(b: Buffer, start: number, end: number): void {
    if (end === start) return;
    const need = this.length + end - start;
    if (need > this.bytes.length) {
      const { bytes } = this;
      const grown = this.#buffers.take(bytes.length === 0 ? need : Math.max(need, 2 * bytes.length));
      bytes.copy(grown, 0, 0, this.length);
      if (bytes.length > 0) this.#buffers.give(bytes);
      this.bytes = grown;
    }
    this.length = put(this.bytes, this.length, b, start, end);
  }

  copy(): Buffer {
    return Buffer.from(this.bytes.subarray(0, this.length));
  }

  /** Gives everything back. */
  release(): void {
    if (this.bytes.length > 0) this.#buffers.give(this.bytes);
    this.bytes = NOTHING;
    this.length = 0;
    this.trailers = undefined;
  }
}
