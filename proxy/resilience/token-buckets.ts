interface Bucket {
  tokens: number;
  stampMs: number;
}

const MAX_BUCKETS = 4_096;
const SWEEP_MS = 1_000;

/**
 * A bucket of tokens for each client; bounded: clients over the limit share one bucket until those that have not sent
 * for a while are forgotten.
 */
export class TokenBuckets {
  readonly #buckets = new Map<string, Bucket>();
  readonly #maxBuckets: number;
  #shared: Bucket | undefined;
  #sweptMs = Number.NEGATIVE_INFINITY;

  constructor(maxBuckets = MAX_BUCKETS) {
    this.#maxBuckets = maxBuckets;
  }

  /** Takes a token of `client`, who gets `rate` a second and may save `burst`. 0, or how long it has to wait, in ms. */
  take(client: string, rate: number, burst: number, nowMs: number): number {
    const most = Math.max(1, burst);
    const bucket = this.#bucket(client, rate, most, nowMs);
    bucket.tokens = Math.min(most, bucket.tokens + ((nowMs - bucket.stampMs) / 1_000) * rate);
    bucket.stampMs = nowMs;
    if (bucket.tokens >= 1) {
      bucket.tokens--;
      return 0;
    }
    return ((1 - bucket.tokens) / rate) * 1_000;
  }

  #bucket(client: string, rate: number, most: number, nowMs: number): Bucket {
    const known = this.#buckets.get(client);
    if (known !== undefined) return known;
    const made = { tokens: most, stampMs: nowMs };
    if (this.#buckets.size >= this.#maxBuckets) this.#sweep((most / rate) * 1_000, nowMs);
    if (this.#buckets.size >= this.#maxBuckets) {
      this.#shared ??= made;
      return this.#shared;
    }
    this.#buckets.set(client, made);
    return made;
  }

  /** Forgets buckets that are full again after `fullMs`, which says the same as none. */
  #sweep(fullMs: number, nowMs: number): void {
    if (nowMs - this.#sweptMs < SWEEP_MS) return;
    this.#sweptMs = nowMs;
    for (const [client, { stampMs }] of this.#buckets) if (nowMs - stampMs >= fullMs) this.#buckets.delete(client);
  }
}
