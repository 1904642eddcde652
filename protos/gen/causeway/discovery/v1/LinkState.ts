// Original file: protos/causeway/discovery/v1/discovery.proto


// Original file: protos/causeway/discovery/v1/discovery.proto

export const _causeway_discovery_v1_LinkState_Health = {
  HEALTH_UNKNOWN: 'HEALTH_UNKNOWN',
  HEALTH_ALIVE: 'HEALTH_ALIVE',
  HEALTH_SUSPECT: 'HEALTH_SUSPECT',
  HEALTH_DEAD: 'HEALTH_DEAD',
  HEALTH_RECOVERING: 'HEALTH_RECOVERING',
} as const;

export type _causeway_discovery_v1_LinkState_Health =
  | 'HEALTH_UNKNOWN'
  | 0
  | 'HEALTH_ALIVE'
  | 1
  | 'HEALTH_SUSPECT'
  | 2
  | 'HEALTH_DEAD'
  | 3
  | 'HEALTH_RECOVERING'
  | 4

export type _causeway_discovery_v1_LinkState_Health__Output = typeof _causeway_discovery_v1_LinkState_Health[keyof typeof _causeway_discovery_v1_LinkState_Health]

export interface LinkState {
  /**
   * Empty for the proxy's own cluster, of which only `drained` says anything.
   */
  'cluster'?: (string);
  'health'?: (_causeway_discovery_v1_LinkState_Health);
  /**
   * Share of traffic the link may take while it recovers, 0 to 1.
   */
  'ramp'?: (number | string);
  /**
   * Share of traffic of federated names that is to go elsewhere while the cluster is evacuated, 0 to 1.
   */
  'drained'?: (number | string);
  /**
   * Dead for longer than the lease on what the peer exported.
   */
  'stale'?: (boolean);
}

export interface LinkState__Output {
  /**
   * Empty for the proxy's own cluster, of which only `drained` says anything.
   */
  'cluster': (string);
  'health': (_causeway_discovery_v1_LinkState_Health__Output);
  /**
   * Share of traffic the link may take while it recovers, 0 to 1.
   */
  'ramp': (number);
  /**
   * Share of traffic of federated names that is to go elsewhere while the cluster is evacuated, 0 to 1.
   */
  'drained': (number);
  /**
   * Dead for longer than the lease on what the peer exported.
   */
  'stale': (boolean);
}
