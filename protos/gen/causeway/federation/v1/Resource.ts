// Original file: protos/causeway/federation/v1/federation.proto

import type { Service as _causeway_federation_v1_Service, Service__Output as _causeway_federation_v1_Service__Output } from '../../../causeway/federation/v1/Service.ts';
import type { EndpointSet as _causeway_federation_v1_EndpointSet, EndpointSet__Output as _causeway_federation_v1_EndpointSet__Output } from '../../../causeway/federation/v1/EndpointSet.ts';
import type { TrustBundle as _causeway_identity_v1_TrustBundle, TrustBundle__Output as _causeway_identity_v1_TrustBundle__Output } from '../../../causeway/identity/v1/TrustBundle.ts';
import type { GatewayAddress as _causeway_federation_v1_GatewayAddress, GatewayAddress__Output as _causeway_federation_v1_GatewayAddress__Output } from '../../../causeway/federation/v1/GatewayAddress.ts';

export interface Resource {
  /**
   * Unique within its kind: "<namespace>/<name>" for services and endpoints, the trust domain, the host:port.
   */
  'name'?: (string);
  'service'?: (_causeway_federation_v1_Service | null);
  'endpoints'?: (_causeway_federation_v1_EndpointSet | null);
  'bundle'?: (_causeway_identity_v1_TrustBundle | null);
  'gateway'?: (_causeway_federation_v1_GatewayAddress | null);
  'value'?: "service"|"endpoints"|"bundle"|"gateway";
}

export interface Resource__Output {
  /**
   * Unique within its kind: "<namespace>/<name>" for services and endpoints, the trust domain, the host:port.
   */
  'name': (string);
  'service'?: (_causeway_federation_v1_Service__Output | null);
  'endpoints'?: (_causeway_federation_v1_EndpointSet__Output | null);
  'bundle'?: (_causeway_identity_v1_TrustBundle__Output | null);
  'gateway'?: (_causeway_federation_v1_GatewayAddress__Output | null);
  'value'?: "service"|"endpoints"|"bundle"|"gateway";
}
