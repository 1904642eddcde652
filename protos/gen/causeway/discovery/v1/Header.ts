// Original file: protos/causeway/discovery/v1/discovery.proto


export interface Header {
  /**
   * Lower case.
   */
  'name'?: (string);
  'value'?: (string);
}

export interface Header__Output {
  /**
   * Lower case.
   */
  'name': (string);
  'value': (string);
}
