// Original file: protos/causeway/discovery/v1/discovery.proto


// Original file: protos/causeway/discovery/v1/discovery.proto

export const _causeway_discovery_v1_ValueMatch_Kind = {
  KIND_UNSPECIFIED: 'KIND_UNSPECIFIED',
  KIND_EXACT: 'KIND_EXACT',
  /**
   * Of a path: by segments.
   */
  KIND_PREFIX: 'KIND_PREFIX',
  /**
   * RE2's common subset, of the whole value: what compileRouteRegex in core/route-regex.ts takes.
   */
  KIND_REGEX: 'KIND_REGEX',
} as const;

export type _causeway_discovery_v1_ValueMatch_Kind =
  | 'KIND_UNSPECIFIED'
  | 0
  | 'KIND_EXACT'
  | 1
  /**
   * Of a path: by segments.
   */
  | 'KIND_PREFIX'
  | 2
  /**
   * RE2's common subset, of the whole value: what compileRouteRegex in core/route-regex.ts takes.
   */
  | 'KIND_REGEX'
  | 3

export type _causeway_discovery_v1_ValueMatch_Kind__Output = typeof _causeway_discovery_v1_ValueMatch_Kind[keyof typeof _causeway_discovery_v1_ValueMatch_Kind]

export interface ValueMatch {
  'kind'?: (_causeway_discovery_v1_ValueMatch_Kind);
  'value'?: (string);
}

export interface ValueMatch__Output {
  'kind': (_causeway_discovery_v1_ValueMatch_Kind__Output);
  'value': (string);
}
