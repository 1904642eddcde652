// Original file: protos/causeway/federation/v1/federation.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { JoinRequest as _causeway_federation_v1_JoinRequest, JoinRequest__Output as _causeway_federation_v1_JoinRequest__Output } from '../../../causeway/federation/v1/JoinRequest.ts';
import type { JoinResponse as _causeway_federation_v1_JoinResponse, JoinResponse__Output as _causeway_federation_v1_JoinResponse__Output } from '../../../causeway/federation/v1/JoinResponse.ts';
import type { SyncMessage as _causeway_federation_v1_SyncMessage, SyncMessage__Output as _causeway_federation_v1_SyncMessage__Output } from '../../../causeway/federation/v1/SyncMessage.ts';

export interface FederationClient extends grpc.Client {
  /**
   * Redeems a join token. TLS with a server certificate only, pinned by the caller to the root fingerprint
   * in the token; the token is what authenticates the caller.
   */
  Join(argument: _causeway_federation_v1_JoinRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_causeway_federation_v1_JoinResponse__Output>): grpc.ClientUnaryCall;
  Join(argument: _causeway_federation_v1_JoinRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_causeway_federation_v1_JoinResponse__Output>): grpc.ClientUnaryCall;
  Join(argument: _causeway_federation_v1_JoinRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_causeway_federation_v1_JoinResponse__Output>): grpc.ClientUnaryCall;
  Join(argument: _causeway_federation_v1_JoinRequest, callback: grpc.requestCallback<_causeway_federation_v1_JoinResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Redeems a join token. TLS with a server certificate only, pinned by the caller to the root fingerprint
   * in the token; the token is what authenticates the caller.
   */
  join(argument: _causeway_federation_v1_JoinRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_causeway_federation_v1_JoinResponse__Output>): grpc.ClientUnaryCall;
  join(argument: _causeway_federation_v1_JoinRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_causeway_federation_v1_JoinResponse__Output>): grpc.ClientUnaryCall;
  join(argument: _causeway_federation_v1_JoinRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_causeway_federation_v1_JoinResponse__Output>): grpc.ClientUnaryCall;
  join(argument: _causeway_federation_v1_JoinRequest, callback: grpc.requestCallback<_causeway_federation_v1_JoinResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * One stream per link, opened by the side that redeemed the token, over mutual TLS. Both sides send
   * Hello first, then a snapshot per kind, then deltas; each update is answered by an Ack.
   */
  Sync(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_causeway_federation_v1_SyncMessage, _causeway_federation_v1_SyncMessage__Output>;
  Sync(options?: grpc.CallOptions): grpc.ClientDuplexStream<_causeway_federation_v1_SyncMessage, _causeway_federation_v1_SyncMessage__Output>;
  /**
   * One stream per link, opened by the side that redeemed the token, over mutual TLS. Both sides send
   * Hello first, then a snapshot per kind, then deltas; each update is answered by an Ack.
   */
  sync(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_causeway_federation_v1_SyncMessage, _causeway_federation_v1_SyncMessage__Output>;
  sync(options?: grpc.CallOptions): grpc.ClientDuplexStream<_causeway_federation_v1_SyncMessage, _causeway_federation_v1_SyncMessage__Output>;
  
}

export interface FederationHandlers extends grpc.UntypedServiceImplementation {
  /**
   * Redeems a join token. TLS with a server certificate only, pinned by the caller to the root fingerprint
   * in the token; the token is what authenticates the caller.
   */
  Join: grpc.handleUnaryCall<_causeway_federation_v1_JoinRequest__Output, _causeway_federation_v1_JoinResponse>;
  
  /**
   * One stream per link, opened by the side that redeemed the token, over mutual TLS. Both sides send
   * Hello first, then a snapshot per kind, then deltas; each update is answered by an Ack.
   */
  Sync: grpc.handleBidiStreamingCall<_causeway_federation_v1_SyncMessage__Output, _causeway_federation_v1_SyncMessage>;
  
}

export interface FederationDefinition extends grpc.ServiceDefinition {
  Join: MethodDefinition<_causeway_federation_v1_JoinRequest, _causeway_federation_v1_JoinResponse, _causeway_federation_v1_JoinRequest__Output, _causeway_federation_v1_JoinResponse__Output>
  Sync: MethodDefinition<_causeway_federation_v1_SyncMessage, _causeway_federation_v1_SyncMessage, _causeway_federation_v1_SyncMessage__Output, _causeway_federation_v1_SyncMessage__Output>
}
