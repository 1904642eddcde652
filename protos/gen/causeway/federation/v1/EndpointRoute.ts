// Original file: protos/causeway/federation/v1/federation.proto


export interface EndpointRoute {
  /**
   * The Service's port number.
   */
  'servicePort'?: (number);
  /**
   * The port of the app behind it.
   */
  'targetPort'?: (number);
  /**
   * TLS SNI under which the gateway relays to it.
   */
  'routeName'?: (string);
}

export interface EndpointRoute__Output {
  /**
   * The Service's port number.
   */
  'servicePort': (number);
  /**
   * The port of the app behind it.
   */
  'targetPort': (number);
  /**
   * TLS SNI under which the gateway relays to it.
   */
  'routeName': (string);
}
