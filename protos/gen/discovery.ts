import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { DiscoveryClient as _causeway_discovery_v1_DiscoveryClient, DiscoveryDefinition as _causeway_discovery_v1_DiscoveryDefinition } from './causeway/discovery/v1/Discovery.ts';
import type { Endpoint as _causeway_discovery_v1_Endpoint, Endpoint__Output as _causeway_discovery_v1_Endpoint__Output } from './causeway/discovery/v1/Endpoint.ts';
import type { Gateway as _causeway_discovery_v1_Gateway, Gateway__Output as _causeway_discovery_v1_Gateway__Output } from './causeway/discovery/v1/Gateway.ts';
import type { Header as _causeway_discovery_v1_Header, Header__Output as _causeway_discovery_v1_Header__Output } from './causeway/discovery/v1/Header.ts';
import type { HeaderModifier as _causeway_discovery_v1_HeaderModifier, HeaderModifier__Output as _causeway_discovery_v1_HeaderModifier__Output } from './causeway/discovery/v1/HeaderModifier.ts';
import type { Hello as _causeway_discovery_v1_Hello, Hello__Output as _causeway_discovery_v1_Hello__Output } from './causeway/discovery/v1/Hello.ts';
import type { InboundPort as _causeway_discovery_v1_InboundPort, InboundPort__Output as _causeway_discovery_v1_InboundPort__Output } from './causeway/discovery/v1/InboundPort.ts';
import type { InboundState as _causeway_discovery_v1_InboundState, InboundState__Output as _causeway_discovery_v1_InboundState__Output } from './causeway/discovery/v1/InboundState.ts';
import type { LinkState as _causeway_discovery_v1_LinkState, LinkState__Output as _causeway_discovery_v1_LinkState__Output } from './causeway/discovery/v1/LinkState.ts';
import type { LinkStates as _causeway_discovery_v1_LinkStates, LinkStates__Output as _causeway_discovery_v1_LinkStates__Output } from './causeway/discovery/v1/LinkStates.ts';
import type { Mirror as _causeway_discovery_v1_Mirror, Mirror__Output as _causeway_discovery_v1_Mirror__Output } from './causeway/discovery/v1/Mirror.ts';
import type { NamedMatch as _causeway_discovery_v1_NamedMatch, NamedMatch__Output as _causeway_discovery_v1_NamedMatch__Output } from './causeway/discovery/v1/NamedMatch.ts';
import type { PathChange as _causeway_discovery_v1_PathChange, PathChange__Output as _causeway_discovery_v1_PathChange__Output } from './causeway/discovery/v1/PathChange.ts';
import type { PriorityGroup as _causeway_discovery_v1_PriorityGroup, PriorityGroup__Output as _causeway_discovery_v1_PriorityGroup__Output } from './causeway/discovery/v1/PriorityGroup.ts';
import type { Redirect as _causeway_discovery_v1_Redirect, Redirect__Output as _causeway_discovery_v1_Redirect__Output } from './causeway/discovery/v1/Redirect.ts';
import type { RetryPolicy as _causeway_discovery_v1_RetryPolicy, RetryPolicy__Output as _causeway_discovery_v1_RetryPolicy__Output } from './causeway/discovery/v1/RetryPolicy.ts';
import type { Rewrite as _causeway_discovery_v1_Rewrite, Rewrite__Output as _causeway_discovery_v1_Rewrite__Output } from './causeway/discovery/v1/Rewrite.ts';
import type { RouteBackend as _causeway_discovery_v1_RouteBackend, RouteBackend__Output as _causeway_discovery_v1_RouteBackend__Output } from './causeway/discovery/v1/RouteBackend.ts';
import type { RouteFilter as _causeway_discovery_v1_RouteFilter, RouteFilter__Output as _causeway_discovery_v1_RouteFilter__Output } from './causeway/discovery/v1/RouteFilter.ts';
import type { RouteMatch as _causeway_discovery_v1_RouteMatch, RouteMatch__Output as _causeway_discovery_v1_RouteMatch__Output } from './causeway/discovery/v1/RouteMatch.ts';
import type { RouteRule as _causeway_discovery_v1_RouteRule, RouteRule__Output as _causeway_discovery_v1_RouteRule__Output } from './causeway/discovery/v1/RouteRule.ts';
import type { ServiceState as _causeway_discovery_v1_ServiceState, ServiceState__Output as _causeway_discovery_v1_ServiceState__Output } from './causeway/discovery/v1/ServiceState.ts';
import type { Subscribe as _causeway_discovery_v1_Subscribe, Subscribe__Output as _causeway_discovery_v1_Subscribe__Output } from './causeway/discovery/v1/Subscribe.ts';
import type { Timeouts as _causeway_discovery_v1_Timeouts, Timeouts__Output as _causeway_discovery_v1_Timeouts__Output } from './causeway/discovery/v1/Timeouts.ts';
import type { Unsubscribe as _causeway_discovery_v1_Unsubscribe, Unsubscribe__Output as _causeway_discovery_v1_Unsubscribe__Output } from './causeway/discovery/v1/Unsubscribe.ts';
import type { ValueMatch as _causeway_discovery_v1_ValueMatch, ValueMatch__Output as _causeway_discovery_v1_ValueMatch__Output } from './causeway/discovery/v1/ValueMatch.ts';
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
        Header: MessageTypeDefinition<_causeway_discovery_v1_Header, _causeway_discovery_v1_Header__Output>
        HeaderModifier: MessageTypeDefinition<_causeway_discovery_v1_HeaderModifier, _causeway_discovery_v1_HeaderModifier__Output>
        Hello: MessageTypeDefinition<_causeway_discovery_v1_Hello, _causeway_discovery_v1_Hello__Output>
        InboundPort: MessageTypeDefinition<_causeway_discovery_v1_InboundPort, _causeway_discovery_v1_InboundPort__Output>
        InboundState: MessageTypeDefinition<_causeway_discovery_v1_InboundState, _causeway_discovery_v1_InboundState__Output>
        LinkState: MessageTypeDefinition<_causeway_discovery_v1_LinkState, _causeway_discovery_v1_LinkState__Output>
        LinkStates: MessageTypeDefinition<_causeway_discovery_v1_LinkStates, _causeway_discovery_v1_LinkStates__Output>
        Mirror: MessageTypeDefinition<_causeway_discovery_v1_Mirror, _causeway_discovery_v1_Mirror__Output>
        NamedMatch: MessageTypeDefinition<_causeway_discovery_v1_NamedMatch, _causeway_discovery_v1_NamedMatch__Output>
        PathChange: MessageTypeDefinition<_causeway_discovery_v1_PathChange, _causeway_discovery_v1_PathChange__Output>
        PriorityGroup: MessageTypeDefinition<_causeway_discovery_v1_PriorityGroup, _causeway_discovery_v1_PriorityGroup__Output>
        Redirect: MessageTypeDefinition<_causeway_discovery_v1_Redirect, _causeway_discovery_v1_Redirect__Output>
        RetryPolicy: MessageTypeDefinition<_causeway_discovery_v1_RetryPolicy, _causeway_discovery_v1_RetryPolicy__Output>
        Rewrite: MessageTypeDefinition<_causeway_discovery_v1_Rewrite, _causeway_discovery_v1_Rewrite__Output>
        RouteBackend: MessageTypeDefinition<_causeway_discovery_v1_RouteBackend, _causeway_discovery_v1_RouteBackend__Output>
        RouteFilter: MessageTypeDefinition<_causeway_discovery_v1_RouteFilter, _causeway_discovery_v1_RouteFilter__Output>
        RouteMatch: MessageTypeDefinition<_causeway_discovery_v1_RouteMatch, _causeway_discovery_v1_RouteMatch__Output>
        RouteRule: MessageTypeDefinition<_causeway_discovery_v1_RouteRule, _causeway_discovery_v1_RouteRule__Output>
        ServiceState: MessageTypeDefinition<_causeway_discovery_v1_ServiceState, _causeway_discovery_v1_ServiceState__Output>
        Subscribe: MessageTypeDefinition<_causeway_discovery_v1_Subscribe, _causeway_discovery_v1_Subscribe__Output>
        Timeouts: MessageTypeDefinition<_causeway_discovery_v1_Timeouts, _causeway_discovery_v1_Timeouts__Output>
        Unsubscribe: MessageTypeDefinition<_causeway_discovery_v1_Unsubscribe, _causeway_discovery_v1_Unsubscribe__Output>
        ValueMatch: MessageTypeDefinition<_causeway_discovery_v1_ValueMatch, _causeway_discovery_v1_ValueMatch__Output>
        WatchRequest: MessageTypeDefinition<_causeway_discovery_v1_WatchRequest, _causeway_discovery_v1_WatchRequest__Output>
        WatchResponse: MessageTypeDefinition<_causeway_discovery_v1_WatchResponse, _causeway_discovery_v1_WatchResponse__Output>
      }
    }
  }
}

