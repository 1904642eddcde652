// Original file: protos/causeway/discovery/v1/discovery.proto


export interface Hello {
  'namespace'?: (string);
  'pod'?: (string);
  /**
   * Address of the pod, by which control finds the services that it serves.
   */
  'address'?: (string);
  'protocol'?: (number);
  'zone'?: (string);
}

export interface Hello__Output {
  'namespace': (string);
  'pod': (string);
  /**
   * Address of the pod, by which control finds the services that it serves.
   */
  'address': (string);
  'protocol': (number);
  'zone': (string);
}
