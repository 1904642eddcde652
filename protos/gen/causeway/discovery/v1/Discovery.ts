// Original file: protos/causeway/discovery/v1/discovery.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { WatchRequest as _causeway_discovery_v1_WatchRequest, WatchRequest__Output as _causeway_discovery_v1_WatchRequest__Output } from '../../../causeway/discovery/v1/WatchRequest.ts';
import type { WatchResponse as _causeway_discovery_v1_WatchResponse, WatchResponse__Output as _causeway_discovery_v1_WatchResponse__Output } from '../../../causeway/discovery/v1/WatchResponse.ts';

export interface DiscoveryClient extends grpc.Client {
  /**
   * One stream per proxy over mutual TLS. The first message is Hello, then subscriptions. Every state is
   * whole: the newest message about a thing replaces all earlier ones. A proxy that loses the stream keeps
   * what it has and subscribes again on the next one.
   */
  Watch(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_causeway_discovery_v1_WatchRequest, _causeway_discovery_v1_WatchResponse__Output>;
  Watch(options?: grpc.CallOptions): grpc.ClientDuplexStream<_causeway_discovery_v1_WatchRequest, _causeway_discovery_v1_WatchResponse__Output>;
  /**
   * One stream per proxy over mutual TLS. The first message is Hello, then subscriptions. Every state is
   * whole: the newest message about a thing replaces all earlier ones. A proxy that loses the stream keeps
   * what it has and subscribes again on the next one.
   */
  watch(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_causeway_discovery_v1_WatchRequest, _causeway_discovery_v1_WatchResponse__Output>;
  watch(options?: grpc.CallOptions): grpc.ClientDuplexStream<_causeway_discovery_v1_WatchRequest, _causeway_discovery_v1_WatchResponse__Output>;
  
}

export interface DiscoveryHandlers extends grpc.UntypedServiceImplementation {
  /**
   * One stream per proxy over mutual TLS. The first message is Hello, then subscriptions. Every state is
   * whole: the newest message about a thing replaces all earlier ones. A proxy that loses the stream keeps
   * what it has and subscribes again on the next one.
   */
  Watch: grpc.handleBidiStreamingCall<_causeway_discovery_v1_WatchRequest__Output, _causeway_discovery_v1_WatchResponse>;
  
}

export interface DiscoveryDefinition extends grpc.ServiceDefinition {
  Watch: MethodDefinition<_causeway_discovery_v1_WatchRequest, _causeway_discovery_v1_WatchResponse, _causeway_discovery_v1_WatchRequest__Output, _causeway_discovery_v1_WatchResponse__Output>
}
