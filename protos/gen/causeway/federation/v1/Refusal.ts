// Original file: protos/causeway/federation/v1/federation.proto


export interface Refusal {
  /**
   * Of the resource.
   */
  'name'?: (string);
  /**
   * "<CODE>: what is wrong"
   */
  'error'?: (string);
}

export interface Refusal__Output {
  /**
   * Of the resource.
   */
  'name': (string);
  /**
   * "<CODE>: what is wrong"
   */
  'error': (string);
}
