// Original file: protos/causeway/federation/v1/federation.proto

import type { EndpointRoute as _causeway_federation_v1_EndpointRoute, EndpointRoute__Output as _causeway_federation_v1_EndpointRoute__Output } from '../../../causeway/federation/v1/EndpointRoute.ts';

export interface Endpoint {
  /**
   * Unguessable where it matters: the pod's UID.
   */
  'id'?: (string);
  'ready'?: (boolean);
  /**
   * SPIFFE ID of the workload.
   */
  'identity'?: (string);
  'zone'?: (string);
  'routes'?: (_causeway_federation_v1_EndpointRoute)[];
}

export interface Endpoint__Output {
  /**
   * Unguessable where it matters: the pod's UID.
   */
  'id': (string);
  'ready': (boolean);
  /**
   * SPIFFE ID of the workload.
   */
  'identity': (string);
  'zone': (string);
  'routes': (_causeway_federation_v1_EndpointRoute__Output)[];
}
