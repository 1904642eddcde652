/** Latencies up to 429 s in 100 ns units, each within 1 % of what it was: log-linear, 128 steps per power of two. */
const STEPS = 128;
const STEP_BITS = 7;
const BUCKETS = STEPS * (32 - STEP_BITS + 1);
const UNITS_PER_US = 10;
const MAX_UNITS = 2 ** 32 - 1;

function bucketOf(units: number): number {
  if (units < STEPS) return units;
  const power = 31 - Math.clz32(units);
  const shift = power - STEP_BITS;
  return STEPS * (shift + 1) + ((units >>> shift) & (STEPS - 1));
}

/** The middle of the values that fall into `bucket`, in units. */
function middleOf(bucket: number): number {
  if (bucket < STEPS) return bucket;
  const shift = Math.floor(bucket / STEPS) - 1;
  const low = (STEPS + (bucket % STEPS)) * 2 ** shift;
  return low + (2 ** shift - 1) / 2;
}

/** Counts latencies without allocating. */
export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** `us`: microseconds, negative ones count as 0. */
  record(us: number): void {
    const units = Math.min(MAX_UNITS, Math.max(0, Math.round(us * UNITS_PER_US)));
    const bucket = bucketOf(units);
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#count++;
  }

  /** The smallest latency in microseconds that the share `q` (0 to 1) of all does not exceed; NaN where there is none. */
  quantile(q: number): number {
    let left = Math.max(1, Math.ceil(q * this.#count));
    for (const [bucket, count] of this.#counts.entries()) {
      left -= count;
      if (left <= 0) return middleOf(bucket) / UNITS_PER_US;
    }
    return Number.NaN;
  }

  reset(): void {
    this.#counts.fill(0);
    this.#count = 0;
  }
}
