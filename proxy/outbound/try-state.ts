import type { MeshError } from "../../core/errors.ts";
import type { WheelTimer } from "../../transport/timer-wheel.ts";
import type { CancelConnect } from "../../transport/transport.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import type { Service } from "../balance/service.ts";
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

/** What tries keep per request; reused from one request of a connection or stream slot to the next. */
export interface TryState {
  /** Filled in before `begin`. */
  readonly wishes: Wishes;
  service: Service | undefined;
  endpoint: Endpoint | undefined;
  tried: Endpoint[];
  attempts: number;
  /** How often it has waited for somebody to take it. */
  pauses: number;
  /** Retries of what an app may have seen that are left to it, hops before this one included. */
  retriesLeft: number;
  /** Cluster that the app would have answer first; "" for the usual order. */
  prefer: string;
  /** Who asks, where its service keeps clients apart. */
  client: string;
  dialing: CancelConnect | undefined;
  /** What `dialing` ends is the wait for a connection. */
  queued: boolean;
  tryStartMs: number;
  /** Code of the answer that was turned down. */
  refusal: string | undefined;
  /** The answer's head has gone out. */
  answering: boolean;
  /** An answer was turned down, and what its repetition costs is paid. */
  paid: boolean;
  /** Retries so far that waited for their backoff. */
  retries: number;
  terms: Terms;
  /** On the clock; Infinity: never. */
  deadlineAtMs: number;
  /** Made when first needed: most requests have no deadline. */
  timers: RequestTimers | undefined;
  /** Why the last dial failed. */
  dialError: MeshError | undefined;
  /** Of its metrics. */
  row: number;
  /** Of those of the rule that it matched; -1: none. */
  routeRow: number;
}

export function createTryState(row: number): TryState {
  return {
    wishes: { retriesLeft: undefined, deadlineMs: undefined, prefer: "", client: "" },
    service: undefined,
    endpoint: undefined,
    tried: [],
    attempts: 0,
    pauses: 0,
    retriesLeft: 0,
    prefer: "",
    client: "",
    dialing: undefined,
    queued: false,
    tryStartMs: 0,
    refusal: undefined,
    answering: false,
    paid: false,
    retries: 0,
    terms: NO_TERMS,
    deadlineAtMs: Number.POSITIVE_INFINITY,
    timers: undefined,
    dialError: undefined,
    row,
    routeRow: -1,
  };
}
