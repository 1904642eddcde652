import { canonicalAddress } from "../core/address.ts";
import { failoverPlaces } from "../core/failover.ts";
import type { RouteRule, RouteSet } from "../core/route.ts";
import {
  type LocalEndpoint,
  OPAQUE_PORTS,
  type RemoteService,
  type ServiceKey,
  type ServicePort,
  type ServiceSettings,
  serviceKey,
} from "../core/service.ts";
import type { Target } from "./authority.ts";
import type { Catalog, Group, GroupEndpoint, Resolution } from "./catalog.ts";

const NOT_FOUND: Resolution = { kind: "notFound" };
const EXTERNAL: Resolution = { kind: "external" };
/** What a group is without others beside it, and with all of its endpoints at hand. */
const ALONE = { level: 0, weight: 0, total: 0, readyTotal: 0 } as const;

/** What `target` is now to a client in namespace `client`. Never throws: what is unknown is `notFound`. */
export function resolve(target: Target, catalog: Catalog, client: string): Resolution {
  switch (target.kind) {
    case "service":
      return resolveService(serviceKey(target.namespace, target.name), target.port, catalog, client) ?? NOT_FOUND;
    case "maybe":
      return resolveService(serviceKey(target.namespace, target.name), target.port, catalog, client) ?? EXTERNAL;
    case "clusterset":
      return resolveClusterset(serviceKey(target.namespace, target.name), target.port, catalog, client);
    case "address":
      return resolveAddress(target.address, target.port, catalog, client);
    case "nothing":
      return NOT_FOUND;
    case "external":
      return EXTERNAL;
    default:
      return target satisfies never;
  }
}

/** Names of the services on which what `target` is depends now. An address may come to stand for others. */
export function namesBehind(target: Target, catalog: Catalog): readonly ServiceKey[] {
  if ("name" in target) return [serviceKey(target.namespace, target.name)];
  if (target.kind !== "address") return [];
  const virtual = catalog.virtualAddress(target.address);
  const service = catalog.serviceByClusterIp(target.address);
  return [
    ...(virtual === undefined ? [] : [serviceKey(virtual.namespace, virtual.name)]),
    ...(service === undefined ? [] : [service]),
    ...catalog.servicesAt(target.address),
  ];
}

/** A Service of the cluster's own wins over a mirror of the same name: nothing of ours takes over a user's name. */
function resolveService(key: ServiceKey, port: number, catalog: Catalog, client: string): Resolution | undefined {
  const local = catalog.localService(key);
  const owner = local ?? catalog.mirrored(key);
  if (owner === undefined) return undefined;
  const found = portOf(owner.ports, port);
  if (found === undefined) return NOT_FOUND;
  const groups = ["cluster" in owner ? remoteGroup(owner, port, catalog) : localGroup(key, port, catalog)];
  return service(owner, found, false, groups, rulesOf(catalog.routes(key)?.service, port, client));
}

/**
 * As its FailoverPolicy says; without one the own cluster first, then peers by round trip, then by name (KEP-1645: only
 * what is exported takes part).
 */
function resolveClusterset(key: ServiceKey, port: number, catalog: Catalog, client: string): Resolution {
  const local = catalog.localService(key);
  const localPort = local?.export?.clusterset === true ? portOf(local.ports, port) : undefined;
  const remotes = catalog
    .remoteServices(key)
    .filter((remote) => remote.clusterset && portOf(remote.ports, port) !== undefined)
    .sort((a, b) => rtt(a.cluster, catalog) - rtt(b.cluster, catalog) || (a.cluster < b.cluster ? -1 : 1));
  const near = remotes.map((remote) => remoteGroup(remote, port, catalog));
  if (local !== undefined && localPort !== undefined) near.unshift(localGroup(key, port, catalog));
  const groups = placed(near, key, catalog);
  const [first] = remotes;
  const owner = localPort !== undefined ? local : first;
  const ownerPort = localPort ?? (first === undefined ? undefined : portOf(first.ports, port));
  if (owner === undefined || ownerPort === undefined) return NOT_FOUND;
  return service(owner, ownerPort, true, groups, rulesOf(catalog.routes(key)?.clusterset, port, client));
}

