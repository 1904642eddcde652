import type { Head } from "./head.ts";
import { put, type RequestRewrite, writeRequestHead, writtenHeadBytes } from "./head-writer.ts";
import type { HeldBuffers } from "./held-buffers.ts";

const NOTHING = Buffer.alloc(0);

/** The request under way as the next hop shall see it, kept while it may have to be sent again. */
export class HeldRequest {
  bytes: Buffer = NOTHING;
  length = 0;
  /** Where the head ends. */
  headLength = 0;
  readonly #buffers: HeldBuffers;

  constructor(buffers: HeldBuffers) {
    this.#buffers = buffers;
  }

  get empty(): boolean {
    return this.bytes.length === 0;
  }

  /** Lays out the head that was parsed from `headBytes` of `b`; `moreBytes` will follow at once. */
  begin(head: Head, b: Buffer, how: RequestRewrite, headBytes: number, moreBytes: number): void {
    this.bytes = this.#buffers.take(writtenHeadBytes(headBytes, how) + moreBytes);
    this.headLength = writeRequestHead(head, b, this.bytes, 0, how);
    this.length = this.headLength;
  }

  append(b: Buffer, from: number, end: number): void {
    const need = this.length + end - from;
    if (need > this.bytes.length) {
      const grown = this.#buffers.take(Math.max(need, 2 * this.bytes.length));
      this.bytes.copy(grown, 0, 0, this.length);
      this.#buffers.give(this.bytes);
      this.bytes = grown;
    }
    this.length = put(this.bytes, this.length, b, from, end);
  }

  release(): void {
    if (this.bytes.length === 0) return;
    this.#buffers.give(this.bytes);
    this.bytes = NOTHING;
    this.length = 0;
    this.headLength = 0;
  }
}
