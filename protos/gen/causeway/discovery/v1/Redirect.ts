// Original file: protos/causeway/discovery/v1/discovery.proto

import type { PathChange as _causeway_discovery_v1_PathChange, PathChange__Output as _causeway_discovery_v1_PathChange__Output } from '../../../causeway/discovery/v1/PathChange.ts';

export interface Redirect {
  /**
   * Empty or 0: as in the request.
   */
  'scheme'?: (string);
  'host'?: (string);
  'port'?: (number);
  'path'?: (_causeway_discovery_v1_PathChange | null);
  /**
   * 301, 302, 303, 307 or 308.
   */
  'status'?: (number);
}

export interface Redirect__Output {
  /**
   * Empty or 0: as in the request.
   */
  'scheme': (string);
  'host': (string);
  'port': (number);
  'path': (_causeway_discovery_v1_PathChange__Output | null);
  /**
   * 301, 302, 303, 307 or 308.
   */
  'status': (number);
}
