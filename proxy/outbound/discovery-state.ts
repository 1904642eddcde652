import { parseIdentity, parseTrustDomain } from "../../core/identity.ts";
import type { LinkHealth } from "../../core/link.ts";
import type { Endpoint__Output } from "../../protos/gen/causeway/discovery/v1/Endpoint.ts";
import type { LinkState__Output } from "../../protos/gen/causeway/discovery/v1/LinkState.ts";
import type { ServiceState__Output } from "../../protos/gen/causeway/discovery/v1/ServiceState.ts";
import type { EndpointSpec } from "../balance/endpoint.ts";
import { type GroupSpec, type LinkTable, PLAIN_SERVICE, type ServiceSpec } from "../balance/service.ts";
import { parseAuthority } from "../http1/authority.ts";
import { DEFAULT_RETRY, NO_TIMEOUTS } from "../resilience/request-policy.ts";
import { retryFrom, routesFrom, timeoutsFrom } from "../route/route-spec.ts";

const MAX_GROUPS = 256;
const MAX_ENDPOINTS = 1_000;
const MAX_GATEWAYS = 32;
const MAX_LINKS = 4_096;
/** Kubernetes' own limit on sessionAffinityConfig. */
const MAX_AFFINITY_S = 86_400;

const HEALTH: Readonly<Record<LinkState__Output["health"], LinkHealth>> = {
  HEALTH_UNKNOWN: "unknown",
  HEALTH_ALIVE: "alive",
  HEALTH_SUSPECT: "suspect",
  HEALTH_DEAD: "dead",
  HEALTH_RECOVERING: "recovering",
};

/** An endpoint from the wire; undefined where it could not be verified or dialled. */
function endpointFrom(wire: Endpoint__Output): EndpointSpec | undefined {
  const { id, address, port, proxyPort, identity, routeName, ready, zone } = wire;
  const secured = proxyPort > 0 || routeName !== "";
  try {
    if (secured) parseIdentity(identity);
  } catch {
    return undefined;
  }
  if (port < 1 || port > 65_535 || proxyPort > 65_535 || (routeName === "" && address === "")) return undefined;
  return { id, address, port, proxyPort, identity: secured ? identity : "", routeName, ready, zone };
}

/** Control's state of `authority`, bounded and checked: what cannot be used is left out. */
export function serviceFrom(wire: ServiceState__Output): ServiceSpec {
  const { namespace, name, appProtocol } = wire;
  const base = {
    namespace,
    name,
    appProtocol,
    federated: wire.federated,
    routes: routesFrom(wire.routes),
    timeouts: wire.timeouts ? timeoutsFrom(wire.timeouts) : NO_TIMEOUTS,
    retry: wire.retry ? retryFrom(wire.retry) : DEFAULT_RETRY,
    affinityMs: Math.min(wire.affinitySeconds, MAX_AFFINITY_S) * 1_000,
    preferZone: wire.preferZone,
    maxConnectionAgeMs: wire.maxConnectionAgeMs,
  };
  if (wire.kind === "KIND_EXTERNAL") return externalService(wire.authority);
  if (wire.kind !== "KIND_SERVICE") return { ...base, kind: "notFound", groups: [] };
  const groups = wire.groups.slice(0, MAX_GROUPS).flatMap((group): readonly GroupSpec[] => {
    const { cluster, level, weight, total, readyTotal } = group;
    const place = {
      ...(level > 0 ? { level } : {}),
      weight,
      ...(total > 0 ? { counts: { total, ready: Math.min(readyTotal, total) } } : {}),
    };
    const endpoints = group.endpoints.slice(0, MAX_ENDPOINTS).flatMap((endpoint) => endpointFrom(endpoint) ?? []);
    const gateways = group.gateways
      .slice(0, MAX_GATEWAYS)
      .filter(({ host, port }) => host !== "" && port > 0 && port < 65_536);
    try {
      return [{ cluster, trustDomain: parseTrustDomain(group.trustDomain), endpoints, gateways, ...place }];
    } catch {
      // Without a trust domain nobody there could be verified; plain endpoints need none.
      const plain = endpoints.filter(({ proxyPort, routeName }) => proxyPort === 0 && routeName === "");
      return [{ cluster, trustDomain: "", endpoints: plain, gateways: [], ...place }];
    }
  });
  return { ...base, kind: "service", groups };
}

const FIRST = { cluster: "", trustDomain: "", gateways: [] } as const;

/** A name outside of the mesh: one plain endpoint, which DNS finds. */
function externalService(authority: string): ServiceSpec {
  const parsed = parseAuthority(authority, 80);
  const base = { ...PLAIN_SERVICE, namespace: "", name: "", appProtocol: "", federated: false } as const;
  if (parsed === undefined) return { ...base, kind: "notFound", groups: [] };
  const { host, port } = parsed;
  const endpoint: EndpointSpec = {
    id: "",
    address: host,
    port,
    proxyPort: 0,
    identity: "",
    routeName: "",
    ready: true,
    zone: "",
  };
  return { ...base, kind: "external", groups: [{ ...FIRST, endpoints: [endpoint] }] };
}

export function linksFrom(wire: readonly LinkState__Output[]): LinkTable {
  return new Map(
    wire.slice(0, MAX_LINKS).map(({ cluster, health, ramp, drained, stale }) => [
      cluster,
      {
        health: HEALTH[health] ?? "unknown",
        ramp: Number(ramp) || 0,
        drained: Math.min(1, Math.max(0, Number(drained) || 0)),
        stale,
      },
    ]),
  );
}
