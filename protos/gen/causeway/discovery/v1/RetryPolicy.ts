// Original file: protos/causeway/discovery/v1/discovery.proto


export interface RetryPolicy {
  /**
   * Tries after the first one, of requests that may have reached an app.
   */
  'limit'?: (number);
  /**
   * HTTP statuses, and gRPC statuses, that are retried. A route that names them says that its requests may be repeated.
   */
  'httpStatuses'?: (number)[];
  'grpcStatuses'?: (number)[];
  /**
   * Least wait before a further try, doubled each time, with jitter.
   */
  'backoffMs'?: (number);
  /**
   * Requests of any method may be sent again.
   */
  'anyMethod'?: (boolean);
}

export interface RetryPolicy__Output {
  /**
   * Tries after the first one, of requests that may have reached an app.
   */
  'limit': (number);
  /**
   * HTTP statuses, and gRPC statuses, that are retried. A route that names them says that its requests may be repeated.
   */
  'httpStatuses': (number)[];
  'grpcStatuses': (number)[];
  /**
   * Least wait before a further try, doubled each time, with jitter.
   */
  'backoffMs': (number);
  /**
   * Requests of any method may be sent again.
   */
  'anyMethod': (boolean);
}
