// Original file: protos/causeway/identity/v1/identity.proto

import type { Long } from '@grpc/proto-loader';

export interface TrustBundle {
  'trustDomain'?: (string);
  /**
   * Only rises; a lower one is refused, an equal one with other content too.
   */
  'sequence'?: (number | string | Long);
  /**
   * DER, self-signed roots.
   */
  'x509Authorities'?: (Buffer | Uint8Array | string)[];
  /**
   * Name of the cluster whose trust domain this is.
   */
  'cluster'?: (string);
}

export interface TrustBundle__Output {
  'trustDomain': (string);
  /**
   * Only rises; a lower one is refused, an equal one with other content too.
   */
  'sequence': (string);
  /**
   * DER, self-signed roots.
   */
  'x509Authorities': (Buffer)[];
  /**
   * Name of the cluster whose trust domain this is.
   */
  'cluster': (string);
}
