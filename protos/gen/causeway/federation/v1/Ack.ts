// Original file: protos/causeway/federation/v1/federation.proto

import type { Kind as _causeway_federation_v1_Kind, Kind__Output as _causeway_federation_v1_Kind__Output } from '../../../causeway/federation/v1/Kind.ts';
import type { Long } from '@grpc/proto-loader';

export interface Ack {
  'kind'?: (_causeway_federation_v1_Kind);
  'nonce'?: (string);
  'revision'?: (number | string | Long);
  /**
   * Empty: accepted. Otherwise a NACK: "<CODE>: what is wrong"; nothing of the update was applied.
   */
  'error'?: (string);
}

export interface Ack__Output {
  'kind': (_causeway_federation_v1_Kind__Output);
  'nonce': (string);
  'revision': (string);
  /**
   * Empty: accepted. Otherwise a NACK: "<CODE>: what is wrong"; nothing of the update was applied.
   */
  'error': (string);
}
