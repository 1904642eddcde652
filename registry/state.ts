import type { FailoverPolicy } from "../core/failover.ts";
import { parseTrustDomain } from "../core/identity.ts";
import type { GatewayAddress, LinkState } from "../core/link.ts";
import type { ServiceRoutes } from "../core/route.ts";
import type { LocalEndpoints, LocalService, RemoteEndpoints, RemoteService } from "../core/service.ts";
import type { TrustBundle } from "../core/trust-bundle.ts";

/**
 * A kind of state: where it is kept and what it holds. Mirror owns `local/service`, `local/endpoints`,
 * `local/route`, `local/vip` and `local/failover`, control owns `local/bundle`, gateway owns `local/gateway`,
 * `local/drain` and all of `peer/`.
 */
export interface StateKind<T> {
  readonly prefix: string;
  encode(value: T): string;
  /** @throws SyntaxError, MeshError for what is not a value of this kind */
  decode(text: string): T;
}

function json<T>(prefix: string): StateKind<T> {
  return { prefix, encode: (value) => JSON.stringify(value), decode: (text) => JSON.parse(text) as T };
}

interface StoredBundle {
  trustDomain: string;
  cluster: string;
  sequence: string;
  x509Authorities: string[];
}

function bundles(prefix: string): StateKind<TrustBundle> {
  return {
    prefix,
    encode: ({ trustDomain, cluster, sequence, x509Authorities }) =>
      JSON.stringify({
        trustDomain,
        cluster,
        sequence: sequence.toString(),
        x509Authorities: x509Authorities.map((der) => Buffer.from(der).toString("base64")),
      } satisfies StoredBundle),
    decode(text) {
      const stored = JSON.parse(text) as StoredBundle;
      return {
        trustDomain: parseTrustDomain(stored.trustDomain),
        cluster: stored.cluster,
        sequence: BigInt(stored.sequence),
        x509Authorities: stored.x509Authorities.map((der) => new Uint8Array(Buffer.from(der, "base64"))),
      };
    },
  };
}

/** A ClusterIP of a mirror ("service", by the mirror's own name) or of a clusterset name. */
export interface VirtualAddress {
  readonly of: "service" | "clusterset";
  readonly namespace: string;
  readonly name: string;
}

/** `local/service/<namespace>/<name>` */
export const LOCAL_SERVICES: StateKind<LocalService> = json("local/service/");
/** `local/endpoints/<namespace>/<name>` */
export const LOCAL_ENDPOINTS: StateKind<LocalEndpoints> = json("local/endpoints/");
/** `local/route/<namespace>/<service>`: what HTTPRoutes and GRPCRoutes say of it. */
export const LOCAL_ROUTES: StateKind<ServiceRoutes> = json("local/route/");
/** `local/vip/<ip>`: what an address of ours stands for that is no Service's of this cluster itself. */
export const LOCAL_VIPS: StateKind<VirtualAddress> = json("local/vip/");
/** `local/failover/<namespace>/<service>`: what a FailoverPolicy says of its clusterset name. */
export const LOCAL_FAILOVER: StateKind<FailoverPolicy> = json("local/failover/");
/** `local/drain/<cluster>`: share of our own traffic that is to go elsewhere while we are evacuated. */
export const LOCAL_DRAINS: StateKind<{ readonly share: number }> = json("local/drain/");
/** `local/bundle/<trust domain>` */
export const LOCAL_BUNDLE: StateKind<TrustBundle> = bundles("local/bundle/");
/** `local/gateway/<replica>`: our own gateways as peers should reach them, each written by itself under its own lease. */
export const LOCAL_GATEWAYS: StateKind<GatewayAddress> = json("local/gateway/");
/**
 * `local/ready/<owner>`: written by an owner (mirror) once its first full pass is in the registry, deleted never.
 * Gone with the rest when a store loses its data: until it is back, absence of a key means nothing.
 */
export const LOCAL_READY: StateKind<{ readonly sinceMs: number }> = json("local/ready/");
/** `peer/service/<cluster>/<namespace>/<name>` */
export const PEER_SERVICES: StateKind<RemoteService> = json("peer/service/");
/** `peer/endpoints/<cluster>/<namespace>/<name>` */
export const PEER_ENDPOINTS: StateKind<RemoteEndpoints> = json("peer/endpoints/");
/** `peer/bundle/<cluster>/<trust domain>` */
export const PEER_BUNDLES: StateKind<TrustBundle> = bundles("peer/bundle/");
/** `peer/gateway/<cluster>/<host>:<port>` */
export const PEER_GATEWAYS: StateKind<GatewayAddress> = json("peer/gateway/");
/** `peer/link/<cluster>` */
export const PEER_LINKS: StateKind<LinkState> = json("peer/link/");

/** What a peer and its gateway here last agreed that the peer exports to us. */
export interface PeerDigest {
  /** SHA-256, hex, over names and values, and how many there are. */
  readonly service: { readonly count: number; readonly sha256: string };
  readonly endpoints: { readonly count: number; readonly sha256: string };
}

/** `peer/digest/<cluster>`: written when it changes, at most once per digest that the peer sends. */
export const PEER_DIGESTS: StateKind<PeerDigest> = json("peer/digest/");

/** The full key of `name` within `kind`. */
export function stateKey<T>(kind: StateKind<T>, ...name: string[]): string {
  return kind.prefix + name.join("/");
}
