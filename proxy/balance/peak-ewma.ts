/** Load of one endpoint: smoothed round trip that jumps up at once and sinks slowly, times what is pending. */
export interface Load {
  ewmaMs: number;
  stampMs: number;
  pending: number;
}

/** As linkerd2-proxy: what an endpoint is assumed to take before it was measured, and how fast the past fades. */
const DEFAULT_RTT_MS = 30;
const DECAY_MS = 10_000;

export function createLoad(nowMs: number): Load {
  return { ewmaMs: DEFAULT_RTT_MS, stampMs: nowMs, pending: 0 };
}

/** Takes a measured response time in (Finagle's and tower's peak EWMA). */
export function observe(load: Load, rttMs: number, nowMs: number): void {
  if (rttMs > load.ewmaMs) load.ewmaMs = rttMs;
  else {
    const weight = Math.exp(-Math.max(0, nowMs - load.stampMs) / DECAY_MS);
    load.ewmaMs = load.ewmaMs * weight + rttMs * (1 - weight);
  }
  load.stampMs = nowMs;
}

/** Lower is better. A past peak fades also without new measurements, so that an endpoint gets another chance. */
export function loadOf(load: Load, nowMs: number): number {
  const idleMs = nowMs - load.stampMs;
  const ewma = idleMs > 1 ? load.ewmaMs * Math.exp(-idleMs / DECAY_MS) : load.ewmaMs;
  return (ewma + 0.001) * (load.pending + 1);
}
