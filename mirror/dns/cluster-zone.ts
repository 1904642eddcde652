import { serviceKey } from "../../core/service.ts";
import type { EndpointSlice, KubeService } from "../../kube/resources.ts";
import { PEER_ENDPOINTS, PEER_GATEWAYS, PEER_LINKS } from "../../registry/state.ts";
import type { ClusterCache } from "../cluster-cache.ts";
import type { StateReader } from "../state-port.ts";
import type { Domain, Zone, ZoneEndpoint, ZonePort, ZoneService } from "./zone.ts";

/** The zone of a cluster as its informers and the registry know it: the last good state while either is away. */
export class ClusterZone implements Zone {
  readonly #cluster: string;
  readonly #cache: ClusterCache;
  readonly #view: StateReader;

  constructor(cluster: string, cache: ClusterCache, view: StateReader) {
    this.#cluster = cluster;
    this.#cache = cache;
    this.#view = view;
  }

  get ready(): boolean {
    const { services, slices, namespaces } = this.#cache;
    return services.synced && slices.synced && namespaces.synced;
  }

  hasNamespace(_domain: Domain, namespace: string): boolean {
    return this.#cache.namespaces.get(namespace) !== undefined;
  }

  service(domain: Domain, namespace: string, name: string): ZoneService | undefined {
    return domain === "cluster" ? this.#clusterService(namespace, name) : this.#import(namespace, name);
  }

  #clusterService(namespace: string, name: string): ZoneService | undefined {
    const service = this.#cache.services.get(name, namespace);
    if (service === undefined) return undefined;
    const { type, externalName = "", clusterIP, clusterIPs } = service.spec ?? {};
    const ports = portsOf(service);
    const none = { ips: [], endpoints: [], target: "" };
    if (type === "ExternalName") return { ...none, kind: "alias", ports, target: externalName };
    if (clusterIP === "None") return { ...none, kind: "headless", ports, endpoints: this.#endpoints(namespace, name) };
    const ips = clusterIPs ?? (clusterIP === undefined || clusterIP === "" ? [] : [clusterIP]);
    return { ...none, kind: "address", ports, ips };
  }

  #import(namespace: string, name: string): ZoneService | undefined {
    const found = this.#cache.imports.get(name, namespace);
    if (found === undefined) return undefined;
    const { type, ips = [] } = found.spec;
    const ports = found.spec.ports.map(({ name: port = "", port: number, protocol = "TCP" }) => ({
      name: port,
      port: number,
      protocol: protocol.toLowerCase(),
    }));
    if (type === "ClusterSetIP") return { kind: "address", ips, ports, endpoints: [], target: "" };
    const own = ({ cluster }: { cluster: string }) => (cluster === this.#cluster ? 0 : 1);
    const clusters = [...(found.status?.clusters ?? [])].sort((a, b) => own(a) - own(b));
    const endpoints = clusters.flatMap(({ cluster }) =>
      cluster === this.#cluster
        ? this.#endpoints(namespace, name)
        : this.#remoteEndpoints(cluster, namespace, name, ports),
    );
    return { kind: "headless", ips: [], ports, endpoints, target: "" };
  }

  #endpoints(namespace: string, name: string): ZoneEndpoint[] {
    const slices = this.#cache.slicesOf(serviceKey(namespace, name));
    const found = slices
      .filter(({ addressType }) => addressType !== "FQDN")
      .flatMap((slice) => endpointsOf(slice, this.#cluster));
    return found.sort((a, b) => (a.address < b.address ? -1 : 1));
  }

  /** A peer's Pods have no addresses here: they are reached at its gateways, as long as some of them is ready. */
  #remoteEndpoints(cluster: string, namespace: string, name: string, ports: readonly ZonePort[]): ZoneEndpoint[] {
    const view = this.#view;
    const ready =
      view.get(PEER_ENDPOINTS, cluster, namespace, name)?.endpoints.some((endpoint) => endpoint.ready) ?? false;
    if (!ready || view.get(PEER_LINKS, cluster)?.health === "dead") return [];
    return [...view.entries(PEER_GATEWAYS, cluster).values()].map(({ host }) => ({
      address: host,
      hostname: dashed(host),
      cluster,
      ports,
    }));
  }
}

function portsOf(service: KubeService): ZonePort[] {
  return (service.spec?.ports ?? []).map(({ name = "", port, protocol = "TCP" }) => ({
    name,
    port,
    protocol: protocol.toLowerCase(),
  }));
}

function endpointsOf(slice: EndpointSlice, cluster: string): ZoneEndpoint[] {
  const ports = (slice.ports ?? []).flatMap(({ name = "", port, protocol = "TCP" }) =>
    port === undefined ? [] : [{ name, port, protocol: protocol.toLowerCase() }],
  );
  return (slice.endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready ?? true)
    .flatMap(({ addresses, hostname }) =>
      addresses
        .slice(0, 1)
        .map((address) => ({ address, hostname: (hostname ?? dashed(address)).toLowerCase(), cluster, ports })),
    );
}

/** A label from an address, for endpoints that have no hostname. */
function dashed(address: string): string {
  return address
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
}
