import type { Clock } from "../core/clock.ts";

/** Runs leave the process this many times as long to other work as they took themselves. */
const REST_FACTOR = 3;
const MAX_REST_MS = 3_000;

/**
 * Turns any number of `mark()`s into few runs: the first within the same turn of the event loop, the next at the
 * earliest `spacingMs` after it, later where runs take long. A run that throws is reported and comes back after a second.
 */
export class Coalescer {
  readonly #clock: Clock;
  readonly #spacingMs: number;
  readonly #run: () => void;
  readonly #onError: (error: unknown) => void;
  #cancel: (() => void) | undefined;
  #nextRunMs = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: { clock: Clock; spacingMs: number; run: () => void; onError: (error: unknown) => void }) {
    this.#clock = options.clock;
    this.#spacingMs = options.spacingMs;
    this.#run = options.run;
    this.#onError = options.onError;
  }

  mark(): void {
    if (this.#closed || this.#cancel !== undefined) return;
    const waitMs = this.#nextRunMs - this.#clock.nowMs();
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
    const startMs = this.#clock.nowMs();
    // What is marked while it runs is for the next run.
    this.#nextRunMs = startMs + this.#spacingMs;
    try {
      this.#run();
      const endMs = this.#clock.nowMs();
      const restMs = this.#spacingMs === 0 ? 0 : Math.min(MAX_REST_MS, (endMs - startMs) * REST_FACTOR);
      this.#nextRunMs = endMs + Math.max(this.#spacingMs, restMs);
    } catch (error) {
      this.#onError(error);
      this.#cancel = this.#clock.after(1_000, () => this.#fire());
    }
  }
}
