import type { MeshErrorCode } from "../../core/errors.ts";
import type { TryFailure } from "../http1/client-connection.ts";
import type { RetryPolicy } from "./request-policy.ts";

/**
 * Attempts of one request, those included that never reached an app. Those are free: with every local endpoint
 * killed at once a request may meet several refused connections before it finds a live cluster.
 */
const MAX_ATTEMPTS = 10;

/** Attempts after each pause. */
const ATTEMPTS_AFTER_PAUSE = 3;
const PAUSE_MS = 100;
const MAX_PAUSES = 4;
/** A request older than this waits no more (Linkerd's failfast is 3 s). */
const MAX_WAIT_MS = 3_000;

/**
 * How long a request of a federated service that no app has seen waits before it tries everything anew, in ms; 0: it
 * has waited enough. Endpoints come back and readiness flaps within a second, so most of these find somebody.
 */
export function pauseMs(pauses: number, ageMs: number): number {
  const waitMs = PAUSE_MS * 2 ** pauses;
  return pauses < MAX_PAUSES && ageMs + waitMs <= MAX_WAIT_MS ? waitMs : 0;
}

/** What `attempts` is after a pause: fewer are left, or pauses would multiply the load on what struggles. */
export function attemptsAfterPause(attempts: number): number {
  return Math.max(0, Math.min(attempts, MAX_ATTEMPTS - ATTEMPTS_AFTER_PAUSE));
}

const MAX_BACKOFF_MS = 10_000;

/** How long the `retry`th retry (0 is the first) waits: at least `backoffMs`, doubled each time, a quarter random. */
export function retryWaitMs({ backoffMs }: RetryPolicy, retry: number, uniform: number): number {
  if (backoffMs <= 0) return 0;
  const least = Math.min(backoffMs * 2 ** Math.min(retry, 16), Math.max(MAX_BACKOFF_MS, backoffMs));
  return least * (1 + uniform / 4);
}

/** What a failed try was, as far as a retry depends on it. */
export interface FailedTry {
  /** `refused` with `code` undefined: its status is one that the policy retries. */
  readonly failure: TryFailure;
  /** The other proxy's code, where it refused. */
  readonly code: string | undefined;
  readonly idempotent: boolean;
  /** Everything of the request that was sent is still held. */
  readonly replayable: boolean;
  readonly attempts: number;
  /** Retries of sent requests that are left to this one, hops before it included. */
  readonly retriesLeft: number;
  readonly policy: RetryPolicy;
}

/** Codes with which an inbound proxy says that the app did not get the request. */
const NOT_DELIVERED: ReadonlySet<string> = new Set<MeshErrorCode>(["PROXY_CONNECT_FAILED", "PROXY_OVERLOADED"]);
/** Codes with which it says that the app got it and did not answer. */
const NOT_ANSWERED: ReadonlySet<string> = new Set<MeshErrorCode>(["PROXY_RESET"]);
/** Nobody got it, and all the same each repetition adds to what is too much already. */
export const OVERLOADED: MeshErrorCode = "PROXY_OVERLOADED";

/** Whether an answer with this code from a proxy of the mesh counts as a failed try. */
export function isFailedTry(code: string): boolean {
  return NOT_DELIVERED.has(code) || NOT_ANSWERED.has(code);
}

/** Whether no app can have seen the request. */
function neverDelivered({ failure, code }: Pick<FailedTry, "failure" | "code">): boolean {
  return (
    failure === "connect" ||
    failure === "untaken" ||
    (failure === "refused" && code !== undefined && NOT_DELIVERED.has(code))
  );
}

/** Whether the try says that the endpoint as a whole takes no requests. One that sheds load does take some. */
export function isDecisive({ failure, code }: Pick<FailedTry, "failure" | "code">): boolean {
  return neverDelivered({ failure, code }) && code !== OVERLOADED;
}

/**
 * `free`: send it again, nobody got it. `budgeted`: send it again if the budget allows. `no`: give up. A request that
 * an app may have seen goes out again only where its method is idempotent (RFC 9110 section 9.2.2) or its policy says
 * that it may; by naming a status a policy says so for answers with that status.
 */
export function retryOf(failed: FailedTry): "free" | "budgeted" | "no" {
  const { failure, code, policy } = failed;
  if (!failed.replayable || failed.attempts >= MAX_ATTEMPTS) return "no";
  const budgeted = failed.retriesLeft > 0 ? "budgeted" : "no";
  if (neverDelivered(failed)) return code === OVERLOADED ? budgeted : "free";
  if (failure === "refused" && code === undefined) return budgeted;
  if (failure === "malformed" || !(failed.idempotent || policy.anyMethod)) return "no";
  // A link that dies takes many requests with it at once; that must not use up what single faults need.
  if (failure === "abandoned") return "free";
  return budgeted;
}
