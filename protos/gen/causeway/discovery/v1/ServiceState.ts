// Original file: protos/causeway/discovery/v1/discovery.proto

import type { PriorityGroup as _causeway_discovery_v1_PriorityGroup, PriorityGroup__Output as _causeway_discovery_v1_PriorityGroup__Output } from '../../../causeway/discovery/v1/PriorityGroup.ts';

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
}
