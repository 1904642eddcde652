import type { Random } from "../../core/random.ts";
import type { Load } from "./peak-ewma.ts";

/** How long a new or recovered endpoint takes to come to its whole share. */
const RAMP_MS = 10_000;

/** The endpoint is new or has recovered: it gets less than its share for a while. */
export function beginRamp(endpoint: { rampUntilMs: number }, nowMs: number): void {
  endpoint.rampUntilMs = nowMs + RAMP_MS;
}

/**
 * Of an endpoint that is warming up and one that is not: the former in a share of cases that grows from nothing to a
 * half, whatever its load was measured to be, so that it is measured at all; never while more is pending there.
 */
export function rampingChoice<T extends { readonly load: Load; rampUntilMs?: number }>(
  ramping: T,
  other: T,
  nowMs: number,
  random: Random,
): T {
  const share = 1 - ((ramping.rampUntilMs ?? 0) - nowMs) / RAMP_MS;
  return random() < share / 2 && ramping.load.pending <= other.load.pending ? ramping : other;
}
