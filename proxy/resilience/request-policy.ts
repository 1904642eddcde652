/** How long a request may take, in ms; 0: no limit. */
export interface Timeouts {
  /** From the request's head to the end of the answer, tries and pauses included. */
  readonly requestMs: number;
  /** One try, to the head of its answer. */
  readonly tryMs: number;
  /** Without a byte in either direction. */
  readonly idleMs: number;
}

/** When a request is sent again that may have reached an app. */
export interface RetryPolicy {
  /** Tries after the first one, 0 to 9. */
  readonly limit: number;
  /** Statuses after which it is sent again, whatever its method. */
  readonly httpStatuses: ReadonlySet<number>;
  readonly grpcStatuses: ReadonlySet<number>;
  /** Least wait before a further try, doubled each time; 0: none. */
  readonly backoffMs: number;
  /** A broken try is repeated whatever the method. */
  readonly anyMethod: boolean;
}

export const NO_TIMEOUTS: Timeouts = { requestMs: 0, tryMs: 0, idleMs: 0 };

/** Where nobody says otherwise: two retries of what is idempotent and got no answer. */
export const DEFAULT_RETRY: RetryPolicy = {
  limit: 2,
  httpStatuses: new Set(),
  grpcStatuses: new Set(),
  backoffMs: 0,
  anyMethod: false,
};
