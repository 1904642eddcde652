// Original file: protos/causeway/discovery/v1/discovery.proto

import type { LinkState as _causeway_discovery_v1_LinkState, LinkState__Output as _causeway_discovery_v1_LinkState__Output } from '../../../causeway/discovery/v1/LinkState.ts';

/**
 * The state of every link, whole.
 */
export interface LinkStates {
  'links'?: (_causeway_discovery_v1_LinkState)[];
}

/**
 * The state of every link, whole.
 */
export interface LinkStates__Output {
  'links': (_causeway_discovery_v1_LinkState__Output)[];
}
