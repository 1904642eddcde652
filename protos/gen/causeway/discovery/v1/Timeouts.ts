// Original file: protos/causeway/discovery/v1/discovery.proto


/**
 * In ms; 0: none.
 */
export interface Timeouts {
  /**
   * From the request's head to the end of the answer, tries and pauses included.
   */
  'requestMs'?: (number);
  /**
   * One try, to the head of its answer.
   */
  'tryMs'?: (number);
  /**
   * Without a byte in either direction.
   */
  'idleMs'?: (number);
}

/**
 * In ms; 0: none.
 */
export interface Timeouts__Output {
  /**
   * From the request's head to the end of the answer, tries and pauses included.
   */
  'requestMs': (number);
  /**
   * One try, to the head of its answer.
   */
  'tryMs': (number);
  /**
   * Without a byte in either direction.
   */
  'idleMs': (number);
}
