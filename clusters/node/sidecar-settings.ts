export type ProcessCommand = readonly [string, ...string[]];

/** What every sidecar of the cluster is started with. */
export interface SidecarSettings {
  /** How to run `mesh`. */
  readonly mesh: ProcessCommand;
  /** host:port of control. */
  readonly control: string;
  readonly trustDomain: string;
  readonly trustPem: string;
  readonly logLevel: string | undefined;
  /** As `mesh proxy --failback`. */
  readonly failback: string | undefined;
}
