// Original file: protos/causeway/discovery/v1/discovery.proto

import type { ValueMatch as _causeway_discovery_v1_ValueMatch, ValueMatch__Output as _causeway_discovery_v1_ValueMatch__Output } from '../../../causeway/discovery/v1/ValueMatch.ts';
import type { NamedMatch as _causeway_discovery_v1_NamedMatch, NamedMatch__Output as _causeway_discovery_v1_NamedMatch__Output } from '../../../causeway/discovery/v1/NamedMatch.ts';

/**
 * All that is set must match.
 */
export interface RouteMatch {
  /**
   * Path; for a GRPCRoute "/<service>/<method>".
   */
  'path'?: (_causeway_discovery_v1_ValueMatch | null);
  'method'?: (string);
  'headers'?: (_causeway_discovery_v1_NamedMatch)[];
  'query'?: (_causeway_discovery_v1_NamedMatch)[];
}

/**
 * All that is set must match.
 */
export interface RouteMatch__Output {
  /**
   * Path; for a GRPCRoute "/<service>/<method>".
   */
  'path': (_causeway_discovery_v1_ValueMatch__Output | null);
  'method': (string);
  'headers': (_causeway_discovery_v1_NamedMatch__Output)[];
  'query': (_causeway_discovery_v1_NamedMatch__Output)[];
}
