/** What a name server of a cluster's two domains needs to know. Lookups are by lower-case names. */
export interface Zone {
  /** Everything is listed: what is not here does not exist. */
  readonly ready: boolean;
  hasNamespace(domain: Domain, namespace: string): boolean;
  service(domain: Domain, namespace: string, name: string): ZoneService | undefined;
}

/** `cluster.local` or `clusterset.local`. */
export type Domain = "cluster" | "clusterset";

export interface ZoneService {
  readonly kind: "address" | "headless" | "alias";
  /** Virtual addresses; of kind "address". */
  readonly ips: readonly string[];
  readonly ports: readonly ZonePort[];
  /** Ready ones; of kind "headless". */
  readonly endpoints: readonly ZoneEndpoint[];
  /** What it is another name for; of kind "alias". */
  readonly target: string;
}

export interface ZonePort {
  readonly name: string;
  /** Lower case. */
  readonly protocol: string;
  readonly port: number;
}

export interface ZoneEndpoint {
  readonly address: string;
  /** First label of its own name. */
  readonly hostname: string;
  /** In the clusterset: where it is. */
  readonly cluster: string;
  readonly ports: readonly ZonePort[];
}
