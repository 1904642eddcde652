// Original file: protos/causeway/discovery/v1/discovery.proto


export interface Subscribe {
  /**
   * "<host>:<port>" as the app named it.
   */
  'authorities'?: (string)[];
}

export interface Subscribe__Output {
  /**
   * "<host>:<port>" as the app named it.
   */
  'authorities': (string)[];
}
