/** Health of a link as heartbeats show it. Only `dead` takes no traffic while there is another way; `recovering` takes its ramp's share. */
export type LinkHealth = "unknown" | "alive" | "suspect" | "dead" | "recovering";

/** Where a cluster's gateway is reached. */
export interface GatewayAddress {
  readonly host: string;
  readonly relayPort: number;
  readonly federationPort: number;
  readonly zone: string;
}

/** What the registry says of a link: written by the gateway on each change, never per service. */
export interface LinkState {
  readonly cluster: string;
  readonly health: LinkHealth;
  /** Share of traffic the link may take while it recovers, 0 to 1. */
  readonly ramp: number;
  /** Fresh heartbeat and an acknowledged digest in both directions. */
  readonly active: boolean;
  readonly sinceMs: number;
  /** Smoothed round trip of heartbeats. */
  readonly rttMs: number;
  /** Last reason for not being active, for people. */
  readonly reason: string;
  /** Share of its traffic that the peer, or somebody here, wants to go elsewhere, 0 to 1; absent: none. */
  readonly drained?: number;
  /** Dead for longer than the lease on what the peer exported: kept, and tried last of all. */
  readonly stale?: boolean;
  /** Deaths that are not forgiven yet, by which the next one holds the link down; absent: none. */
  readonly deaths?: number;
  /** Names of peers' updates that were refused: "<CODE>: …". */
  readonly refused: readonly string[];
}
