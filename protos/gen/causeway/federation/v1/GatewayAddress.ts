// Original file: protos/causeway/federation/v1/federation.proto


export interface GatewayAddress {
  'host'?: (string);
  'relayPort'?: (number);
  'federationPort'?: (number);
  'zone'?: (string);
}

export interface GatewayAddress__Output {
  'host': (string);
  'relayPort': (number);
  'federationPort': (number);
  'zone': (string);
}
