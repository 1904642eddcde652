import { canonicalAddress } from "../core/address.ts";
import type { FailoverPolicy } from "../core/failover.ts";
import type { TrustDomain } from "../core/identity.ts";
import type { GatewayAddress, LinkState } from "../core/link.ts";
import { mirrorName } from "../core/mirror-name.ts";
import type { ServiceRoutes } from "../core/route.ts";
import {
  type LocalEndpoints,
  type LocalService,
  type RemoteEndpoints,
  type RemoteService,
  type ServiceKey,
  serviceKey,
} from "../core/service.ts";
import type { RegistryView } from "../registry/registry-view.ts";
import {
  LOCAL_DRAINS,
  LOCAL_ENDPOINTS,
  LOCAL_FAILOVER,
  LOCAL_ROUTES,
  LOCAL_SERVICES,
  LOCAL_VIPS,
  PEER_BUNDLES,
  PEER_ENDPOINTS,
  PEER_GATEWAYS,
  PEER_LINKS,
  PEER_SERVICES,
  type StateKind,
  stateKey,
  type VirtualAddress,
} from "../registry/state.ts";
import type { Catalog } from "./catalog.ts";

/** What a change of registry keys touches, for whoever caches resolutions. */
export interface Touched {
  /** `<namespace>/<name>` as apps name them, mirror names included. */
  readonly services: ReadonlySet<string>;
  /** Addresses, in canonical form, that stand for other services than before. */
  readonly addresses: ReadonlySet<string>;
  /** Peers whose gateways or bundle changed. */
  readonly clusters: ReadonlySet<string>;
  /** Some link's health changed. */
  readonly links: boolean;
}

/**
 * The Catalog over a RegistryView, with the indexes that lookups need. `update` must be called with the keys of
 * each change before anything is looked up; it costs time in proportion to the change, not to the registry.
 */
export class RegistryCatalog implements Catalog {
  readonly cluster: string;
  readonly trustDomain: TrustDomain;
  readonly #view: RegistryView;
  #mirrors = new Map<ServiceKey, RemoteService>();
  #remotes = new Map<ServiceKey, Map<string, RemoteService>>();
  #gateways = new Map<string, Map<string, GatewayAddress>>();
  #trustDomains = new Map<string, TrustDomain>();
  #byAddress = new Map<string, Set<ServiceKey>>();
  #addressesOf = new Map<ServiceKey, readonly string[]>();
  #byClusterIp = new Map<string, ServiceKey>();
  #clusterIpsOf = new Map<ServiceKey, readonly string[]>();

  constructor(cluster: string, trustDomain: TrustDomain, view: RegistryView) {
    this.cluster = cluster;
    this.trustDomain = trustDomain;
    this.#view = view;
  }

  update(keys: ReadonlySet<string>): Touched {
    const services = new Set<string>();
    const addresses = new Set<string>();
    const clusters = new Set<string>();
    let links = false;
    for (const key of keys) {
      const [scope, kind, first = "", second = "", third = ""] = key.split("/");
      switch (`${scope}/${kind}`) {
        case "local/service":
          this.#indexService(serviceKey(first, second), addresses);
          services.add(`${first}/${second}`);
          break;
        case "local/endpoints":
          this.#indexEndpoints(serviceKey(first, second), addresses);
          services.add(`${first}/${second}`);
          break;
        case "local/route":
        case "local/failover":
          services.add(`${first}/${second}`);
          break;
        case "local/vip":
          addresses.add(first);
          break;
        case "peer/service":
          this.#indexRemote(first, serviceKey(second, third));
          services.add(`${second}/${third}`);
          services.add(`${second}/${mirrorName(third, first).name}`);
          break;
        case "peer/endpoints":
          services.add(`${second}/${third}`);
          services.add(`${second}/${mirrorName(third, first).name}`);
          break;
        case "peer/gateway": {
          const gateways = this.#gateways.get(first) ?? new Map<string, GatewayAddress>();
          const gateway = this.#view.get(PEER_GATEWAYS, first, second);
          if (gateway === undefined) gateways.delete(second);
          else gateways.set(second, gateway);
          this.#gateways.set(first, gateways);
          clusters.add(first);
          break;
        }
        case "peer/bundle": {
          const bundle = this.#view.get(PEER_BUNDLES, first, second);
          if (bundle === undefined) this.#trustDomains.delete(first);
          else this.#trustDomains.set(first, bundle.trustDomain);
          clusters.add(first);
          break;
        }
        case "local/drain":
        case "peer/link":
          links = true;
          break;
        default:
          break;
      }
    }
    return { services, addresses, clusters, links };
  }

  localService(key: ServiceKey): LocalService | undefined {
    return this.#view.get(LOCAL_SERVICES, key);
  }

  localEndpoints(key: ServiceKey): LocalEndpoints | undefined {
    return this.#view.get(LOCAL_ENDPOINTS, key);
  }

  mirrored(key: ServiceKey): RemoteService | undefined {
    return this.#mirrors.get(key);
  }

