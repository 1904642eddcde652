import {
  type LocalEndpoint,
  OPAQUE_PORTS,
  type RemoteService,
  type ServiceKey,
  type ServicePort,
  serviceKey,
} from "../core/service.ts";
import type { Target } from "./authority.ts";
import type { Catalog, Group, GroupEndpoint, Resolution } from "./catalog.ts";

const NOT_FOUND: Resolution = { kind: "notFound" };
const EXTERNAL: Resolution = { kind: "external" };

/** What `target` is now. Never throws: what is unknown is `notFound`. */
export function resolve(target: Target, catalog: Catalog): Resolution {
  switch (target.kind) {
    case "service":
      return resolveService(serviceKey(target.namespace, target.name), target.port, catalog) ?? NOT_FOUND;
    case "maybe":
      return resolveService(serviceKey(target.namespace, target.name), target.port, catalog) ?? EXTERNAL;
    case "clusterset":
      return resolveClusterset(serviceKey(target.namespace, target.name), target.port, catalog);
    case "address":
      return resolveAddress(target.address, target.port, catalog);
    case "nothing":
      return NOT_FOUND;
    case "external":
      return EXTERNAL;
    default:
      return target satisfies never;
  }
}

/** A Service of the cluster's own wins over a mirror of the same name: nothing of ours takes over a user's name. */
function resolveService(key: ServiceKey, port: number, catalog: Catalog): Resolution | undefined {
  const local = catalog.localService(key);
  const owner = local ?? catalog.mirrored(key);
  if (owner === undefined) return undefined;
  const found = portOf(owner.ports, port);
  if (found === undefined) return NOT_FOUND;
  return service(owner, found, false, [
    "cluster" in owner ? remoteGroup(owner, port, catalog) : localGroup(key, port, catalog),
  ]);
}

/** Own cluster first, then peers by round trip, then by name (KEP-1645: only what is exported takes part). */
function resolveClusterset(key: ServiceKey, port: number, catalog: Catalog): Resolution {
  const local = catalog.localService(key);
  const localPort = local?.export?.clusterset === true ? portOf(local.ports, port) : undefined;
  const remotes = catalog
    .remoteServices(key)
    .filter((remote) => remote.clusterset && portOf(remote.ports, port) !== undefined)
    .sort((a, b) => rtt(a.cluster, catalog) - rtt(b.cluster, catalog) || (a.cluster < b.cluster ? -1 : 1));
  const groups = remotes.map((remote) => remoteGroup(remote, port, catalog));
  if (local !== undefined && localPort !== undefined) groups.unshift(localGroup(key, port, catalog));
  const [first] = remotes;
  const owner = localPort !== undefined ? local : first;
  const ownerPort = localPort ?? (first === undefined ? undefined : portOf(first.ports, port));
  if (owner === undefined || ownerPort === undefined) return NOT_FOUND;
  return service(owner, ownerPort, true, groups);
}

function resolveAddress(address: string, port: number, catalog: Catalog): Resolution {
  const byClusterIp = catalog.serviceByClusterIp(address);
  if (byClusterIp !== undefined) return resolveService(byClusterIp, port, catalog) ?? NOT_FOUND;
  for (const key of catalog.servicesAt(address)) {
    const endpoints = catalog.localEndpoints(key)?.endpoints.filter((e) => e.address === address) ?? [];
    for (const endpoint of endpoints) {
      const ports = Object.entries(endpoint.ports).find(([, target]) => target === port);
      const local = catalog.localService(key);
      if (ports === undefined || local === undefined) continue;
      const found = portOf(local.ports, Number(ports[0]));
      if (found === undefined) continue;
      const group = {
        cluster: "",
        trustDomain: catalog.trustDomain,
        gateways: [],
        endpoints: [localEndpoint(endpoint, port)],
      };
      return service(local, found, false, [group]);
    }
  }
  return EXTERNAL;
}

function service(
  owner: { readonly namespace: string; readonly name: string },
  port: ServicePort,
  federated: boolean,
  groups: readonly Group[],
): Resolution {
  const appProtocol = port.appProtocol === "" && OPAQUE_PORTS.has(port.port) ? "opaque" : port.appProtocol;
  return {
    kind: "service",
    namespace: owner.namespace,
    name: owner.name,
    port: port.port,
    appProtocol,
    federated,
    groups,
  };
}

function localGroup(key: ServiceKey, port: number, catalog: Catalog): Group {
  const endpoints: GroupEndpoint[] = [];
  for (const endpoint of catalog.localEndpoints(key)?.endpoints ?? []) {
    const target = endpoint.ports[String(port)];
    if (target !== undefined) endpoints.push(localEndpoint(endpoint, target));
  }
  return { cluster: "", trustDomain: catalog.trustDomain, endpoints, gateways: [] };
}

function localEndpoint(endpoint: LocalEndpoint, target: number): GroupEndpoint {
  return {
    id: endpoint.id,
    address: endpoint.address,
    port: target,
    proxyPort: endpoint.proxyPort,
    identity: endpoint.identity ?? "",
    routeName: "",
    ready: endpoint.ready,
    zone: endpoint.zone,
  };
}

function remoteGroup(remote: RemoteService, port: number, catalog: Catalog): Group {
  const { cluster } = remote;
  const trustDomain = catalog.trustDomainOf(cluster);
  // Without the peer's bundle nothing of it can be verified, so there is nothing to offer.
  if (trustDomain === undefined) return { cluster, trustDomain: catalog.trustDomain, endpoints: [], gateways: [] };
  const endpoints: GroupEndpoint[] = [];
  for (const { id, ready, identity, zone, routes } of catalog.remoteEndpoints(
    cluster,
    serviceKey(remote.namespace, remote.name),
  )?.endpoints ?? []) {
    const route = routes.find((r) => r.servicePort === port);
    if (route === undefined) continue;
    endpoints.push({
      id,
      address: "",
      port: route.targetPort,
      proxyPort: 0,
      identity,
      routeName: route.routeName,
      ready,
      zone,
    });
  }
  const gateways = catalog.gateways(cluster).map(({ host, relayPort }) => ({ host, port: relayPort }));
  return { cluster, trustDomain, endpoints, gateways };
}

function portOf(ports: readonly ServicePort[], port: number): ServicePort | undefined {
  return ports.find((p) => p.port === port);
}

function rtt(cluster: string, catalog: Catalog): number {
  return catalog.link(cluster)?.rttMs ?? Number.MAX_SAFE_INTEGER;
}
