// Original file: protos/causeway/federation/v1/federation.proto

import type { Kind as _causeway_federation_v1_Kind, Kind__Output as _causeway_federation_v1_Kind__Output } from '../../../causeway/federation/v1/Kind.ts';
import type { Refusal as _causeway_federation_v1_Refusal, Refusal__Output as _causeway_federation_v1_Refusal__Output } from '../../../causeway/federation/v1/Refusal.ts';
import type { Long } from '@grpc/proto-loader';

export interface Ack {
  'kind'?: (_causeway_federation_v1_Kind);
  'nonce'?: (string);
  'revision'?: (number | string | Long);
  /**
   * Empty: accepted. Otherwise a NACK: "<CODE>: what is wrong"; nothing of the update was applied.
   */
  'error'?: (string);
  /**
   * Resources of an accepted update that were refused, the rest was applied. Neither side counts them in
   * digests until a later value of theirs is accepted.
   */
  'refused'?: (_causeway_federation_v1_Refusal)[];
}

export interface Ack__Output {
  'kind': (_causeway_federation_v1_Kind__Output);
  'nonce': (string);
  'revision': (string);
  /**
   * Empty: accepted. Otherwise a NACK: "<CODE>: what is wrong"; nothing of the update was applied.
   */
  'error': (string);
  /**
   * Resources of an accepted update that were refused, the rest was applied. Neither side counts them in
   * digests until a later value of theirs is accepted.
   */
  'refused': (_causeway_federation_v1_Refusal__Output)[];
}
