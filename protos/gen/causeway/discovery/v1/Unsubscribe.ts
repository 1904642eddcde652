// Original file: protos/causeway/discovery/v1/discovery.proto


export interface Unsubscribe {
  'authorities'?: (string)[];
}

export interface Unsubscribe__Output {
  'authorities': (string)[];
}
