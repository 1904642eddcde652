/** Work that can be put off to a later turn of the event loop. */
export interface Deferred {
  /** Goes on with what was put off. */
  proceed(): void;
}

/**
 * How many requests one workload may begin in one turn of the event loop. What comes over that waits for later turns,
 * in order, so that a flood in one workload of a process lengthens the turns of the others by a bounded time. Below
 * the limit it costs a subtraction.
 */
export class TurnLimit {
  readonly #perTurn: number;
  #left: number;
  #refillDue = false;
  #waiting: Deferred[] = [];

  constructor(perTurn: number) {
    this.#perTurn = perTurn;
    this.#left = perTurn;
  }

  /** Whether a request may begin now; else `deferred.proceed` is called in a later turn, with a place kept for it. */
  take(deferred: Deferred): boolean {
    if (!this.#refillDue) {
      this.#refillDue = true;
      setImmediate(() => this.#refill());
    }
    if (this.#left > 0) {
      this.#left--;
      return true;
    }
    this.#waiting.push(deferred);
    return false;
  }

  #refill(): void {
    this.#refillDue = false;
    this.#left = this.#perTurn;
    if (this.#waiting.length === 0) return;
    const due = this.#waiting.splice(0, this.#perTurn);
    this.#left -= due.length;
    // Those that wait still need the turns after this one, and new ones queue behind them.
    if (this.#waiting.length > 0) {
      this.#refillDue = true;
      setImmediate(() => this.#refill());
    }
    for (const deferred of due) deferred.proceed();
  }
}
