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
  /** Longest time between two probes. */
  readonly maxMs: number;
  readonly window: SuccessWindow;
}

/** Answers of the last 5 to 10 s: of the present half of the window and of the one before. */
export interface SuccessWindow {
  startMs: number;
  good: number;
  bad: number;
  goodBefore: number;
  badBefore: number;
}

/** What an endpoint is judged by besides its own failures in a row. */
export interface Peers {
  /** Its success rate is too low, and clearly lower than that of the others. */
  isOutlier(): boolean;
  /** Enough others are left. */
  mayEject(): boolean;
}

const FAILURES_TO_OPEN = 7;
const BACKOFF: BackoffOptions = { minMs: 1_000, maxMs: 60_000, jitter: 0.5 };
/**
 * A gateway that took no connections is probed this often: everything of its cluster waits for it, where it is the only
 * one, and what takes it out of use for longer is its link's health, or that its cluster names it no more.
 */
export const GATEWAY_MAX_MS = 2_000;
const HALF_WINDOW_MS = 5_000;

export function createBreaker(maxMs: number = BACKOFF.maxMs): Breaker {
  const window = { startMs: 0, good: 0, bad: 0, goodBefore: 0, badBefore: 0 };
  return { state: "closed", failures: 0, attempt: 0, untilMs: 0, maxMs, window };
}

/** Moves the window on to `nowMs`. */
export function turn(window: SuccessWindow, nowMs: number): void {
  const ageMs = nowMs - window.startMs;
  if (ageMs < HALF_WINDOW_MS) return;
  const recent = ageMs < 2 * HALF_WINDOW_MS;
  window.goodBefore = recent ? window.good : 0;
  window.badBefore = recent ? window.bad : 0;
  window.good = 0;
  window.bad = 0;
  window.startMs = nowMs;
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
  breaker.untilMs = nowMs + breaker.maxMs;
}

/** Returns true where this closes the breaker. */
export function succeed(breaker: Breaker, nowMs: number): boolean {
  breaker.failures = 0;
  turn(breaker.window, nowMs);
  breaker.window.good++;
  // Answers to what was sent before the opening say nothing of how it is now: the probe will.
  if (breaker.state !== "halfOpen") return false;
  breaker.state = "closed";
  breaker.attempt = 0;
  forget(breaker.window);
  return true;
}

/** What was counted before an opening must not open it again at the first failure after. */
function forget(window: SuccessWindow): void {
  window.good = 0;
  window.bad = 0;
  window.goodBefore = 0;
  window.badBefore = 0;
}

/**
 * A request failed. `decisive` (no connection at all) opens at once; else it takes seven failures in a row, or a success
 * rate clearly under that of the `peers`, and enough of them that are left. Returns true where this opens the breaker.
 */
export function fail(breaker: Breaker, decisive: boolean, nowMs: number, random: Random, peers?: Peers): boolean {
  breaker.failures++;
  turn(breaker.window, nowMs);
  breaker.window.bad++;
  if (breaker.state === "open") return false;
  if (breaker.state === "closed" && !decisive) {
    if (breaker.failures < FAILURES_TO_OPEN && peers?.isOutlier() !== true) return false;
    if (peers?.mayEject() === false) return false;
  }
  breaker.state = "open";
  breaker.untilMs = nowMs + backoffMs(breaker.attempt++, { ...BACKOFF, maxMs: breaker.maxMs }, random);
  return true;
}

/** The probe ended without saying anything about the endpoint: the next request probes. */
export function release(breaker: Breaker, nowMs: number): void {
  if (breaker.state !== "halfOpen") return;
  breaker.state = "open";
  breaker.untilMs = nowMs;
}

/** Something else says that it works again: the next request probes, whatever went before. */
export function believe(breaker: Breaker, nowMs: number): void {
  if (breaker.state !== "open") return;
  breaker.untilMs = nowMs;
  breaker.attempt = 0;
}
