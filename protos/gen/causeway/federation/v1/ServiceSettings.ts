// Original file: protos/causeway/federation/v1/federation.proto


/**
 * What is not there was not said.
 */
export interface ServiceSettings {
  'requestTimeoutMs'?: (number);
  'tryTimeoutMs'?: (number);
  'idleTimeoutMs'?: (number);
  'retryLimit'?: (number);
  'retryHttpStatuses'?: (number)[];
  'retryGrpcStatuses'?: (number)[];
  'retryBackoffMs'?: (number);
  'retryAnyMethod'?: (boolean);
  /**
   * 0: none.
   */
  'affinitySeconds'?: (number);
  'maxConnectionAgeMs'?: (number);
  'preferZone'?: (boolean);
  '_requestTimeoutMs'?: "requestTimeoutMs";
  '_tryTimeoutMs'?: "tryTimeoutMs";
  '_idleTimeoutMs'?: "idleTimeoutMs";
  '_retryLimit'?: "retryLimit";
  '_retryBackoffMs'?: "retryBackoffMs";
}

/**
 * What is not there was not said.
 */
export interface ServiceSettings__Output {
  'requestTimeoutMs'?: (number);
  'tryTimeoutMs'?: (number);
  'idleTimeoutMs'?: (number);
  'retryLimit'?: (number);
  'retryHttpStatuses': (number)[];
  'retryGrpcStatuses': (number)[];
  'retryBackoffMs'?: (number);
  'retryAnyMethod': (boolean);
  /**
   * 0: none.
   */
  'affinitySeconds': (number);
  'maxConnectionAgeMs': (number);
  'preferZone': (boolean);
  '_requestTimeoutMs'?: "requestTimeoutMs";
  '_tryTimeoutMs'?: "tryTimeoutMs";
  '_idleTimeoutMs'?: "idleTimeoutMs";
  '_retryLimit'?: "retryLimit";
  '_retryBackoffMs'?: "retryBackoffMs";
}
