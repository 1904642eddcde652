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
  /**
   * Requests a second of one client identity, and how many may come at once; 0: no limit.
   */
  'rateLimit'?: (number);
  'rateBurst'?: (number);
  /**
   * Requests that may be under way at the app; 0: the proxy's own limit.
   */
  'maxInFlight'?: (number);
  /**
   * Unix socket on which the app takes connections for this port; empty: TCP.
   */
  'appSocket'?: (string);
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
  /**
   * Requests a second of one client identity, and how many may come at once; 0: no limit.
   */
  'rateLimit': (number);
  'rateBurst': (number);
  /**
   * Requests that may be under way at the app; 0: the proxy's own limit.
   */
  'maxInFlight': (number);
  /**
   * Unix socket on which the app takes connections for this port; empty: TCP.
   */
  'appSocket': (string);
}
