import { MeshError } from "./errors.ts";

/** A bounded FIFO between a producer that must not wait and one async consumer. */
export class AsyncQueue<T> implements AsyncIterable<T> {
  readonly #limit: number;
  #items: T[] = [];
  #wake: (() => void) | undefined;
  #closed = false;
  #error: Error | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#items.length;
  }

  /** @throws MeshError LIMIT_EXCEEDED when full; does nothing once closed */
  push(item: T): void {
    if (this.#closed) return;
    if (this.#items.length >= this.#limit) {
      throw new MeshError("LIMIT_EXCEEDED", `Cannot queue more than ${this.#limit} items: the consumer is too slow.`);
    }
    this.#items.push(item);
    this.#wake?.();
  }

  /** Ends the iteration once what is queued has been taken; with `error`, throws it there. */
  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      while (this.#items.length > 0) {
        const batch = this.#items;
        this.#items = [];
        yield* batch;
      }
      if (this.#closed) {
        if (this.#error !== undefined) throw this.#error;
        return;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