/** `groups`, which come nearest first, as the policy of the service wants them. */
function placed(groups: readonly Group[], key: ServiceKey, catalog: Catalog): Group[] {
  const byCluster = new Map(groups.map((group) => [group.cluster === "" ? catalog.cluster : group.cluster, group]));
  return failoverPlaces(catalog.failover(key), [...byCluster.keys()], catalog.cluster).flatMap(
    ({ cluster, level, weight }) => {
      const group = byCluster.get(cluster);
      return group === undefined ? [] : [{ ...group, level: level + 1, weight }];
    },
  );
}

/** A Service's address, a mirror's, a clusterset name's, or a Pod's, to which routes and settings do not apply. */
function resolveAddress(address: string, port: number, catalog: Catalog, client: string): Resolution {
  const byClusterIp = catalog.serviceByClusterIp(address);
  if (byClusterIp !== undefined) return resolveService(byClusterIp, port, catalog, client) ?? NOT_FOUND;
  const virtual = catalog.virtualAddress(address);
  if (virtual !== undefined) {
    const key = serviceKey(virtual.namespace, virtual.name);
    if (virtual.of === "clusterset") return resolveClusterset(key, port, catalog, client);
    return resolveService(key, port, catalog, client) ?? NOT_FOUND;
  }
  for (const key of catalog.servicesAt(address)) {
    const endpoints =
      catalog.localEndpoints(key)?.endpoints.filter((e) => canonicalAddress(e.address) === address) ?? [];
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
        ...ALONE,
      };
      const { namespace, name } = local;
      return service({ namespace, name }, found, false, [group], []);
    }
  }
  return EXTERNAL;
}

/** The rules of `set` for a port and a client: those of its namespace in place of those for all. */
function rulesOf(set: RouteSet | undefined, port: number, client: string): readonly RouteRule[] {
  if (set === undefined) return [];
  const rules = Object.hasOwn(set.consumers, client) ? set.consumers[client] : set.producer;
  return (rules ?? []).filter(({ ports }) => ports.length === 0 || ports.includes(port)).map(({ rule }) => rule);
}

function service(
  owner: { readonly namespace: string; readonly name: string; readonly settings?: ServiceSettings },
  port: ServicePort,
  federated: boolean,
  groups: readonly Group[],
  routes: readonly RouteRule[],
): Resolution {
  const { timeouts, retry, affinitySeconds = 0, preferZone = false, maxConnectionAgeMs = 0 } = owner.settings ?? {};
  const appProtocol = port.appProtocol === "" && OPAQUE_PORTS.has(port.port) ? "opaque" : port.appProtocol;
  return {
    kind: "service",
    namespace: owner.namespace,
    name: owner.name,
    port: port.port,
    appProtocol,
    federated,
    groups,
    // What a rule does not say the service may.
    routes: routes.map((rule) => ({
      ...rule,
      ...(rule.timeouts === undefined ? {} : { timeouts: { ...timeouts, ...rule.timeouts } }),
      ...(rule.retry === undefined ? {} : { retry: { ...retry, ...rule.retry } }),
    })),
    ...(timeouts === undefined ? {} : { timeouts }),
    ...(retry === undefined ? {} : { retry }),
    affinitySeconds,
    preferZone,
    maxConnectionAgeMs,
  };
}

function localGroup(key: ServiceKey, port: number, catalog: Catalog): Group {
  const endpoints: GroupEndpoint[] = [];
  for (const endpoint of catalog.localEndpoints(key)?.endpoints ?? []) {
    const target = endpoint.ports[String(port)];
    if (target !== undefined) endpoints.push(localEndpoint(endpoint, target));
  }
  return { cluster: "", trustDomain: catalog.trustDomain, endpoints, gateways: [], ...ALONE };
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
  if (trustDomain === undefined)
    return { cluster, trustDomain: catalog.trustDomain, endpoints: [], gateways: [], ...ALONE };
  const remotes = catalog.remoteEndpoints(cluster, serviceKey(remote.namespace, remote.name));
  const endpoints: GroupEndpoint[] = [];
  for (const { id, ready, identity, zone, routes } of remotes?.endpoints ?? []) {
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
  const { total, ready: readyTotal } = remotes?.counts ?? { total: 0, ready: 0 };
  return { cluster, trustDomain, endpoints, gateways, level: 0, weight: 0, total, readyTotal };
}

function portOf(ports: readonly ServicePort[], port: number): ServicePort | undefined {
  return ports.find((p) => p.port === port);
}

function rtt(cluster: string, catalog: Catalog): number {
  return catalog.link(cluster)?.rttMs ?? Number.MAX_SAFE_INTEGER;
}
