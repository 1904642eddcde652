// Original file: protos/causeway/discovery/v1/discovery.proto

import type { RouteMatch as _causeway_discovery_v1_RouteMatch, RouteMatch__Output as _causeway_discovery_v1_RouteMatch__Output } from '../../../causeway/discovery/v1/RouteMatch.ts';
import type { RouteFilter as _causeway_discovery_v1_RouteFilter, RouteFilter__Output as _causeway_discovery_v1_RouteFilter__Output } from '../../../causeway/discovery/v1/RouteFilter.ts';
import type { RouteBackend as _causeway_discovery_v1_RouteBackend, RouteBackend__Output as _causeway_discovery_v1_RouteBackend__Output } from '../../../causeway/discovery/v1/RouteBackend.ts';
import type { Timeouts as _causeway_discovery_v1_Timeouts, Timeouts__Output as _causeway_discovery_v1_Timeouts__Output } from '../../../causeway/discovery/v1/Timeouts.ts';
import type { RetryPolicy as _causeway_discovery_v1_RetryPolicy, RetryPolicy__Output as _causeway_discovery_v1_RetryPolicy__Output } from '../../../causeway/discovery/v1/RetryPolicy.ts';

export interface RouteRule {
  /**
   * "<kind>/<namespace>/<name>/<index or name of the rule>": the label of its metrics.
   */
  'name'?: (string);
  /**
   * One of them must match; none: all requests do.
   */
  'matches'?: (_causeway_discovery_v1_RouteMatch)[];
  /**
   * In their order.
   */
  'filters'?: (_causeway_discovery_v1_RouteFilter)[];
  /**
   * By weight. None: the service itself.
   */
  'backends'?: (_causeway_discovery_v1_RouteBackend)[];
  /**
   * Unset: those of the service.
   */
  'timeouts'?: (_causeway_discovery_v1_Timeouts | null);
  'retry'?: (_causeway_discovery_v1_RetryPolicy | null);
  /**
   * A GRPCRoute: refusals are gRPC statuses and only gRPC requests match.
   */
  'grpc'?: (boolean);
}

export interface RouteRule__Output {
  /**
   * "<kind>/<namespace>/<name>/<index or name of the rule>": the label of its metrics.
   */
  'name': (string);
  /**
   * One of them must match; none: all requests do.
   */
  'matches': (_causeway_discovery_v1_RouteMatch__Output)[];
  /**
   * In their order.
   */
  'filters': (_causeway_discovery_v1_RouteFilter__Output)[];
  /**
   * By weight. None: the service itself.
   */
  'backends': (_causeway_discovery_v1_RouteBackend__Output)[];
  /**
   * Unset: those of the service.
   */
  'timeouts': (_causeway_discovery_v1_Timeouts__Output | null);
  'retry': (_causeway_discovery_v1_RetryPolicy__Output | null);
  /**
   * A GRPCRoute: refusals are gRPC statuses and only gRPC requests match.
   */
  'grpc': (boolean);
}
