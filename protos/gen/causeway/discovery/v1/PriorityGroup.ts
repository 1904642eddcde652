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
  /**
   * Groups of one level share its traffic; the next level takes what they cannot. Levels do not fall. 0: a level of its
   * own, in the order of the groups.
   */
  'level'?: (number);
  /**
   * Among those of its level; 0: by number of endpoints.
   */
  'weight'?: (number);
  /**
   * Endpoints that the service has there, of which `endpoints` may be but a part; 0: those are all.
   */
  'total'?: (number);
  'readyTotal'?: (number);
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
  /**
   * Groups of one level share its traffic; the next level takes what they cannot. Levels do not fall. 0: a level of its
   * own, in the order of the groups.
   */
  'level': (number);
  /**
   * Among those of its level; 0: by number of endpoints.
   */
  'weight': (number);
  /**
   * Endpoints that the service has there, of which `endpoints` may be but a part; 0: those are all.
   */
  'total': (number);
  'readyTotal': (number);
}
