import type { Clock } from "../../core/clock.ts";

interface Waiter {
  readonly enter: () => void;
  readonly cancel: () => void;
}

/** For a place among those under way; longer is of no use to a caller that has others to ask. */
const WAIT_MS = 1_000;
const MAX_WAITING = 128;

/** Lets so many requests be under way at a time, and a few more wait shortly. */
export class InFlightGate {
  readonly #clock: Clock;
  /** May change; what is under way stays. */
  limit: number;
  #inFlight = 0;
  readonly #waiting: Waiter[] = [];

  constructor(clock: Clock, limit: number) {
    this.#clock = clock;
    this.limit = limit;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Takes a place; false where there is none, or others wait for one. Each place taken is to be left. */
  enter(): boolean {
    if (this.#inFlight >= this.limit || this.#waiting.length > 0) return false;
    this.#inFlight++;
    return true;
  }

  /**
   * Waits for a place, first come, first served: one of the callbacks runs, `onPlace` having taken it. The returned
   * function gives up. Undefined: as many wait as may.
   */
  wait(onPlace: () => void, onLate: () => void): (() => void) | undefined {
    if (this.#waiting.length >= Math.min(MAX_WAITING, this.limit)) return undefined;
    const leave = () => {
      const at = this.#waiting.indexOf(waiter);
      if (at >= 0) this.#waiting.splice(at, 1);
    };
    const cancel = this.#clock.after(WAIT_MS, () => {
      leave();
      onLate();
    });
    const waiter: Waiter = { enter: onPlace, cancel };
    this.#waiting.push(waiter);
    return () => {
      cancel();
      leave();
    };
  }

  leave(): void {
    this.#inFlight--;
    if (this.#inFlight >= this.limit) return;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    this.#inFlight++;
    next.cancel();
    next.enter();
  }
}
