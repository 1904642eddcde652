import { type BackoffOptions, backoffMs } from "../../../core/backoff.ts";
import type { Clock } from "../../../core/clock.ts";
import { errorText } from "../../../core/errors.ts";
import type { Log } from "../../../core/log.ts";

const RETRY: BackoffOptions = { minMs: 50, maxMs: 30_000, jitter: 0.3 };

/** Keys waiting for work, each at most once. Failed ones come back with backoff, for ever. */
export class WorkQueue {
  readonly #work: (key: string) => void;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #keys = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #delayed = new Map<string, () => void>();
  #immediate: NodeJS.Immediate | undefined;
  #closed = false;

  constructor(options: { work: (key: string) => void; clock: Clock; log: Log }) {
    this.#work = options.work;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  add(key: string): void {
    if (this.#closed) return;
    this.#keys.add(key);
    this.#immediate ??= setImmediate(() => this.#drain());
  }

  close(): void {
    this.#closed = true;
    if (this.#immediate !== undefined) clearImmediate(this.#immediate);
    for (const cancel of this.#delayed.values()) cancel();
    this.#delayed.clear();
  }

  #drain(): void {
    this.#immediate = undefined;
    const keys = [...this.#keys];
    this.#keys.clear();
    for (const key of keys) {
      if (this.#closed) return;
      try {
        this.#work(key);
        this.#failures.delete(key);
      } catch (error) {
        this.#retry(key, error);
      }
    }
  }

  #retry(key: string, error: unknown): void {
    const attempt = this.#failures.get(key) ?? 0;
    this.#failures.set(key, attempt + 1);
    const delayMs = backoffMs(attempt, RETRY, Math.random);
    this.#log.warn("reconcile failed", { key, attempt, delayMs, error: errorText(error) });
    this.#delayed.get(key)?.();
    const cancel = this.#clock.after(delayMs, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, cancel);
  }
}
