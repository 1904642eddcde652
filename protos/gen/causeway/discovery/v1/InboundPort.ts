// Original file: protos/causeway/discovery/v1/discovery.proto


export interface InboundPort {
  /**
   * Port of the app.
   */
  'port'?: (number);
  'appProtocol'?: (string);
  /**
   * Trust domains of peers to which a service with this port is exported. Callers of the own trust domain
   * are always let in.
   */
  'peerTrustDomains'?: (string)[];
  'namespace'?: (string);
  'service'?: (string);
}

export interface InboundPort__Output {
  /**
   * Port of the app.
   */
  'port': (number);
  'appProtocol': (string);
  /**
   * Trust domains of peers to which a service with this port is exported. Callers of the own trust domain
   * are always let in.
   */
  'peerTrustDomains': (string)[];
  'namespace': (string);
  'service': (string);
}
