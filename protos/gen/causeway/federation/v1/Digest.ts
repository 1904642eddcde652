// Original file: protos/causeway/federation/v1/federation.proto

import type { KindDigest as _causeway_federation_v1_KindDigest, KindDigest__Output as _causeway_federation_v1_KindDigest__Output } from '../../../causeway/federation/v1/KindDigest.ts';

/**
 * Of what was sent and acknowledged so far: only sent while no answer is outstanding. Answered by an Ack with the
 * digest's nonce: one without kind where all agree, else a NACK for each kind that differs, and a snapshot follows.
 */
export interface Digest {
  'kinds'?: (_causeway_federation_v1_KindDigest)[];
  'nonce'?: (string);
}

/**
 * Of what was sent and acknowledged so far: only sent while no answer is outstanding. Answered by an Ack with the
 * digest's nonce: one without kind where all agree, else a NACK for each kind that differs, and a snapshot follows.
 */
export interface Digest__Output {
  'kinds': (_causeway_federation_v1_KindDigest__Output)[];
  'nonce': (string);
}
