export type ProcessCommand = readonly [string, ...string[]];

/** What every sidecar of the cluster is started with. */
export interface SidecarSettings {
  /** How to run `mesh`. */
  readonly mesh: ProcessCommand;
  /** host:port of control. */
  readonly control: string;
  readonly trustDomain: string;
  readonly trustPem: string;
  /** Label topology.kubernetes.io/zone of the node; "" where it has none. */
  readonly zone: string;
  readonly logLevel: string | undefined;
  /** As `mesh proxy --failback`. */
  readonly failback: string | undefined;
}
