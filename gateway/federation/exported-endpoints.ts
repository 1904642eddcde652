import { createHash } from "node:crypto";
import type { Identity } from "../../core/identity.ts";
import { routeName } from "../../core/route-name.ts";
import type {
  LocalEndpoint,
  LocalEndpoints,
  LocalService,
  RemoteEndpoint,
  RemoteEndpoints,
} from "../../core/service.ts";
import { LIMITS } from "./limits.ts";

/** What names the routes of one link. */
export interface RouteKey {
  readonly linkSecret: Uint8Array;
  readonly epoch: bigint;
  /** This cluster: routes are names of its gateway. */
  readonly cluster: string;
}

export type MeshedEndpoint = LocalEndpoint & { readonly identity: Identity };

function rank(id: string): string {
  return createHash("sha256").update(id).digest("hex");
}

/**
 * The endpoints of a service that peers may reach: those with a sidecar, at most 100, ready ones first. The
 * choice hangs on each endpoint's id alone, so that one more or less changes one.
 */
export function exportedEndpoints(
  all: LocalEndpoints | undefined,
  limit: number = LIMITS.endpointsPerService,
): MeshedEndpoint[] {
  const meshed = meshedEndpoints(all);
  if (meshed.length <= limit) return meshed;
  const ranked = meshed.map((endpoint) => ({ endpoint, rank: rank(endpoint.id) }));
  ranked.sort((a, b) => Number(b.endpoint.ready) - Number(a.endpoint.ready) || (a.rank < b.rank ? -1 : 1));
  return ranked.slice(0, limit).map(({ endpoint }) => endpoint);
}

/** What a service has in all, where more than the `exported` ones could take a peer's requests. */
export function endpointCounts(all: LocalEndpoints | undefined, exported: number): RemoteEndpoints["counts"] {
  const meshed = meshedEndpoints(all);
  if (meshed.length <= exported) return undefined;
  return { total: meshed.length, ready: meshed.filter(({ ready }) => ready).length };
}

function meshedEndpoints(all: LocalEndpoints | undefined): MeshedEndpoint[] {
  return (all?.endpoints ?? []).filter((e): e is MeshedEndpoint => e.identity !== undefined && e.proxyPort > 0);
}

/** An endpoint as a peer sees it: no address, a route per port of the service. */
export function remoteEndpoint(service: LocalService, endpoint: MeshedEndpoint, key: RouteKey): RemoteEndpoint {
  const routes = service.ports.flatMap(({ port }) => {
    const targetPort = endpoint.ports[String(port)];
    if (targetPort === undefined) return [];
    const subject = { namespace: service.namespace, service: service.name, port, endpoint: endpoint.id };
    return [{ servicePort: port, targetPort, routeName: routeName(key.linkSecret, subject, key.epoch, key.cluster) }];
  });
  const { id, ready, identity, zone } = endpoint;
  return { id, ready, identity, zone, routes };
}
