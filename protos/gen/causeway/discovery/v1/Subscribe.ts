// Original file: protos/causeway/discovery/v1/discovery.proto


export interface Subscribe {
  /**
   * "<host>:<port>" as the app named it; the host may be an address, IPv6 in brackets. Names and addresses answer alike:
   * an address of a Service, of a mirror or of a clusterset name is that service.
   */
  'authorities'?: (string)[];
}

export interface Subscribe__Output {
  /**
   * "<host>:<port>" as the app named it; the host may be an address, IPv6 in brackets. Names and addresses answer alike:
   * an address of a Service, of a mirror or of a clusterset name is that service.
   */
  'authorities': (string)[];
}
