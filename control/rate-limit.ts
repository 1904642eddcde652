import type { Clock } from "../core/clock.ts";

const MAX_KEYS = 10_000;

/** A token bucket per key. Buckets that are full again are forgotten first; there are at most 10,000. */
export class RateLimit {
  readonly #clock: Clock;
  readonly #burst: number;
  readonly #perMs: number;
  /** Tokens left as of a time, the longest untouched first. */
  readonly #buckets = new Map<string, { left: number; atMs: number }>();

  constructor(clock: Clock, { burst, perSecond }: { readonly burst: number; readonly perSecond: number }) {
    this.#clock = clock;
    this.#burst = burst;
    this.#perMs = perSecond / 1_000;
  }

  /** Whether `key` may go on now; takes one if so. */
  take(key: string): boolean {
    const nowMs = this.#clock.nowMs();
    const bucket = this.#buckets.get(key) ?? { left: this.#burst, atMs: nowMs };
    const left = Math.min(this.#burst, bucket.left + (nowMs - bucket.atMs) * this.#perMs);
    const allowed = left >= 1;
    this.#buckets.delete(key);
    this.#buckets.set(key, { left: allowed ? left - 1 : left, atMs: nowMs });
    const oldest = this.#buckets.size > MAX_KEYS ? this.#buckets.keys().next().value : undefined;
    if (oldest !== undefined) this.#buckets.delete(oldest);
    return allowed;
  }
}
