/** What a group that had lost some of its capacity may take until it has its whole share again. */
export interface Failback {
  /** 0 to 1. */
  allowed: number;
  /** Since when it could take more than that; NaN: it cannot. */
  risingMs: number;
  /** When `allowed` was last looked at. */
  atMs: number;
}

/** From nothing to everything, where nobody says otherwise. */
const FAILBACK_MS = 10_000;
/** For this part of that a group must be able to take more before it gets more: what comes and goes gets nothing. */
const HOLD = 0.1;

/** Nothing was lost yet. */
export function createFailback(nowMs: number): Failback {
  return { allowed: 1, risingMs: Number.NaN, atMs: nowMs };
}

/**
 * What of its `capacity` a group may take now: less at once, more only after a moment and little by little, so that it
 * has everything `rampMs` after that.
 */
export function ramped(failback: Failback, capacity: number, nowMs: number, rampMs: number = FAILBACK_MS): number {
  if (capacity <= failback.allowed) {
    failback.allowed = capacity;
    failback.risingMs = Number.NaN;
  } else if (Number.isNaN(failback.risingMs)) failback.risingMs = nowMs;
  else {
    const fromMs = Math.max(failback.atMs, failback.risingMs + HOLD * rampMs);
    if (nowMs > fromMs) failback.allowed = Math.min(capacity, failback.allowed + (nowMs - fromMs) / rampMs);
  }
  failback.atMs = nowMs;
  return failback.allowed;
}
