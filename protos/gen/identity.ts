import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { CertifyRequest as _causeway_identity_v1_CertifyRequest, CertifyRequest__Output as _causeway_identity_v1_CertifyRequest__Output } from './causeway/identity/v1/CertifyRequest.ts';
import type { CertifyResponse as _causeway_identity_v1_CertifyResponse, CertifyResponse__Output as _causeway_identity_v1_CertifyResponse__Output } from './causeway/identity/v1/CertifyResponse.ts';
import type { IdentityClient as _causeway_identity_v1_IdentityClient, IdentityDefinition as _causeway_identity_v1_IdentityDefinition } from './causeway/identity/v1/Identity.ts';
import type { TrustBundle as _causeway_identity_v1_TrustBundle, TrustBundle__Output as _causeway_identity_v1_TrustBundle__Output } from './causeway/identity/v1/TrustBundle.ts';
import type { TrustState as _causeway_identity_v1_TrustState, TrustState__Output as _causeway_identity_v1_TrustState__Output } from './causeway/identity/v1/TrustState.ts';
import type { WatchTrustRequest as _causeway_identity_v1_WatchTrustRequest, WatchTrustRequest__Output as _causeway_identity_v1_WatchTrustRequest__Output } from './causeway/identity/v1/WatchTrustRequest.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  causeway: {
    identity: {
      v1: {
        CertifyRequest: MessageTypeDefinition<_causeway_identity_v1_CertifyRequest, _causeway_identity_v1_CertifyRequest__Output>
        CertifyResponse: MessageTypeDefinition<_causeway_identity_v1_CertifyResponse, _causeway_identity_v1_CertifyResponse__Output>
        Identity: SubtypeConstructor<typeof grpc.Client, _causeway_identity_v1_IdentityClient> & { service: _causeway_identity_v1_IdentityDefinition }
        TrustBundle: MessageTypeDefinition<_causeway_identity_v1_TrustBundle, _causeway_identity_v1_TrustBundle__Output>
        TrustState: MessageTypeDefinition<_causeway_identity_v1_TrustState, _causeway_identity_v1_TrustState__Output>
        WatchTrustRequest: MessageTypeDefinition<_causeway_identity_v1_WatchTrustRequest, _causeway_identity_v1_WatchTrustRequest__Output>
      }
    }
  }
}

