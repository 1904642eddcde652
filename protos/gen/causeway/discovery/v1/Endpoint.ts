// Original file: protos/causeway/discovery/v1/discovery.proto


export interface Endpoint {
  'id'?: (string);
  /**
   * Local endpoints only.
   */
  'address'?: (string);
  /**
   * Port of the app.
   */
  'port'?: (number);
  /**
   * Inbound port of the endpoint's proxy; 0 where there is none (plain connection to address:port).
   */
  'proxyPort'?: (number);
  /**
   * SPIFFE ID to be verified; empty where there is no proxy.
   */
  'identity'?: (string);
  /**
   * Remote endpoints only: TLS SNI at the gateway.
   */
  'routeName'?: (string);
  'ready'?: (boolean);
  'zone'?: (string);
}

export interface Endpoint__Output {
  'id': (string);
  /**
   * Local endpoints only.
   */
  'address': (string);
  /**
   * Port of the app.
   */
  'port': (number);
  /**
   * Inbound port of the endpoint's proxy; 0 where there is none (plain connection to address:port).
   */
  'proxyPort': (number);
  /**
   * SPIFFE ID to be verified; empty where there is no proxy.
   */
  'identity': (string);
  /**
   * Remote endpoints only: TLS SNI at the gateway.
   */
  'routeName': (string);
  'ready': (boolean);
  'zone': (string);
}
