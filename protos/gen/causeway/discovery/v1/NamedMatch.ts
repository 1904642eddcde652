// Original file: protos/causeway/discovery/v1/discovery.proto

import type { ValueMatch as _causeway_discovery_v1_ValueMatch, ValueMatch__Output as _causeway_discovery_v1_ValueMatch__Output } from '../../../causeway/discovery/v1/ValueMatch.ts';

export interface NamedMatch {
  /**
   * Headers: lower case.
   */
  'name'?: (string);
  'value'?: (_causeway_discovery_v1_ValueMatch | null);
}

export interface NamedMatch__Output {
  /**
   * Headers: lower case.
   */
  'name': (string);
  'value': (_causeway_discovery_v1_ValueMatch__Output | null);
}
