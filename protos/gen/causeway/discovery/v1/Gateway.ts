// Original file: protos/causeway/discovery/v1/discovery.proto


export interface Gateway {
  'host'?: (string);
  'port'?: (number);
}

export interface Gateway__Output {
  'host': (string);
  'port': (number);
}
