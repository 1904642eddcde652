// Original file: protos/causeway/discovery/v1/discovery.proto

import type { Hello as _causeway_discovery_v1_Hello, Hello__Output as _causeway_discovery_v1_Hello__Output } from '../../../causeway/discovery/v1/Hello.ts';
import type { Subscribe as _causeway_discovery_v1_Subscribe, Subscribe__Output as _causeway_discovery_v1_Subscribe__Output } from '../../../causeway/discovery/v1/Subscribe.ts';
import type { Unsubscribe as _causeway_discovery_v1_Unsubscribe, Unsubscribe__Output as _causeway_discovery_v1_Unsubscribe__Output } from '../../../causeway/discovery/v1/Unsubscribe.ts';

export interface WatchRequest {
  'hello'?: (_causeway_discovery_v1_Hello | null);
  'subscribe'?: (_causeway_discovery_v1_Subscribe | null);
  'unsubscribe'?: (_causeway_discovery_v1_Unsubscribe | null);
  'body'?: "hello"|"subscribe"|"unsubscribe";
}

export interface WatchRequest__Output {
  'hello'?: (_causeway_discovery_v1_Hello__Output | null);
  'subscribe'?: (_causeway_discovery_v1_Subscribe__Output | null);
  'unsubscribe'?: (_causeway_discovery_v1_Unsubscribe__Output | null);
  'body'?: "hello"|"subscribe"|"unsubscribe";
}
