// Original file: protos/causeway/federation/v1/federation.proto

import type { TrustBundle as _causeway_identity_v1_TrustBundle, TrustBundle__Output as _causeway_identity_v1_TrustBundle__Output } from '../../../causeway/identity/v1/TrustBundle.ts';
import type { GatewayAddress as _causeway_federation_v1_GatewayAddress, GatewayAddress__Output as _causeway_federation_v1_GatewayAddress__Output } from '../../../causeway/federation/v1/GatewayAddress.ts';

export interface JoinRequest {
  'tokenId'?: (string);
  'tokenSecret'?: (string);
  'cluster'?: (string);
  'bundle'?: (_causeway_identity_v1_TrustBundle | null);
  'gateways'?: (_causeway_federation_v1_GatewayAddress)[];
  /**
   * The caller wants to consume what the other side exports.
   */
  'wantsImport'?: (boolean);
  /**
   * The caller offers its own exports.
   */
  'offersExport'?: (boolean);
  'protocol'?: (number);
}

export interface JoinRequest__Output {
  'tokenId': (string);
  'tokenSecret': (string);
  'cluster': (string);
  'bundle': (_causeway_identity_v1_TrustBundle__Output | null);
  'gateways': (_causeway_federation_v1_GatewayAddress__Output)[];
  /**
   * The caller wants to consume what the other side exports.
   */
  'wantsImport': (boolean);
  /**
   * The caller offers its own exports.
   */
  'offersExport': (boolean);
  'protocol': (number);
}
