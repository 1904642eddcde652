// Original file: protos/causeway/federation/v1/federation.proto

import type { TrustBundle as _causeway_identity_v1_TrustBundle, TrustBundle__Output as _causeway_identity_v1_TrustBundle__Output } from '../../../causeway/identity/v1/TrustBundle.ts';
import type { GatewayAddress as _causeway_federation_v1_GatewayAddress, GatewayAddress__Output as _causeway_federation_v1_GatewayAddress__Output } from '../../../causeway/federation/v1/GatewayAddress.ts';

export interface JoinResponse {
  'cluster'?: (string);
  'bundle'?: (_causeway_identity_v1_TrustBundle | null);
  'gateways'?: (_causeway_federation_v1_GatewayAddress)[];
  /**
   * 32 bytes, shared by both sides of the link; keys the route names.
   */
  'linkSecret'?: (Buffer | Uint8Array | string);
  'protocol'?: (number);
}

export interface JoinResponse__Output {
  'cluster': (string);
  'bundle': (_causeway_identity_v1_TrustBundle__Output | null);
  'gateways': (_causeway_federation_v1_GatewayAddress__Output)[];
  /**
   * 32 bytes, shared by both sides of the link; keys the route names.
   */
  'linkSecret': (Buffer);
  'protocol': (number);
}
