/** Of a block and frames that it is cut into. */
const MAX_BYTES = 131_072;
const MAX_CONTINUATIONS = 64;

/** A header block that comes in several frames (RFC 9113 section 6.10), bounded in bytes and frames. */
export class HeaderBlock {
  /** Stream whose block is under way; 0: none is. */
  id = 0;
  /** The stream ends with it. */
  ends = false;
  #bytes: Buffer | undefined = undefined;
  #frames = 0;

  begin(id: number, ends: boolean, b: Buffer, from: number, to: number): void {
    this.id = id;
    this.ends = ends;
    this.#bytes = Buffer.from(b.subarray(from, to));
    this.#frames = 0;
  }

  /** False where it is more than a peer in its right mind sends. */
  append(b: Buffer, from: number, to: number): boolean {
    const begun = this.#bytes;
    if (begun === undefined || ++this.#frames > MAX_CONTINUATIONS || begun.length + to - from > MAX_BYTES) return false;
    this.#bytes = Buffer.concat([begun, b.subarray(from, to)]);
    return true;
  }

  /** The whole block; none is under way any more. */
  take(): Buffer {
    const bytes = this.#bytes ?? Buffer.alloc(0);
    this.#bytes = undefined;
    this.id = 0;
    return bytes;
  }
}
