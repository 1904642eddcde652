// Original file: protos/causeway/discovery/v1/discovery.proto

import type { Header as _causeway_discovery_v1_Header, Header__Output as _causeway_discovery_v1_Header__Output } from '../../../causeway/discovery/v1/Header.ts';

export interface HeaderModifier {
  'set'?: (_causeway_discovery_v1_Header)[];
  'add'?: (_causeway_discovery_v1_Header)[];
  'remove'?: (string)[];
}

export interface HeaderModifier__Output {
  'set': (_causeway_discovery_v1_Header__Output)[];
  'add': (_causeway_discovery_v1_Header__Output)[];
  'remove': (string)[];
}
