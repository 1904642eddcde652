// Original file: protos/causeway/federation/v1/federation.proto

import type { Endpoint as _causeway_federation_v1_Endpoint, Endpoint__Output as _causeway_federation_v1_Endpoint__Output } from '../../../causeway/federation/v1/Endpoint.ts';

export interface EndpointSet {
  'namespace'?: (string);
  'name'?: (string);
  'endpoints'?: (_causeway_federation_v1_Endpoint)[];
  /**
   * Of all that the service has, of which `endpoints` may be but a part; 0: not told, as by earlier gateways.
   */
  'total'?: (number);
  'ready'?: (number);
}

export interface EndpointSet__Output {
  'namespace': (string);
  'name': (string);
  'endpoints': (_causeway_federation_v1_Endpoint__Output)[];
  /**
   * Of all that the service has, of which `endpoints` may be but a part; 0: not told, as by earlier gateways.
   */
  'total': (number);
  'ready': (number);
}
