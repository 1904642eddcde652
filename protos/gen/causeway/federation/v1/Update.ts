// Original file: protos/causeway/federation/v1/federation.proto

import type { Kind as _causeway_federation_v1_Kind, Kind__Output as _causeway_federation_v1_Kind__Output } from '../../../causeway/federation/v1/Kind.ts';
import type { Resource as _causeway_federation_v1_Resource, Resource__Output as _causeway_federation_v1_Resource__Output } from '../../../causeway/federation/v1/Resource.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * State of one kind: a snapshot in one or more parts, or a delta.
 */
export interface Update {
  'kind'?: (_causeway_federation_v1_Kind);
  'revision'?: (number | string | Long);
  'nonce'?: (string);
  'snapshot'?: (boolean);
  /**
   * More parts of this snapshot follow under the same revision.
   */
  'more'?: (boolean);
  'upserts'?: (_causeway_federation_v1_Resource)[];
  'removes'?: (string)[];
}

/**
 * State of one kind: a snapshot in one or more parts, or a delta.
 */
export interface Update__Output {
  'kind': (_causeway_federation_v1_Kind__Output);
  'revision': (string);
  'nonce': (string);
  'snapshot': (boolean);
  /**
   * More parts of this snapshot follow under the same revision.
   */
  'more': (boolean);
  'upserts': (_causeway_federation_v1_Resource__Output)[];
  'removes': (string)[];
}
