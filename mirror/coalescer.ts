import type { Clock } from "../core/clock.ts";

/**
 * Turns any number of `mark()`s into few runs: the first within the same turn of the event loop, the next at the
 * earliest `spacingMs` later. A run that throws is reported and comes back after a second.
 */
export class Coalescer {
  readonly #clock: Clock;
  readonly #spacingMs: number;
  readonly #run: () => void;
  readonly #onError: (error: unknown) => void;
  #cancel: (() => void) | undefined;
  #lastRunMs = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: { clock: Clock; spacingMs: number; run: () => void; onError: (error: unknown) => void }) {
    this.#clock = options.clock;
    this.#spacingMs = options.spacingMs;
    this.#run = options.run;
    this.#onError = options.onError;
  }

  mark(): void {
    if (this.#closed || this.#cancel !== undefined) return;
    const waitMs = this.#lastRunMs + this.#spacingMs - this.#clock.nowMs();
    if (waitMs > 0) this.#cancel = this.#clock.after(waitMs, () => this.#fire());
    else {
      const immediate = setImmediate(() => this.#fire());
      this.#cancel = () => clearImmediate(immediate);
    }
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
  }

  #fire(): void {
    this.#cancel = undefined;
    this.#lastRunMs = this.#clock.nowMs();
    try {
      this.#run();
    } catch (error) {
      this.#onError(error);
      this.#cancel = this.#clock.after(1_000, () => this.#fire());
    }
  }
}
