// Original file: protos/causeway/federation/v1/federation.proto

import type { Long } from '@grpc/proto-loader';

export interface Heartbeat {
  /**
   * 0 in a reply, which is sent at once and only carries reply_to_ms.
   */
  'sequence'?: (number | string | Long);
  /**
   * Sender's clock; echoed back unchanged in reply_to_ms so that the sender can measure the round trip.
   */
  'sentAtMs'?: (number | string | Long);
  'replyToMs'?: (number | string | Long);
  /**
   * Share of its traffic that the sender wants to go elsewhere while it is being evacuated, 0 to 1.
   */
  'drained'?: (number | string);
}

export interface Heartbeat__Output {
  /**
   * 0 in a reply, which is sent at once and only carries reply_to_ms.
   */
  'sequence': (string);
  /**
   * Sender's clock; echoed back unchanged in reply_to_ms so that the sender can measure the round trip.
   */
  'sentAtMs': (string);
  'replyToMs': (string);
  /**
   * Share of its traffic that the sender wants to go elsewhere while it is being evacuated, 0 to 1.
   */
  'drained': (number);
}
