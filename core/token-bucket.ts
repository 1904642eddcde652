import type { Clock } from "./clock.ts";

/** Lets `perSecond` things a second through, and `burst` at once. */
export class TokenBucket {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  constructor(clock: Clock, perSecond: number, burst: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#atMs = clock.nowMs();
  }

  /** Whether `count` go through now; then they are taken. */
  take(count = 1): boolean {
    this.#refill();
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** Takes `count` whatever there is; how long to wait, in ms, until that is made good. */
  spend(count: number): number {
    this.#refill();
    this.#tokens -= count;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#perSecond) * 1_000;
  }

  /** What was taken did not count after all. */
  refund(count = 1): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + count);
  }

  #refill(): void {
    const nowMs = this.#clock.nowMs();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) * this.#perSecond) / 1_000);
    this.#atMs = nowMs;
  }
}

/** A bucket per source, for the most recent `maxSources`. */
export class SourceLimits {
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #make: () => TokenBucket;
  readonly #maxSources: number;

  constructor(maxSources: number, make: () => TokenBucket) {
    this.#maxSources = maxSources;
    this.#make = make;
  }

  take(source: string): boolean {
    const bucket = this.#buckets.get(source) ?? this.#make();
    // Moves it to the end, so that the first is the one not seen for longest.
    this.#buckets.delete(source);
    this.#buckets.set(source, bucket);
    if (this.#buckets.size > this.#maxSources) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    return bucket.take();
  }

  refund(source: string): void {
    this.#buckets.get(source)?.refund();
  }
}
