import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { Ack as _causeway_federation_v1_Ack, Ack__Output as _causeway_federation_v1_Ack__Output } from './causeway/federation/v1/Ack.ts';
import type { Digest as _causeway_federation_v1_Digest, Digest__Output as _causeway_federation_v1_Digest__Output } from './causeway/federation/v1/Digest.ts';
import type { Endpoint as _causeway_federation_v1_Endpoint, Endpoint__Output as _causeway_federation_v1_Endpoint__Output } from './causeway/federation/v1/Endpoint.ts';
import type { EndpointRoute as _causeway_federation_v1_EndpointRoute, EndpointRoute__Output as _causeway_federation_v1_EndpointRoute__Output } from './causeway/federation/v1/EndpointRoute.ts';
import type { EndpointSet as _causeway_federation_v1_EndpointSet, EndpointSet__Output as _causeway_federation_v1_EndpointSet__Output } from './causeway/federation/v1/EndpointSet.ts';
import type { FederationClient as _causeway_federation_v1_FederationClient, FederationDefinition as _causeway_federation_v1_FederationDefinition } from './causeway/federation/v1/Federation.ts';
import type { GatewayAddress as _causeway_federation_v1_GatewayAddress, GatewayAddress__Output as _causeway_federation_v1_GatewayAddress__Output } from './causeway/federation/v1/GatewayAddress.ts';
import type { Goodbye as _causeway_federation_v1_Goodbye, Goodbye__Output as _causeway_federation_v1_Goodbye__Output } from './causeway/federation/v1/Goodbye.ts';
import type { Heartbeat as _causeway_federation_v1_Heartbeat, Heartbeat__Output as _causeway_federation_v1_Heartbeat__Output } from './causeway/federation/v1/Heartbeat.ts';
import type { Hello as _causeway_federation_v1_Hello, Hello__Output as _causeway_federation_v1_Hello__Output } from './causeway/federation/v1/Hello.ts';
import type { JoinRequest as _causeway_federation_v1_JoinRequest, JoinRequest__Output as _causeway_federation_v1_JoinRequest__Output } from './causeway/federation/v1/JoinRequest.ts';
import type { JoinResponse as _causeway_federation_v1_JoinResponse, JoinResponse__Output as _causeway_federation_v1_JoinResponse__Output } from './causeway/federation/v1/JoinResponse.ts';
import type { KindDigest as _causeway_federation_v1_KindDigest, KindDigest__Output as _causeway_federation_v1_KindDigest__Output } from './causeway/federation/v1/KindDigest.ts';
import type { Refusal as _causeway_federation_v1_Refusal, Refusal__Output as _causeway_federation_v1_Refusal__Output } from './causeway/federation/v1/Refusal.ts';
import type { Resource as _causeway_federation_v1_Resource, Resource__Output as _causeway_federation_v1_Resource__Output } from './causeway/federation/v1/Resource.ts';
import type { Service as _causeway_federation_v1_Service, Service__Output as _causeway_federation_v1_Service__Output } from './causeway/federation/v1/Service.ts';
import type { ServicePort as _causeway_federation_v1_ServicePort, ServicePort__Output as _causeway_federation_v1_ServicePort__Output } from './causeway/federation/v1/ServicePort.ts';
import type { ServiceSettings as _causeway_federation_v1_ServiceSettings, ServiceSettings__Output as _causeway_federation_v1_ServiceSettings__Output } from './causeway/federation/v1/ServiceSettings.ts';
import type { SyncMessage as _causeway_federation_v1_SyncMessage, SyncMessage__Output as _causeway_federation_v1_SyncMessage__Output } from './causeway/federation/v1/SyncMessage.ts';
import type { Update as _causeway_federation_v1_Update, Update__Output as _causeway_federation_v1_Update__Output } from './causeway/federation/v1/Update.ts';
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
    federation: {
      v1: {
        Ack: MessageTypeDefinition<_causeway_federation_v1_Ack, _causeway_federation_v1_Ack__Output>
        Digest: MessageTypeDefinition<_causeway_federation_v1_Digest, _causeway_federation_v1_Digest__Output>
        Endpoint: MessageTypeDefinition<_causeway_federation_v1_Endpoint, _causeway_federation_v1_Endpoint__Output>
        EndpointRoute: MessageTypeDefinition<_causeway_federation_v1_EndpointRoute, _causeway_federation_v1_EndpointRoute__Output>
        EndpointSet: MessageTypeDefinition<_causeway_federation_v1_EndpointSet, _causeway_federation_v1_EndpointSet__Output>
        Federation: SubtypeConstructor<typeof grpc.Client, _causeway_federation_v1_FederationClient> & { service: _causeway_federation_v1_FederationDefinition }
        GatewayAddress: MessageTypeDefinition<_causeway_federation_v1_GatewayAddress, _causeway_federation_v1_GatewayAddress__Output>
        Goodbye: MessageTypeDefinition<_causeway_federation_v1_Goodbye, _causeway_federation_v1_Goodbye__Output>
        Heartbeat: MessageTypeDefinition<_causeway_federation_v1_Heartbeat, _causeway_federation_v1_Heartbeat__Output>
        Hello: MessageTypeDefinition<_causeway_federation_v1_Hello, _causeway_federation_v1_Hello__Output>
        JoinRequest: MessageTypeDefinition<_causeway_federation_v1_JoinRequest, _causeway_federation_v1_JoinRequest__Output>
        JoinResponse: MessageTypeDefinition<_causeway_federation_v1_JoinResponse, _causeway_federation_v1_JoinResponse__Output>
        Kind: EnumTypeDefinition
        KindDigest: MessageTypeDefinition<_causeway_federation_v1_KindDigest, _causeway_federation_v1_KindDigest__Output>
        Refusal: MessageTypeDefinition<_causeway_federation_v1_Refusal, _causeway_federation_v1_Refusal__Output>
        Resource: MessageTypeDefinition<_causeway_federation_v1_Resource, _causeway_federation_v1_Resource__Output>
        Service: MessageTypeDefinition<_causeway_federation_v1_Service, _causeway_federation_v1_Service__Output>
        ServicePort: MessageTypeDefinition<_causeway_federation_v1_ServicePort, _causeway_federation_v1_ServicePort__Output>
        ServiceSettings: MessageTypeDefinition<_causeway_federation_v1_ServiceSettings, _causeway_federation_v1_ServiceSettings__Output>
        SyncMessage: MessageTypeDefinition<_causeway_federation_v1_SyncMessage, _causeway_federation_v1_SyncMessage__Output>
        Update: MessageTypeDefinition<_causeway_federation_v1_Update, _causeway_federation_v1_Update__Output>
      }
    }
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

