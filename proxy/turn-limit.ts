/**
 * How many requests one workload may begin in one turn of the event loop. What comes over that waits for later turns,
 * in order, so that a flood in one workload of a process lengthens the turns of the others by a bounded time. Below
 * the limit it costs a subtraction.
 */
export class TurnLimit {
  readonly #perTurn: number;
  #left: number;
  #refillDue = false;
  #waiting: (() => void)[] = [];

  constructor(perTurn: number) {
    this.#perTurn = perTurn;
    this.#left = perTurn;
  }

  /** Whether a request may begin now; if not, `later` is the way. */
  take(): boolean {
    if (!this.#refillDue) this.#refillSoon();
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }

  /** Calls `begin` in a later turn, with a place kept for it. */
  later(begin: () => void): void {
    this.#waiting.push(begin);
  }

  #refillSoon(): void {
    this.#refillDue = true;
    setImmediate(() => this.#refill());
  }

  #refill(): void {
    this.#refillDue = false;
    this.#left = this.#perTurn;
    if (this.#waiting.length === 0) return;
    const due = this.#waiting.splice(0, this.#perTurn);
    this.#left -= due.length;
    // Those that wait still need the turns after this one, and new ones queue behind them.
    if (this.#waiting.length > 0) this.#refillSoon();
    for (const begin of due) begin();
  }
}
