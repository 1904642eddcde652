import type { Clock } from "../../core/clock.ts";
import type { Random } from "../../core/random.ts";

const TICK_MS = 100;
/** Below, callbacks come as late as they do on any busy machine. */
const SHED_FROM_MS = 300;
/** From here on everything new is turned away. */
const SHED_ALL_MS = 1_500;
/** How much of what was measured before counts. */
const MEMORY = 0.7;

/**
 * How late the event loop is, by a timer that runs only while `watch` is called again and again: nothing is measured
 * per request. What is late by hundreds of ms has more to do than it can, and whatever it takes on makes all wait.
 */
export class LagMeter {
  readonly #clock: Clock;
  readonly #random: Random;
  #lagMs = 0;
  #dueMs = 0;
  #watched = false;
  #stop: (() => void) | undefined;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  get lagMs(): number {
    return this.#lagMs;
  }

  /** Goes on measuring for a while. */
  watch(): void {
    this.#watched = true;
    if (this.#stop === undefined) this.#arm();
  }

  /** Whether a request should be turned away: the later the loop, the more of them. */
  get sheds(): boolean {
    if (this.#lagMs < SHED_FROM_MS) return false;
    return this.#random() < (this.#lagMs - SHED_FROM_MS) / (SHED_ALL_MS - SHED_FROM_MS);
  }

  #arm(): void {
    this.#dueMs = this.#clock.nowMs() + TICK_MS;
    this.#stop = this.#clock.after(TICK_MS, () => {
      const lateMs = Math.max(0, this.#clock.nowMs() - this.#dueMs);
      this.#lagMs = Math.max(lateMs, this.#lagMs * MEMORY + lateMs * (1 - MEMORY));
      this.#stop = undefined;
      const idle = !this.#watched && this.#lagMs < 1;
      this.#watched = false;
      if (!idle) this.#arm();
    });
  }

  close(): void {
    this.#stop?.();
    this.#stop = undefined;
  }
}
