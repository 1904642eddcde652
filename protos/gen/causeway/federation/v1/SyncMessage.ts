// Original file: protos/causeway/federation/v1/federation.proto

import type { Hello as _causeway_federation_v1_Hello, Hello__Output as _causeway_federation_v1_Hello__Output } from '../../../causeway/federation/v1/Hello.ts';
import type { Update as _causeway_federation_v1_Update, Update__Output as _causeway_federation_v1_Update__Output } from '../../../causeway/federation/v1/Update.ts';
import type { Ack as _causeway_federation_v1_Ack, Ack__Output as _causeway_federation_v1_Ack__Output } from '../../../causeway/federation/v1/Ack.ts';
import type { Digest as _causeway_federation_v1_Digest, Digest__Output as _causeway_federation_v1_Digest__Output } from '../../../causeway/federation/v1/Digest.ts';
import type { Heartbeat as _causeway_federation_v1_Heartbeat, Heartbeat__Output as _causeway_federation_v1_Heartbeat__Output } from '../../../causeway/federation/v1/Heartbeat.ts';
import type { Goodbye as _causeway_federation_v1_Goodbye, Goodbye__Output as _causeway_federation_v1_Goodbye__Output } from '../../../causeway/federation/v1/Goodbye.ts';

export interface SyncMessage {
  'hello'?: (_causeway_federation_v1_Hello | null);
  'update'?: (_causeway_federation_v1_Update | null);
  'ack'?: (_causeway_federation_v1_Ack | null);
  'digest'?: (_causeway_federation_v1_Digest | null);
  'heartbeat'?: (_causeway_federation_v1_Heartbeat | null);
  'goodbye'?: (_causeway_federation_v1_Goodbye | null);
  'body'?: "hello"|"update"|"ack"|"digest"|"heartbeat"|"goodbye";
}

export interface SyncMessage__Output {
  'hello'?: (_causeway_federation_v1_Hello__Output | null);
  'update'?: (_causeway_federation_v1_Update__Output | null);
  'ack'?: (_causeway_federation_v1_Ack__Output | null);
  'digest'?: (_causeway_federation_v1_Digest__Output | null);
  'heartbeat'?: (_causeway_federation_v1_Heartbeat__Output | null);
  'goodbye'?: (_causeway_federation_v1_Goodbye__Output | null);
  'body'?: "hello"|"update"|"ack"|"digest"|"heartbeat"|"goodbye";
}
