import type { Random } from "./random.ts";

export interface BackoffOptions {
  readonly minMs: number;
  readonly maxMs: number;
  /** Share of the delay that is random, 0 to 1. */
  readonly jitter: number;
}

/** Delay before attempt `attempt` (0 is the first retry), in ms: doubling, capped, jittered downwards. */
export function backoffMs(attempt: number, options: BackoffOptions, random: Random): number {
  const full = Math.min(options.maxMs, options.minMs * 2 ** Math.min(attempt, 30));
  return full * (1 - options.jitter * random());
}

export const RECONNECT: BackoffOptions = { minMs: 100, maxMs: 5_000, jitter: 0.5 };
