// Original file: protos/causeway/discovery/v1/discovery.proto

import type { InboundPort as _causeway_discovery_v1_InboundPort, InboundPort__Output as _causeway_discovery_v1_InboundPort__Output } from '../../../causeway/discovery/v1/InboundPort.ts';

/**
 * What this workload's proxy accepts.
 */
export interface InboundState {
  'cluster'?: (string);
  'trustDomain'?: (string);
  'ports'?: (_causeway_discovery_v1_InboundPort)[];
}

/**
 * What this workload's proxy accepts.
 */
export interface InboundState__Output {
  'cluster': (string);
  'trustDomain': (string);
  'ports': (_causeway_discovery_v1_InboundPort__Output)[];
}
