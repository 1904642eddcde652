// Original file: protos/causeway/discovery/v1/discovery.proto


/**
 * A copy of the request goes there too, and its answer is thrown away.
 */
export interface Mirror {
  'authority'?: (string);
  'numerator'?: (number);
  'denominator'?: (number);
}

/**
 * A copy of the request goes there too, and its answer is thrown away.
 */
export interface Mirror__Output {
  'authority': (string);
  'numerator': (number);
  'denominator': (number);
}
