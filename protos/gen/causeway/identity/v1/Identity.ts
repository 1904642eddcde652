// Original file: protos/causeway/identity/v1/identity.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { CertifyRequest as _causeway_identity_v1_CertifyRequest, CertifyRequest__Output as _causeway_identity_v1_CertifyRequest__Output } from '../../../causeway/identity/v1/CertifyRequest.ts';
import type { CertifyResponse as _causeway_identity_v1_CertifyResponse, CertifyResponse__Output as _causeway_identity_v1_CertifyResponse__Output } from '../../../causeway/identity/v1/CertifyResponse.ts';
import type { TrustState as _causeway_identity_v1_TrustState, TrustState__Output as _causeway_identity_v1_TrustState__Output } from '../../../causeway/identity/v1/TrustState.ts';
import type { WatchTrustRequest as _causeway_identity_v1_WatchTrustRequest, WatchTrustRequest__Output as _causeway_identity_v1_WatchTrustRequest__Output } from '../../../causeway/identity/v1/WatchTrustRequest.ts';

export interface IdentityClient extends grpc.Client {
  /**
   * Exchanges a CSR and a ServiceAccount token for an X.509-SVID. The connection is TLS with a server
   * certificate only: the token is what authenticates the caller.
   * UNAUTHENTICATED: token refused. INVALID_ARGUMENT: CSR refused. RESOURCE_EXHAUSTED: rate limit.
   */
  Certify(argument: _causeway_identity_v1_CertifyRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_causeway_identity_v1_CertifyResponse__Output>): grpc.ClientUnaryCall;
  Certify(argument: _causeway_identity_v1_CertifyRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_causeway_identity_v1_CertifyResponse__Output>): grpc.ClientUnaryCall;
  Certify(argument: _causeway_identity_v1_CertifyRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_causeway_identity_v1_CertifyResponse__Output>): grpc.ClientUnaryCall;
  Certify(argument: _causeway_identity_v1_CertifyRequest, callback: grpc.requestCallback<_causeway_identity_v1_CertifyResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Exchanges a CSR and a ServiceAccount token for an X.509-SVID. The connection is TLS with a server
   * certificate only: the token is what authenticates the caller.
   * UNAUTHENTICATED: token refused. INVALID_ARGUMENT: CSR refused. RESOURCE_EXHAUSTED: rate limit.
   */
  certify(argument: _causeway_identity_v1_CertifyRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_causeway_identity_v1_CertifyResponse__Output>): grpc.ClientUnaryCall;
  certify(argument: _causeway_identity_v1_CertifyRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_causeway_identity_v1_CertifyResponse__Output>): grpc.ClientUnaryCall;
  certify(argument: _causeway_identity_v1_CertifyRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_causeway_identity_v1_CertifyResponse__Output>): grpc.ClientUnaryCall;
  certify(argument: _causeway_identity_v1_CertifyRequest, callback: grpc.requestCallback<_causeway_identity_v1_CertifyResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Sends the whole set of bundles at once and again after each change.
   */
  WatchTrust(argument: _causeway_identity_v1_WatchTrustRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_causeway_identity_v1_TrustState__Output>;
  WatchTrust(argument: _causeway_identity_v1_WatchTrustRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_causeway_identity_v1_TrustState__Output>;
  /**
   * Sends the whole set of bundles at once and again after each change.
   */
  watchTrust(argument: _causeway_identity_v1_WatchTrustRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_causeway_identity_v1_TrustState__Output>;
  watchTrust(argument: _causeway_identity_v1_WatchTrustRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_causeway_identity_v1_TrustState__Output>;
  
}

export interface IdentityHandlers extends grpc.UntypedServiceImplementation {
  /**
   * Exchanges a CSR and a ServiceAccount token for an X.509-SVID. The connection is TLS with a server
   * certificate only: the token is what authenticates the caller.
   * UNAUTHENTICATED: token refused. INVALID_ARGUMENT: CSR refused. RESOURCE_EXHAUSTED: rate limit.
   */
  Certify: grpc.handleUnaryCall<_causeway_identity_v1_CertifyRequest__Output, _causeway_identity_v1_CertifyResponse>;
  
  /**
   * Sends the whole set of bundles at once and again after each change.
   */
  WatchTrust: grpc.handleServerStreamingCall<_causeway_identity_v1_WatchTrustRequest__Output, _causeway_identity_v1_TrustState>;
  
}

export interface IdentityDefinition extends grpc.ServiceDefinition {
  Certify: MethodDefinition<_causeway_identity_v1_CertifyRequest, _causeway_identity_v1_CertifyResponse, _causeway_identity_v1_CertifyRequest__Output, _causeway_identity_v1_CertifyResponse__Output>
  WatchTrust: MethodDefinition<_causeway_identity_v1_WatchTrustRequest, _causeway_identity_v1_TrustState, _causeway_identity_v1_WatchTrustRequest__Output, _causeway_identity_v1_TrustState__Output>
}
