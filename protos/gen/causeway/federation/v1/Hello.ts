// Original file: protos/causeway/federation/v1/federation.proto

import type { Long } from '@grpc/proto-loader';

export interface Hello {
  'protocol'?: (number);
  'cluster'?: (string);
  /**
   * Rises each time the sender lost its state; a receiver drops what it knows of earlier epochs when the
   * first snapshot of the new one is complete.
   */
  'epoch'?: (number | string | Long);
  'wantsImport'?: (boolean);
  'offersExport'?: (boolean);
}

export interface Hello__Output {
  'protocol': (number);
  'cluster': (string);
  /**
   * Rises each time the sender lost its state; a receiver drops what it knows of earlier epochs when the
   * first snapshot of the new one is complete.
   */
  'epoch': (string);
  'wantsImport': (boolean);
  'offersExport': (boolean);
}
