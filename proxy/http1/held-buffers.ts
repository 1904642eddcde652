const SIZE = 8_192;
const MAX_FREE = 256;

/** Buffers that hold requests until they are answered, so that they can be sent again; small ones are reused. */
export class HeldBuffers {
  readonly #free: Buffer[] = [];

  /** A buffer of at least `bytes`. */
  take(bytes: number): Buffer {
    if (bytes > SIZE) return Buffer.allocUnsafeSlow(bytes);
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(SIZE);
  }

  give(buffer: Buffer): void {
    if (buffer.length === SIZE && this.#free.length < MAX_FREE) this.#free.push(buffer);
  }
}
