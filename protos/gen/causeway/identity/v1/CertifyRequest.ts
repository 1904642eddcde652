// Original file: protos/causeway/identity/v1/identity.proto


export interface CertifyRequest {
  /**
   * PKCS #10, DER, at most 8 KiB, exactly one URI SAN.
   */
  'csr'?: (Buffer | Uint8Array | string);
  /**
   * ServiceAccount token with audience "causeway".
   */
  'token'?: (string);
}

export interface CertifyRequest__Output {
  /**
   * PKCS #10, DER, at most 8 KiB, exactly one URI SAN.
   */
  'csr': (Buffer);
  /**
   * ServiceAccount token with audience "causeway".
   */
  'token': (string);
}
