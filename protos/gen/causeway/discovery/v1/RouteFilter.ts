// Original file: protos/causeway/discovery/v1/discovery.proto

import type { HeaderModifier as _causeway_discovery_v1_HeaderModifier, HeaderModifier__Output as _causeway_discovery_v1_HeaderModifier__Output } from '../../../causeway/discovery/v1/HeaderModifier.ts';
import type { Redirect as _causeway_discovery_v1_Redirect, Redirect__Output as _causeway_discovery_v1_Redirect__Output } from '../../../causeway/discovery/v1/Redirect.ts';
import type { Rewrite as _causeway_discovery_v1_Rewrite, Rewrite__Output as _causeway_discovery_v1_Rewrite__Output } from '../../../causeway/discovery/v1/Rewrite.ts';
import type { Mirror as _causeway_discovery_v1_Mirror, Mirror__Output as _causeway_discovery_v1_Mirror__Output } from '../../../causeway/discovery/v1/Mirror.ts';

export interface RouteFilter {
  'requestHeaders'?: (_causeway_discovery_v1_HeaderModifier | null);
  'responseHeaders'?: (_causeway_discovery_v1_HeaderModifier | null);
  'redirect'?: (_causeway_discovery_v1_Redirect | null);
  'rewrite'?: (_causeway_discovery_v1_Rewrite | null);
  'mirror'?: (_causeway_discovery_v1_Mirror | null);
  'filter'?: "requestHeaders"|"responseHeaders"|"redirect"|"rewrite"|"mirror";
}

export interface RouteFilter__Output {
  'requestHeaders'?: (_causeway_discovery_v1_HeaderModifier__Output | null);
  'responseHeaders'?: (_causeway_discovery_v1_HeaderModifier__Output | null);
  'redirect'?: (_causeway_discovery_v1_Redirect__Output | null);
  'rewrite'?: (_causeway_discovery_v1_Rewrite__Output | null);
  'mirror'?: (_causeway_discovery_v1_Mirror__Output | null);
  'filter'?: "requestHeaders"|"responseHeaders"|"redirect"|"rewrite"|"mirror";
}
