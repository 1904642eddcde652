// Original file: protos/causeway/discovery/v1/discovery.proto

import type { RouteFilter as _causeway_discovery_v1_RouteFilter, RouteFilter__Output as _causeway_discovery_v1_RouteFilter__Output } from '../../../causeway/discovery/v1/RouteFilter.ts';

export interface RouteBackend {
  /**
   * "<host>:<port>", to be subscribed to; of its state the groups apply and its routes do not. Empty: it does not exist
   * or may not be used; its share is answered 500.
   */
  'authority'?: (string);
  'weight'?: (number);
  'filters'?: (_causeway_discovery_v1_RouteFilter)[];
}

export interface RouteBackend__Output {
  /**
   * "<host>:<port>", to be subscribed to; of its state the groups apply and its routes do not. Empty: it does not exist
   * or may not be used; its share is answered 500.
   */
  'authority': (string);
  'weight': (number);
  'filters': (_causeway_discovery_v1_RouteFilter__Output)[];
}
