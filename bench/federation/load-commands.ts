/** What the load process is asked to do; it answers each with one LoadReply. */
export type FederationCommand =
  | {
      readonly kind: "proxies";
      readonly count: number;
      /** Of control. */
      readonly address: string;
      readonly cluster: string;
      readonly namespace: string;
      readonly serviceAccount: string;
      /** The cluster's root, PEM. */
      readonly root: string;
      /** Of the ServiceAccount. */
      readonly token: string;
      /** What each subscribes to. */
      readonly authorities: readonly string[];
      /** The link of which changes are noted. */
      readonly link: string;
    }
  | { readonly kind: "seen" }
  | { readonly kind: "peers"; readonly from: number; readonly to: number }
  | {
      readonly kind: "dial";
      /** Whom the peers made last dial. */
      readonly cluster: string;
      /** Its root, DER in base64. */
      readonly root: string;
      readonly gateway: { readonly host: string; readonly federationPort: number };
      /** Services that each exports. */
      readonly services: number;
      readonly namespace: string;
    };

/** A simulated cluster, as the other side's Link and Secret need it. */
export interface PeerAccount {
  readonly cluster: string;
  /** DER, base64. */
  readonly root: string;
  readonly fingerprint: string;
  /** 32 bytes, base64. */
  readonly linkSecret: string;
}

/** One state of a link as the streams were told it. Wall-clock ms. */
export interface SeenState {
  readonly health: string;
  readonly ramp: number;
  readonly lastMs: number;
  readonly streams: number;
}

export type FederationAnswer =
  | { readonly kind: "proxies" }
  | { readonly kind: "seen"; readonly states: readonly SeenState[] }
  | { readonly kind: "peers"; readonly peers: readonly PeerAccount[] }
  | { readonly kind: "dial" }
  | { readonly kind: "failed"; readonly reason: string };
