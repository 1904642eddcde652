// Original file: protos/causeway/discovery/v1/discovery.proto


export interface PathChange {
  /**
   * The whole path, or what replaces the prefix that matched.
   */
  'full'?: (string);
  'prefix'?: (string);
  'replacesPrefix'?: (boolean);
}

export interface PathChange__Output {
  /**
   * The whole path, or what replaces the prefix that matched.
   */
  'full': (string);
  'prefix': (string);
  'replacesPrefix': (boolean);
}
