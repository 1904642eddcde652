// Original file: protos/causeway/discovery/v1/discovery.proto

import type { Endpoint as _causeway_discovery_v1_Endpoint, Endpoint__Output as _causeway_discovery_v1_Endpoint__Output } from '../../../causeway/discovery/v1/Endpoint.ts';
import type { Gateway as _causeway_discovery_v1_Gateway, Gateway__Output as _causeway_discovery_v1_Gateway__Output } from '../../../causeway/discovery/v1/Gateway.ts';

export interface PriorityGroup {
  /**
   * Empty for the proxy's own cluster.
   */
  'cluster'?: (string);
  'trustDomain'?: (string);
  'endpoints'?: (_causeway_discovery_v1_Endpoint)[];
  /**
   * Where endpoints with a route name are reached.
   */
  'gateways'?: (_causeway_discovery_v1_Gateway)[];
}

export interface PriorityGroup__Output {
  /**
   * Empty for the proxy's own cluster.
   */
  'cluster': (string);
  'trustDomain': (string);
  'endpoints': (_causeway_discovery_v1_Endpoint__Output)[];
  /**
   * Where endpoints with a route name are reached.
   */
  'gateways': (_causeway_discovery_v1_Gateway__Output)[];
}
