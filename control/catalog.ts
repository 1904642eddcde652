import type { FailoverPolicy } from "../core/failover.ts";
import type { TrustDomain } from "../core/identity.ts";
import type { GatewayAddress, LinkState } from "../core/link.ts";
import type { RetrySettings, RouteRule, ServiceRoutes, TimeoutSettings } from "../core/route.ts";
import type {
  AppProtocol,
  LocalEndpoints,
  LocalService,
  RemoteEndpoints,
  RemoteService,
  ServiceKey,
} from "../core/service.ts";
import type { VirtualAddress } from "../registry/state.ts";

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
  /** Rules for the names of this service, by the name under which it is called here: a mirror's are its own. */
  routes(key: ServiceKey): ServiceRoutes | undefined;
  /** How the traffic of its clusterset name is shared, where somebody says so. */
  failover(key: ServiceKey): FailoverPolicy | undefined;
  /** What a mirror's or a clusterset name's address stands for. */
  virtualAddress(address: string): VirtualAddress | undefined;
  /** The services that have an endpoint with this address, in its canonical form. */
  servicesAt(address: string): readonly ServiceKey[];
  /** The service with this ClusterIP, in its canonical form. */
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
      readonly routes: readonly RouteRule[];
      readonly timeouts?: TimeoutSettings;
      readonly retry?: RetrySettings;
      /** 0: none. */
      readonly affinitySeconds: number;
      readonly preferZone: boolean;
      /** 0: for ever. */
      readonly maxConnectionAgeMs: number;
    };

export interface Group {
  /** "" for our own cluster. */
  readonly cluster: string;
  readonly trustDomain: TrustDomain;
  readonly endpoints: readonly GroupEndpoint[];
  readonly gateways: readonly { readonly host: string; readonly port: number }[];
  /** Groups of one level, from 1, share its traffic; 0: a level of its own. */
  readonly level: number;
  /** Among those of its level; 0: by number of endpoints. */
  readonly weight: number;
  /** Of all that the service has there; 0: `endpoints` are all. */
  readonly total: number;
  readonly readyTotal: number;
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
