import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { DiscoveryClient as _causeway_discovery_v1_DiscoveryClient, DiscoveryDefinition as _causeway_discovery_v1_DiscoveryDefinition } from './causeway/discovery/v1/Discovery.ts';
import type { Endpoint as _causeway_discovery_v1_Endpoint, Endpoint__Output as _causeway_discovery_v1_Endpoint__Output } from './causeway/discovery/v1/Endpoint.ts';
import type { Gateway as _causeway_discovery_v1_Gateway, Gateway__Output as _causeway_discovery_v1_Gateway__Output } from './causeway/discovery/v1/Gateway.ts';
import type { Hello as _causeway_discovery_v1_Hello, Hello__Output as _causeway_discovery_v1_Hello__Output } from './causeway/discovery/v1/Hello.ts';
import type { InboundPort as _causeway_discovery_v1_InboundPort, InboundPort__Output as _causeway_discovery_v1_InboundPort__Output } from './causeway/discovery/v1/InboundPort.ts';
import type { InboundState as _causeway_discovery_v1_InboundState, InboundState__Output as _causeway_discovery_v1_InboundState__Output } from './causeway/discovery/v1/InboundState.ts';
import type { LinkState as _causeway_discovery_v1_LinkState, LinkState__Output as _causeway_discovery_v1_LinkState__Output } from './causeway/discovery/v1/LinkState.ts';
import type { LinkStates as _causeway_discovery_v1_LinkStates, LinkStates__Output as _causeway_discovery_v1_LinkStates__Output } from './causeway/discovery/v1/LinkStates.ts';
import type { PriorityGroup as _causeway_discovery_v1_PriorityGroup, PriorityGroup__Output as _causeway_discovery_v1_PriorityGroup__Output } from './causeway/discovery/v1/PriorityGroup.ts';
import type { ServiceState as _causeway_discovery_v1_ServiceState, ServiceState__Output as _causeway_discovery_v1_ServiceState__Output } from './causeway/discovery/v1/ServiceState.ts';
import type { Subscribe as _causeway_discovery_v1_Subscribe, Subscribe__Output as _causeway_discovery_v1_Subscribe__Output } from './causeway/discovery/v1/Subscribe.ts';
import type { Unsubscribe as _causeway_discovery_v1_Unsubscribe, Unsubscribe__Output as _causeway_discovery_v1_Unsubscribe__Output } from './causeway/discovery/v1/Unsubscribe.ts';
import type { WatchRequest as _causeway_discovery_v1_WatchRequest, WatchRequest__Output as _causeway_discovery_v1_WatchRequest__Output } from './causeway/discovery/v1/WatchRequest.ts';
import type { WatchResponse as _causeway_discovery_v1_WatchResponse, WatchResponse__Output as _causeway_discovery_v1_WatchResponse__Output } from './causeway/discovery/v1/WatchResponse.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  causeway: {
    discovery: {
      v1: {
        Discovery: SubtypeConstructor<typeof grpc.Client, _causeway_discovery_v1_DiscoveryClient> & { service: _causeway_discovery_v1_DiscoveryDefinition }
        Endpoint: MessageTypeDefinition<_causeway_discovery_v1_Endpoint, _causeway_discovery_v1_Endpoint__Output>
        Gateway: MessageTypeDefinition<_causeway_discovery_v1_Gateway, _causeway_discovery_v1_Gateway__Output>
        Hello: MessageTypeDefinition<_causeway_discovery_v1_Hello, _causeway_discovery_v1_Hello__Output>
        InboundPort: MessageTypeDefinition<_causeway_discovery_v1_InboundPort, _causeway_discovery_v1_InboundPort__Output>
        InboundState: MessageTypeDefinition<_causeway_discovery_v1_InboundState, _causeway_discovery_v1_InboundState__Output>
        LinkState: MessageTypeDefinition<_causeway_discovery_v1_LinkState, _causeway_discovery_v1_LinkState__Output>
        LinkStates: MessageTypeDefinition<_causeway_discovery_v1_LinkStates, _causeway_discovery_v1_LinkStates__Output>
        PriorityGroup: MessageTypeDefinition<_causeway_discovery_v1_PriorityGroup, _causeway_discovery_v1_PriorityGroup__Output>
        ServiceState: MessageTypeDefinition<_causeway_discovery_v1_ServiceState, _causeway_discovery_v1_ServiceState__Output>
        Subscribe: MessageTypeDefinition<_causeway_discovery_v1_Subscribe, _causeway_discovery_v1_Subscribe__Output>
        Unsubscribe: MessageTypeDefinition<_causeway_discovery_v1_Unsubscribe, _causeway_discovery_v1_Unsubscribe__Output>
        WatchRequest: MessageTypeDefinition<_causeway_discovery_v1_WatchRequest, _causeway_discovery_v1_WatchRequest__Output>
        WatchResponse: MessageTypeDefinition<_causeway_discovery_v1_WatchResponse, _causeway_discovery_v1_WatchResponse__Output>
      }
    }
  }
}

