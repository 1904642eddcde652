import { type ChunkState, createChunkState, resetChunkState, scanChunks } from "./chunks.ts";
import { type Head, MALFORMED } from "./head.ts";

/** How much of the body of the request under way has come (RFC 9112 section 6.3). */
export class RequestBody {
  /** All of it. */
  done = true;
  #chunked = false;
  #left = 0;
  readonly #chunks: ChunkState = createChunkState();

  begin(head: Head): void {
    this.#chunked = head.chunked;
    this.#left = Math.max(head.contentLength, 0);
    this.done = !this.#chunked && this.#left === 0;
    if (this.#chunked) resetChunkState(this.#chunks);
  }

  /** There is none to wait for. */
  none(): void {
    this.done = true;
  }

  /** Where the request ends in `b[from, end)`, or `end`; MALFORMED for bad chunks. */
  scan(b: Buffer, from: number, end: number): number {
    if (this.done) return from;
    if (this.#chunked) {
      const stop = scanChunks(this.#chunks, b, from, end);
      if (stop === MALFORMED) return MALFORMED;
      if (stop >= 0) this.done = true;
      return stop >= 0 ? stop : end;
    }
    const take = Math.min(this.#left, end - from);
    this.#left -= take;
    if (this.#left === 0) this.done = true;
    return from + take;
  }
}
