// Original file: protos/causeway/discovery/v1/discovery.proto

import type { ServiceState as _causeway_discovery_v1_ServiceState, ServiceState__Output as _causeway_discovery_v1_ServiceState__Output } from '../../../causeway/discovery/v1/ServiceState.ts';
import type { LinkStates as _causeway_discovery_v1_LinkStates, LinkStates__Output as _causeway_discovery_v1_LinkStates__Output } from '../../../causeway/discovery/v1/LinkStates.ts';
import type { InboundState as _causeway_discovery_v1_InboundState, InboundState__Output as _causeway_discovery_v1_InboundState__Output } from '../../../causeway/discovery/v1/InboundState.ts';

export interface WatchResponse {
  'service'?: (_causeway_discovery_v1_ServiceState | null);
  'links'?: (_causeway_discovery_v1_LinkStates | null);
  'inbound'?: (_causeway_discovery_v1_InboundState | null);
  'body'?: "service"|"links"|"inbound";
}

export interface WatchResponse__Output {
  'service'?: (_causeway_discovery_v1_ServiceState__Output | null);
  'links'?: (_causeway_discovery_v1_LinkStates__Output | null);
  'inbound'?: (_causeway_discovery_v1_InboundState__Output | null);
  'body'?: "service"|"links"|"inbound";
}
