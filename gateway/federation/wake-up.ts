import { aborted, childAbort } from "../../core/abort.ts";
import { type Clock, sleep } from "../../core/clock.ts";

/** What loops wait for that look at everything again at each change. */
export class WakeUp {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #waiting: (() => void)[] = [];

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
  }

  wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves at the next change, at the latest after `ms`, or when the signal is aborted. */
  async next(ms?: number): Promise<void> {
    if (this.#signal.aborted) return;
    using child = childAbort(this.#signal);
    const woken = new Promise<void>((resolve) => this.#waiting.push(resolve));
    const late = ms === undefined ? aborted(child.signal) : sleep(this.#clock, ms, child.signal).catch(() => {});
    await Promise.race([woken, late]);
  }
}
