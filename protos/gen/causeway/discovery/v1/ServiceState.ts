// Original file: protos/causeway/discovery/v1/discovery.proto

import type { PriorityGroup as _causeway_discovery_v1_PriorityGroup, PriorityGroup__Output as _causeway_discovery_v1_PriorityGroup__Output } from '../../../causeway/discovery/v1/PriorityGroup.ts';
import type { RouteRule as _causeway_discovery_v1_RouteRule, RouteRule__Output as _causeway_discovery_v1_RouteRule__Output } from '../../../causeway/discovery/v1/RouteRule.ts';
import type { Timeouts as _causeway_discovery_v1_Timeouts, Timeouts__Output as _causeway_discovery_v1_Timeouts__Output } from '../../../causeway/discovery/v1/Timeouts.ts';
import type { RetryPolicy as _causeway_discovery_v1_RetryPolicy, RetryPolicy__Output as _causeway_discovery_v1_RetryPolicy__Output } from '../../../causeway/discovery/v1/RetryPolicy.ts';

// Original file: protos/causeway/discovery/v1/discovery.proto

export const _causeway_discovery_v1_ServiceState_Kind = {
  KIND_UNSPECIFIED: 'KIND_UNSPECIFIED',
  /**
   * A name inside the cluster's domains that names nothing: answer 503 at once.
   */
  KIND_NOT_FOUND: 'KIND_NOT_FOUND',
  /**
   * Of the mesh: use the groups.
   */
  KIND_SERVICE: 'KIND_SERVICE',
  /**
   * Not a name of this cluster: connect directly, without the mesh.
   */
  KIND_EXTERNAL: 'KIND_EXTERNAL',
} as const;

export type _causeway_discovery_v1_ServiceState_Kind =
  | 'KIND_UNSPECIFIED'
  | 0
  /**
   * A name inside the cluster's domains that names nothing: answer 503 at once.
   */
  | 'KIND_NOT_FOUND'
  | 1
  /**
   * Of the mesh: use the groups.
   */
  | 'KIND_SERVICE'
  | 2
  /**
   * Not a name of this cluster: connect directly, without the mesh.
   */
  | 'KIND_EXTERNAL'
  | 3

export type _causeway_discovery_v1_ServiceState_Kind__Output = typeof _causeway_discovery_v1_ServiceState_Kind[keyof typeof _causeway_discovery_v1_ServiceState_Kind]

export interface ServiceState {
  'authority'?: (string);
  'kind'?: (_causeway_discovery_v1_ServiceState_Kind);
  /**
   * For labels: the service as its own cluster calls it.
   */
  'namespace'?: (string);
  'name'?: (string);
  'port'?: (number);
  /**
   * "http", "http2", "grpc", "opaque" or empty for detection.
   */
  'appProtocol'?: (string);
  /**
   * Best first.
   */
  'groups'?: (_causeway_discovery_v1_PriorityGroup)[];
  /**
   * A clusterset name: fall over from group to group. Otherwise there is one group.
   */
  'federated'?: (boolean);
  /**
   * Rules of the HTTPRoutes and GRPCRoutes attached to the service, best first: the first that matches a request
   * applies, and where there are rules but none matches, the answer is 404. No rules: all goes to `groups`.
   */
  'routes'?: (_causeway_discovery_v1_RouteRule)[];
  /**
   * Of the Service, for requests that no rule has settings of its own for.
   */
  'timeouts'?: (_causeway_discovery_v1_Timeouts | null);
  'retry'?: (_causeway_discovery_v1_RetryPolicy | null);
  /**
   * Seconds for which a client is kept at one endpoint (sessionAffinity: ClientIP); 0: none.
   */
  'affinitySeconds'?: (number);
  /**
   * Endpoints in the proxy's own zone first (trafficDistribution: PreferClose, PreferSameZone).
   */
  'preferZone'?: (boolean);
  /**
   * A connection to an endpoint serves no new request after this long; 0: for ever.
   */
  'maxConnectionAgeMs'?: (number);
}

export interface ServiceState__Output {
  'authority': (string);
  'kind': (_causeway_discovery_v1_ServiceState_Kind__Output);
  /**
   * For labels: the service as its own cluster calls it.
   */
  'namespace': (string);
  'name': (string);
  'port': (number);
  /**
   * "http", "http2", "grpc", "opaque" or empty for detection.
   */
  'appProtocol': (string);
  /**
   * Best first.
   */
  'groups': (_causeway_discovery_v1_PriorityGroup__Output)[];
  /**
   * A clusterset name: fall over from group to group. Otherwise there is one group.
   */
  'federated': (boolean);
  /**
   * Rules of the HTTPRoutes and GRPCRoutes attached to the service, best first: the first that matches a request
   * applies, and where there are rules but none matches, the answer is 404. No rules: all goes to `groups`.
   */
  'routes': (_causeway_discovery_v1_RouteRule__Output)[];
  /**
   * Of the Service, for requests that no rule has settings of its own for.
   */
  'timeouts': (_causeway_discovery_v1_Timeouts__Output | null);
  'retry': (_causeway_discovery_v1_RetryPolicy__Output | null);
  /**
   * Seconds for which a client is kept at one endpoint (sessionAffinity: ClientIP); 0: none.
   */
  'affinitySeconds': (number);
  /**
   * Endpoints in the proxy's own zone first (trafficDistribution: PreferClose, PreferSameZone).
   */
  'preferZone': (boolean);
  /**
   * A connection to an endpoint serves no new request after this long; 0: for ever.
   */
  'maxConnectionAgeMs': (number);
}
