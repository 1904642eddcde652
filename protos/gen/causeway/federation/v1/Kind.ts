// Original file: protos/causeway/federation/v1/federation.proto

export const Kind = {
  KIND_UNSPECIFIED: 'KIND_UNSPECIFIED',
  KIND_SERVICES: 'KIND_SERVICES',
  KIND_ENDPOINTS: 'KIND_ENDPOINTS',
  KIND_BUNDLES: 'KIND_BUNDLES',
  KIND_GATEWAYS: 'KIND_GATEWAYS',
} as const;

export type Kind =
  | 'KIND_UNSPECIFIED'
  | 0
  | 'KIND_SERVICES'
  | 1
  | 'KIND_ENDPOINTS'
  | 2
  | 'KIND_BUNDLES'
  | 3
  | 'KIND_GATEWAYS'
  | 4

export type Kind__Output = typeof Kind[keyof typeof Kind]
