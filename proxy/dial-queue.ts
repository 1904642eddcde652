/** Requests that wait at all. */
const MAX_WAITING = 4_096;

/** Who makes connections to one endpoint just now, and who waits for one of them. */
export class DialQueue {
  readonly #ready: () => number;
  #dials = 0;
  #waiting: (() => void)[] = [];
  #wakeDue = false;

  /** `ready`: how many of those that wait may try again now. */
  constructor(ready: () => number) {
    this.#ready = ready;
  }

  /** Connections that are being made. */
  get dials(): number {
    return this.#dials;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** No more may wait. */
  get full(): boolean {
    return this.#waiting.length >= MAX_WAITING;
  }

  /** A connection is being made; the returned function says, once, that it is made or will not be. */
  begins(): () => void {
    this.#dials++;
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      this.#dials--;
      this.wakeSoon();
    };
  }

  /** Calls `again` once when a connection may be had or made; the returned function gives up waiting. */
  wait(again: () => void): () => void {
    this.#waiting.push(again);
    return () => {
      const index = this.#waiting.indexOf(again);
      if (index >= 0) this.#waiting.splice(index, 1);
    };
  }

  /** After the current callback, so that nobody is served in the middle of another's exchange. */
  wakeSoon(): void {
    if (!this.#wakeDue && this.#waiting.length > 0) this.#wake();
  }

  /** Apart from the question whether: a closure here would cost every release of a connection. */
  #wake(): void {
    this.#wakeDue = true;
    queueMicrotask(() => {
      this.#wakeDue = false;
      for (const again of this.#waiting.splice(0, this.#ready())) again();
    });
  }
}
