import { type BackoffOptions, backoffMs } from "../../core/backoff.ts";
import type { Random } from "../../core/random.ts";

/** Passive health of an endpoint or gateway: closed takes all, open none, halfOpen is one probe in flight. */
export interface Breaker {
  state: "closed" | "open" | "halfOpen";
  /** Failures in a row. */
  failures: number;
  /** Openings in a row, for the backoff. */
  attempt: number;
  untilMs: number;
}

const FAILURES_TO_OPEN = 7;
const BACKOFF: BackoffOptions = { minMs: 1_000, maxMs: 60_000, jitter: 0.5 };

export function createBreaker(): Breaker {
  return { state: "closed", failures: 0, attempt: 0, untilMs: 0 };
}

/** Whether a request may be sent now. Taking the probe is `admit`. */
export function admits(breaker: Breaker, nowMs: number): boolean {
  switch (breaker.state) {
    case "closed":
      return true;
    case "open":
      return nowMs >= breaker.untilMs;
    case "halfOpen":
      // The one probe is in flight; should it never report, another may go once its time is over.
      return nowMs >= breaker.untilMs;
    default:
      return breaker.state satisfies never;
  }
}

/** A request is being sent: after an opening it is the probe. */
export function admit(breaker: Breaker, nowMs: number): void {
  if (breaker.state === "closed") return;
  breaker.state = "halfOpen";
  breaker.untilMs = nowMs + BACKOFF.maxMs;
}

/** Returns true where this closes the breaker. */
export function succeed(breaker: Breaker): boolean {
  breaker.failures = 0;
  if (breaker.state === "closed") return false;
  breaker.state = "closed";
  breaker.attempt = 0;
  return true;
}

/** A request failed. `decisive` (no connection at all) opens at once. Returns true where this opens the breaker. */
export function fail(breaker: Breaker, decisive: boolean, nowMs: number, random: Random): boolean {
  breaker.failures++;
  if (breaker.state === "open") return false;
  if (breaker.state === "closed" && !decisive && breaker.failures < FAILURES_TO_OPEN) return false;
  breaker.state = "open";
  breaker.untilMs = nowMs + backoffMs(breaker.attempt++, BACKOFF, random);
  return true;
}

/** The probe ended without saying anything about the endpoint: the next request probes. */
export function release(breaker: Breaker, nowMs: number): void {
  if (breaker.state !== "halfOpen") return;
  breaker.state = "open";
  breaker.untilMs = nowMs;
}