  remoteServices(key: ServiceKey): readonly RemoteService[] {
    return [...(this.#remotes.get(key)?.values() ?? [])];
  }

  remoteEndpoints(cluster: string, key: ServiceKey): RemoteEndpoints | undefined {
    return this.#view.get(PEER_ENDPOINTS, cluster, key);
  }

  gateways(cluster: string): readonly GatewayAddress[] {
    return [...(this.#gateways.get(cluster)?.values() ?? [])];
  }

  trustDomainOf(cluster: string): TrustDomain | undefined {
    return this.#trustDomains.get(cluster);
  }

  link(cluster: string): LinkState | undefined {
    return this.#view.get(PEER_LINKS, cluster);
  }

  /** State of every link. */
  links(): readonly LinkState[] {
    return [...this.#view.entries(PEER_LINKS).values()];
  }

  /** Linked clusters whose bundle is known. */
  peers(): { cluster: string; trustDomain: TrustDomain }[] {
    return [...this.#trustDomains].map(([cluster, trustDomain]) => ({ cluster, trustDomain }));
  }

  routes(key: ServiceKey): ServiceRoutes | undefined {
    return this.#view.get(LOCAL_ROUTES, key);
  }

  failover(key: ServiceKey): FailoverPolicy | undefined {
    return this.#view.get(LOCAL_FAILOVER, key);
  }

  /** Share of our own cluster's traffic that is to go elsewhere, 0 to 1. */
  get ownDrained(): number {
    return this.#view.get(LOCAL_DRAINS, this.cluster)?.share ?? 0;
  }

  virtualAddress(address: string): VirtualAddress | undefined {
    return this.#view.get(LOCAL_VIPS, address);
  }

  servicesAt(address: string): readonly ServiceKey[] {
    return [...(this.#byAddress.get(canonicalAddress(address) ?? address) ?? [])].sort();
  }

  /** Whether one of `services` is served at `address`. */
  isServedAt(address: string, services: ReadonlySet<string>): boolean {
    const keys = this.#byAddress.get(canonicalAddress(address) ?? address);
    if (keys === undefined) return false;
    for (const service of services) if (keys.has(service as ServiceKey)) return true;
    return false;
  }

  serviceByClusterIp(address: string): ServiceKey | undefined {
    return this.#byClusterIp.get(address);
  }

  #indexService(key: ServiceKey, changed: Set<string>): void {
    const before = this.#clusterIpsOf.get(key) ?? [];
    for (const ip of before) {
      if (this.#byClusterIp.get(ip) === key) this.#byClusterIp.delete(ip);
    }
    const ips = (this.localService(key)?.clusterIps ?? []).map(canonical);
    for (const ip of ips) this.#byClusterIp.set(ip, key);
    if (ips.length > 0) this.#clusterIpsOf.set(key, ips);
    else this.#clusterIpsOf.delete(key);
    addDifference(before, ips, changed);
  }

  #indexEndpoints(key: ServiceKey, changed: Set<string>): void {
    const before = this.#addressesOf.get(key) ?? [];
    for (const address of before) {
      const keys = this.#byAddress.get(address);
      keys?.delete(key);
      if (keys?.size === 0) this.#byAddress.delete(address);
    }
    const addresses = (this.localEndpoints(key)?.endpoints ?? []).map((e) => canonical(e.address));
    for (const address of addresses) {
      const keys = this.#byAddress.get(address) ?? new Set();
      keys.add(key);
      this.#byAddress.set(address, keys);
    }
    if (addresses.length > 0) this.#addressesOf.set(key, addresses);
    else this.#addressesOf.delete(key);
    addDifference(before, addresses, changed);
  }

  #indexRemote(cluster: string, key: ServiceKey): void {
    const remote = this.#view.get(PEER_SERVICES, cluster, key);
    const byCluster = this.#remotes.get(key) ?? new Map<string, RemoteService>();
    const slash = key.indexOf("/");
    const mirror = serviceKey(key.slice(0, slash), mirrorName(key.slice(slash + 1), cluster).name);
    if (remote === undefined) {
      byCluster.delete(cluster);
      if (this.#mirrors.get(mirror)?.cluster === cluster) this.#mirrors.delete(mirror);
    } else {
      byCluster.set(cluster, remote);
      this.#mirrors.set(mirror, remote);
    }
    if (byCluster.size > 0) this.#remotes.set(key, byCluster);
    else this.#remotes.delete(key);
  }
}

function canonical(address: string): string {
  return canonicalAddress(address) ?? address;
}

/** Adds to `changed` what only one of the two has. */
function addDifference(before: readonly string[], after: readonly string[], changed: Set<string>): void {
  const known = new Set(before);
  for (const text of after) if (!known.delete(text)) changed.add(text);
  for (const text of known) changed.add(text);
}

/** Every kind that a catalog reads. */
export const CATALOG_KINDS: readonly StateKind<unknown>[] = [
  LOCAL_SERVICES,
  LOCAL_ENDPOINTS,
  LOCAL_ROUTES,
  LOCAL_VIPS,
  LOCAL_FAILOVER,
  LOCAL_DRAINS,
  PEER_SERVICES,
  PEER_ENDPOINTS,
  PEER_GATEWAYS,
  PEER_BUNDLES,
  PEER_LINKS,
];

/** Every key that a catalog reads, for its first `update`. */
export function catalogKeys(view: RegistryView): Set<string> {
  const keys = new Set<string>();
  for (const kind of CATALOG_KINDS) for (const name of view.entries(kind).keys()) keys.add(stateKey(kind, name));
  return keys;
}
