// Original file: protos/causeway/discovery/v1/discovery.proto

import type { PathChange as _causeway_discovery_v1_PathChange, PathChange__Output as _causeway_discovery_v1_PathChange__Output } from '../../../causeway/discovery/v1/PathChange.ts';

export interface Rewrite {
  'host'?: (string);
  'path'?: (_causeway_discovery_v1_PathChange | null);
}

export interface Rewrite__Output {
  'host': (string);
  'path': (_causeway_discovery_v1_PathChange__Output | null);
}
