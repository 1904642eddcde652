import { type BackoffOptions, backoffMs } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";

export interface KeyedWorkOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly backoff: BackoffOptions;
  /** Runs at once, over all keys. */
  readonly concurrency: number;
  /** Least time between two starts; 0 for no limit. */
  readonly spacingMs: number;
  /** Does what `key` needs now. A throw is retried for ever, with backoff. */
  run(key: string): Promise<void>;
  onFailure(key: string, error: unknown, attempt: number): void;
}

type KeyState = "queued" | "running" | "runningAgain" | "waiting";

/**
 * Work by key: one run per key at a time, a key added while it runs runs once more, a failed one comes back with
 * backoff until it succeeds or is dropped.
 */
export class KeyedWork {
  readonly #options: KeyedWorkOptions;
  readonly #states = new Map<string, KeyState>();
  readonly #attempts = new Map<string, number>();
  readonly #timers = new Map<string, () => void>();
  #queue = new Set<string>();
  #running = 0;
  #nextStartMs = 0;
  #cancelSpacing: (() => void) | undefined;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(options: KeyedWorkOptions) {
    this.#options = options;
  }

  /** Asks for a run of `key`; one that waits out its backoff goes on waiting. */
  add(key: string): void {
    const state = this.#states.get(key);
    if (this.#closed || state === "queued" || state === "runningAgain" || state === "waiting") return;
    if (state === "running") this.#states.set(key, "runningAgain");
    else this.#enqueue(key);
  }

  /** Asks for a run of `key` now: what it has to do has changed, so earlier failures say nothing. */
  kick(key: string): void {
    this.#attempts.delete(key);
    if (this.#states.get(key) !== "waiting") {
      this.add(key);
      return;
    }
    this.#forgetTimer(key);
    this.#enqueue(key);
  }

  /** Its last run threw. */
  hasFailed(key: string): boolean {
    return this.#attempts.has(key);
  }

  /** Forgets `key`; a run in progress ends on its own. */
  drop(key: string): void {
    this.#attempts.delete(key);
    this.#forgetTimer(key);
    this.#queue.delete(key);
    const state = this.#states.get(key);
    if (state === "runningAgain") this.#states.set(key, "running");
    else if (state !== "running") this.#states.delete(key);
  }

  /** Starts nothing more and waits for what runs. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelSpacing?.();
    for (const key of [...this.#states.keys()]) this.drop(key);
    if (this.#running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #enqueue(key: string): void {
    this.#states.set(key, "queued");
    this.#queue.add(key);
    this.#pump();
  }

  #pump(): void {
    const { clock, concurrency, spacingMs } = this.#options;
    while (!this.#closed && this.#running < concurrency && this.#cancelSpacing === undefined) {
      const [key] = this.#queue;
      if (key === undefined) return;
      const waitMs = spacingMs === 0 ? 0 : this.#nextStartMs - clock.nowMs();
      if (waitMs > 0) {
        this.#cancelSpacing = clock.after(waitMs, () => {
          this.#cancelSpacing = undefined;
          this.#pump();
        });
        return;
      }
      this.#nextStartMs = clock.nowMs() + spacingMs;
      this.#queue.delete(key);
      this.#states.set(key, "running");
      this.#running++;
      void this.#runOne(key);
    }
  }

  async #runOne(key: string): Promise<void> {
    const { clock, random, backoff } = this.#options;
    try {
      await this.#options.run(key);
      this.#attempts.delete(key);
      const again = this.#states.get(key) === "runningAgain";
      this.#states.delete(key);
      if (again && !this.#closed) this.#enqueue(key);
    } catch (error) {
      const attempt = this.#attempts.get(key) ?? 0;
      this.#attempts.set(key, attempt + 1);
      this.#options.onFailure(key, error, attempt);
      if (this.#closed) this.#states.delete(key);
      else {
        this.#states.set(key, "waiting");
        const retry = () => {
          this.#timers.delete(key);
          this.#enqueue(key);
        };
        this.#timers.set(key, clock.after(backoffMs(attempt, backoff, random), retry));
      }
    } finally {
      this.#running--;
      if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
      this.#pump();
    }
  }

  #forgetTimer(key: string): void {
    this.#timers.get(key)?.();
    this.#timers.delete(key);
  }
}
