// Original file: protos/causeway/federation/v1/federation.proto


export interface Goodbye {
  /**
   * "unlinked", "draining", "replaced" or an error code.
   */
  'reason'?: (string);
}

export interface Goodbye__Output {
  /**
   * "unlinked", "draining", "replaced" or an error code.
   */
  'reason': (string);
}
