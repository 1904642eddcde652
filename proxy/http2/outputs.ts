/** Room for the largest header list that is passed on, and for a whole DATA frame. */
const OUTPUT_BYTES = 81_920;
/** Buffers that are filled at a time; a turn that would need more writes what there is first. */
const MAX_TAKEN = 32;

/** A connection with bytes to be written. */
export interface DirtyConnection {
  /** Writes all and gives the buffer back. */
  flush(): void;
}

/**
 * Gathers what the connections of an engine have to send and writes it once per turn of the event loop, so that the
 * frames of many streams share a system call and a TLS record.
 */
export class Outputs {
  readonly #free: Buffer[] = [];
  #dirty: DirtyConnection[] = [];
  #spare: DirtyConnection[] = [];
  #due = false;
  readonly #run = (): void => {
    this.#due = false;
    this.flush();
  };

  /** A buffer for `by`, whose `flush` is called at the end of the turn, if not before. */
  take(by: DirtyConnection): Buffer {
    if (this.#dirty.length >= MAX_TAKEN) this.flush();
    this.#dirty.push(by);
    if (!this.#due) {
      this.#due = true;
      setImmediate(this.#run);
    }
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(OUTPUT_BYTES);
  }

  /** Takes a buffer back. */
  give(buffer: Buffer): void {
    if (this.#free.length < MAX_TAKEN) this.#free.push(buffer);
  }

  flush(): void {
    const dirty = this.#dirty;
    this.#dirty = this.#spare;
    this.#spare = dirty;
    for (const connection of dirty) connection.flush();
    dirty.length = 0;
  }
}
