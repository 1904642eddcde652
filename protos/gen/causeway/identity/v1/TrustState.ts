// Original file: protos/causeway/identity/v1/identity.proto

import type { TrustBundle as _causeway_identity_v1_TrustBundle, TrustBundle__Output as _causeway_identity_v1_TrustBundle__Output } from '../../../causeway/identity/v1/TrustBundle.ts';

export interface TrustState {
  /**
   * One for each trust domain that this cluster knows; a domain that is missing is not believed.
   */
  'bundles'?: (_causeway_identity_v1_TrustBundle)[];
}

export interface TrustState__Output {
  /**
   * One for each trust domain that this cluster knows; a domain that is missing is not believed.
   */
  'bundles': (_causeway_identity_v1_TrustBundle__Output)[];
}
