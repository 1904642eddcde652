import type { TrustDomain } from "../core/identity.ts";
import type { GatewayAddress, LinkState } from "../core/link.ts";
import type {
  AppProtocol,
  LocalEndpoints,
  LocalService,
  RemoteEndpoints,
  RemoteService,
  ServiceKey,
} from "../core/service.ts";

/** What control reads of the registry; pure lookups over the local copy. */
export interface Catalog {
  readonly cluster: string;
  readonly trustDomain: TrustDomain;
  localService(key: ServiceKey): LocalService | undefined;
  localEndpoints(key: ServiceKey): LocalEndpoints | undefined;
  /** The remote service that is mirrored under this name. */
  mirrored(key: ServiceKey): RemoteService | undefined;
  /** All remote services of this namespace and name. */
  remoteServices(key: ServiceKey): readonly RemoteService[];
  remoteEndpoints(cluster: string, key: ServiceKey): RemoteEndpoints | undefined;
  gateways(cluster: string): readonly GatewayAddress[];
  /** Undefined while the peer's bundle is not known: nothing of it can be verified then. */
  trustDomainOf(cluster: string): TrustDomain | undefined;
  link(cluster: string): LinkState | undefined;
  /** The services that have an endpoint with this address. */
  servicesAt(address: string): readonly ServiceKey[];
  /** The service with this ClusterIP. */
  serviceByClusterIp(address: string): ServiceKey | undefined;
}

/** A service as a proxy is to use it. Mirrors `discovery.v1.ServiceState` without the authority. */
export type Resolution =
  | { readonly kind: "notFound" }
  | { readonly kind: "external" }
  | {
      readonly kind: "service";
      readonly namespace: string;
      readonly name: string;
      readonly port: number;
      readonly appProtocol: AppProtocol;
      readonly federated: boolean;
      readonly groups: readonly Group[];
    };

export interface Group {
  /** "" for our own cluster. */
  readonly cluster: string;
  readonly trustDomain: TrustDomain;
  readonly endpoints: readonly GroupEndpoint[];
  readonly gateways: readonly { readonly host: string; readonly port: number }[];
}

export interface GroupEndpoint {
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly proxyPort: number;
  readonly identity: string;
  readonly routeName: string;
  readonly ready: boolean;
  readonly zone: string;
}
