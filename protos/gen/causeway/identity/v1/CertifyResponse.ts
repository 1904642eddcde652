// Original file: protos/causeway/identity/v1/identity.proto

import type { TrustState as _causeway_identity_v1_TrustState, TrustState__Output as _causeway_identity_v1_TrustState__Output } from '../../../causeway/identity/v1/TrustState.ts';
import type { Long } from '@grpc/proto-loader';

export interface CertifyResponse {
  /**
   * DER, leaf first, then issuer. The root is not among them.
   */
  'chain'?: (Buffer | Uint8Array | string)[];
  'notAfterMs'?: (number | string | Long);
  'trust'?: (_causeway_identity_v1_TrustState | null);
}

export interface CertifyResponse__Output {
  /**
   * DER, leaf first, then issuer. The root is not among them.
   */
  'chain': (Buffer)[];
  'notAfterMs': (string);
  'trust': (_causeway_identity_v1_TrustState__Output | null);
}
