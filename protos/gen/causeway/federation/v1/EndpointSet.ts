// Original file: protos/causeway/federation/v1/federation.proto

import type { Endpoint as _causeway_federation_v1_Endpoint, Endpoint__Output as _causeway_federation_v1_Endpoint__Output } from '../../../causeway/federation/v1/Endpoint.ts';

export interface EndpointSet {
  'namespace'?: (string);
  'name'?: (string);
  'endpoints'?: (_causeway_federation_v1_Endpoint)[];
}

export interface EndpointSet__Output {
  'namespace': (string);
  'name': (string);
  'endpoints': (_causeway_federation_v1_Endpoint__Output)[];
}
