// Original file: protos/causeway/federation/v1/federation.proto


export interface ServicePort {
  'name'?: (string);
  'port'?: (number);
  /**
   * TCP
   */
  'protocol'?: (string);
  /**
   * "http", "http2", "grpc", "opaque" or empty for detection.
   */
  'appProtocol'?: (string);
}

export interface ServicePort__Output {
  'name': (string);
  'port': (number);
  /**
   * TCP
   */
  'protocol': (string);
  /**
   * "http", "http2", "grpc", "opaque" or empty for detection.
   */
  'appProtocol': (string);
}
