import type { MeshError } from "../../core/errors.ts";
import type { WheelTimer } from "../../transport/timer-wheel.ts";
import type { CancelConnect } from "../../transport/transport.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import type { Service } from "../balance/service.ts";
import type { TryFailure } from "../http1/client-connection.ts";
import { DEFAULT_RETRY, NO_TIMEOUTS, type RetryPolicy, type Timeouts } from "../resilience/request-policy.ts";

/** What holds for a request: its rule's terms, or its service's. */
export interface Terms {
  readonly timeouts: Timeouts;
  readonly retry: RetryPolicy;
}

/** What a request brings along. */
interface Wishes {
  /** What earlier hops leave to it; undefined where they do not say. */
  retriesLeft: number | undefined;
  /** The same of time, in ms. */
  deadlineMs: number | undefined;
  /** Cluster that shall answer first; "" for the usual order. */
  prefer: string;
  /** Who asks, for services that keep a client at one endpoint. */
  client: string;
}

const NO_TERMS: Terms = { timeouts: NO_TIMEOUTS, retry: DEFAULT_RETRY };

/** Deadlines of a request. */
export interface RequestTimers {
  readonly request: WheelTimer;
  /** Of a try, or of the wait for a connection. */
  readonly try: WheelTimer;
  readonly idle: WheelTimer;
}

/**
 * What tries keep per request; reused from one request of a connection or stream slot to the next. A class, so that all
 * have one shape: fields of what is spread together are looked up by name each time.
 */
export class TryState {
  /** Filled in before `begin`. */
  readonly wishes: Wishes = { retriesLeft: undefined, deadlineMs: undefined, prefer: "", client: "" };
  service: Service | undefined = undefined;
  endpoint: Endpoint | undefined = undefined;
  readonly tried: Endpoint[] = [];
  attempts = 0;
  /** How often it has waited for somebody to take it. */
  pauses = 0;
  /** Retries of what an app may have seen that are left to it, hops before this one included. */
  retriesLeft = 0;
  /** Cluster that the app would have answer first; "" for the usual order. */
  prefer = "";
  /** Who asks, where its service keeps clients apart. */
  client = "";
  dialing: CancelConnect | undefined = undefined;
  /** What `dialing` ends is the wait for a connection. */
  queued = false;
  tryStartMs = 0;
  /** Code of the answer that was turned down. */
  refusal: string | undefined = undefined;
  /** The answer's head has gone out. */
  answering = false;
  /** An answer was turned down, and what its repetition costs is paid. */
  paid = false;
  /** Retries so far that waited for their backoff. */
  retries = 0;
  terms: Terms = NO_TERMS;
  /** On the clock; Infinity: never. */
  deadlineAtMs = Number.POSITIVE_INFINITY;
  /** Made when first needed: most requests have no deadline. */
  timers: RequestTimers | undefined = undefined;
  /** What came of the last try. */
  failure: TryFailure | undefined = undefined;
  /** Why the last dial failed. */
  dialError: MeshError | undefined = undefined;
  /** Of its metrics. */
  row: number;
  /** Of those of the rule that it matched; -1: none. */
  routeRow = -1;

  constructor(row: number) {
    this.row = row;
  }
}
