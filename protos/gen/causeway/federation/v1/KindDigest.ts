// Original file: protos/causeway/federation/v1/federation.proto

import type { Kind as _causeway_federation_v1_Kind, Kind__Output as _causeway_federation_v1_Kind__Output } from '../../../causeway/federation/v1/Kind.ts';
import type { Long } from '@grpc/proto-loader';

export interface KindDigest {
  'kind'?: (_causeway_federation_v1_Kind);
  'revision'?: (number | string | Long);
  /**
   * SHA-256 over the names, sorted, each followed by the SHA-256 of its value as the registry keeps it.
   */
  'sha256'?: (Buffer | Uint8Array | string);
  'count'?: (number);
}

export interface KindDigest__Output {
  'kind': (_causeway_federation_v1_Kind__Output);
  'revision': (string);
  /**
   * SHA-256 over the names, sorted, each followed by the SHA-256 of its value as the registry keeps it.
   */
  'sha256': (Buffer);
  'count': (number);
}
