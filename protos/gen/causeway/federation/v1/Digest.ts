// Original file: protos/causeway/federation/v1/federation.proto

import type { KindDigest as _causeway_federation_v1_KindDigest, KindDigest__Output as _causeway_federation_v1_KindDigest__Output } from '../../../causeway/federation/v1/KindDigest.ts';

/**
 * SHA-256 over the sorted (name, encoded value) of each kind, as sent so far.
 */
export interface Digest {
  'kinds'?: (_causeway_federation_v1_KindDigest)[];
  'nonce'?: (string);
}

/**
 * SHA-256 over the sorted (name, encoded value) of each kind, as sent so far.
 */
export interface Digest__Output {
  'kinds': (_causeway_federation_v1_KindDigest__Output)[];
  'nonce': (string);
}
