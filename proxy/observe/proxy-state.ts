import type { Endpoint } from "../balance/endpoint.ts";
import type { Service } from "../balance/service.ts";
import type { ServiceTable } from "../outbound/service-table.ts";
import { escapeLabel, type Families, joinLabels } from "./families.ts";

function endpointState(endpoint: Endpoint): "ready" | "not_ready" | "broken" {
  if (endpoint.breaker.state !== "closed") return "broken";
  return endpoint.group.ready.includes(endpoint) ? "ready" : "not_ready";
}

/** Adds gauges of the balancers, breakers and pools, and when the certificate ends; the labels `base` come first. */
export function addGauges(families: Families, base: string, services: ServiceTable, certificateEndsMs: number): void {
  const gauge = (name: string, labels: string, value: number) =>
    families.add(name, "gauge", joinLabels(base, labels), value);
  gauge("identity_cert_expiration_timestamp_seconds", "", certificateEndsMs / 1_000);
  for (const service of services.services()) {
    const authority = `authority="${escapeLabel(service.authority)}"`;
    const counts = new Map<string, number>();
    let idle = 0;
    let busy = 0;
    let http2Connections = 0;
    let http2Streams = 0;
    for (const group of service.groups) {
      for (const endpoint of group.endpoints) {
        const labels = `cluster="${escapeLabel(group.cluster)}",endpoint_state="${endpointState(endpoint)}"`;
        counts.set(labels, (counts.get(labels) ?? 0) + 1);
        idle += endpoint.pool.idle;
        busy += endpoint.pool.busy;
        http2Connections += endpoint.http2.connections;
        http2Streams += endpoint.http2.streams;
      }
    }
    for (const [labels, count] of counts) gauge("outbound_http_balancer_endpoints", `${authority},${labels}`, count);
    if (service.kept) gauge("outbound_last_good_endpoints_kept", authority, 1);
    gauge("outbound_pool_connections", `${authority},state="idle"`, idle);
    gauge("outbound_pool_connections", `${authority},state="busy"`, busy);
    gauge("outbound_http2_connections", authority, http2Connections);
    gauge("outbound_http2_streams", authority, http2Streams);
  }
  for (const [cluster, { health, drained = 0 }] of services.links) {
    const labels = `cluster="${escapeLabel(cluster)}"`;
    if (cluster !== "") gauge("outbound_link_up", labels, health === "dead" ? 0 : 1);
    if (drained > 0) gauge("outbound_cluster_drained_share", labels, drained);
  }
  for (const { host, port, breaker } of services.gateways) {
    const labels = `gateway="${escapeLabel(`${host}:${port}`)}"`;
    gauge("outbound_gateway_breaker_open", labels, breaker.state === "closed" ? 0 : 1);
  }
}

function serviceView(service: Service): unknown {
  return {
    authority: service.authority,
    kind: service.spec.kind,
    federated: service.spec.federated,
    kept: service.kept,
    groups: service.groups.map((group) => ({
      cluster: group.cluster,
      trustDomain: group.trustDomain,
      /** Why it takes no request; null where it does. */
      obstacle: service.obstacle(group) ?? null,
      ...(service.spec.federated ? { level: group.level, weight: group.weight, allowed: group.failback.allowed } : {}),
      gateways: group.gateways.map(({ host, port, breaker }) => ({ host, port, breaker: breaker.state })),
      endpoints: group.endpoints.map((endpoint) => ({
        id: endpoint.spec.id,
        // A route name is what lets one in at the gateway: it stays here.
        address: endpoint.spec.address,
        port: endpoint.spec.port,
        identity: endpoint.spec.identity,
        state: endpointState(endpoint),
        breaker: endpoint.breaker.state,
        pending: endpoint.load.pending,
        ewmaMs: Math.round(endpoint.load.ewmaMs * 100) / 100,
      })),
    })),
  };
}

/** The services in use and the state of links, for `/config`. */
export function configView(services: ServiceTable): { services: unknown[]; links: unknown } {
  return { services: [...services.services()].map(serviceView), links: Object.fromEntries(services.links) };
}
