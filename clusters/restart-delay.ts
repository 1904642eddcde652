import { type BackoffOptions, backoffMs } from "../core/backoff.ts";

/** A process that lived this long starts over with the shortest delay. */
const STABLE_MS = 10_000;

/** How long a process that has ended waits to be started again: not at all after a long life, else longer each time. */
export class RestartDelay {
  readonly #backoff: BackoffOptions;
  #quickExits = 0;

  constructor(backoff: BackoffOptions) {
    this.#backoff = backoff;
  }

  /** In ms, after a life of `livedMs`. */
  next(livedMs: number): number {
    this.#quickExits = livedMs > STABLE_MS ? 0 : this.#quickExits + 1;
    return this.#quickExits === 0 ? 0 : backoffMs(this.#quickExits - 1, this.#backoff, () => 0);
  }
}
