import type { Endpoint } from "../balance/endpoint.ts";
import type { Service } from "../balance/service.ts";
import type { ServiceTable } from "../outbound/service-table.ts";
import { escapeLabel } from "./metrics-text.ts";

function endpointState(endpoint: Endpoint): "ready" | "not_ready" | "broken" {
  if (endpoint.breaker.state !== "closed") return "broken";
  return endpoint.group.ready.includes(endpoint) ? "ready" : "not_ready";
}

/** Gauges of the balancers, breakers and pools, and when the certificate ends, in Prometheus' text format. */
export function gaugesText(services: ServiceTable, certificateEndsMs: number): string {
  const lines = ["# TYPE identity_cert_expiration_timestamp_seconds gauge"];
  lines.push(`identity_cert_expiration_timestamp_seconds ${certificateEndsMs / 1_000}`);
  lines.push("# TYPE outbound_http_balancer_endpoints gauge");
  for (const service of services.services()) {
    const counts = new Map<string, number>();
    for (const group of service.groups) {
      for (const endpoint of group.endpoints) {
        const labels = `cluster="${escapeLabel(group.cluster)}",endpoint_state="${endpointState(endpoint)}"`;
        counts.set(labels, (counts.get(labels) ?? 0) + 1);
      }
    }
    const authority = `authority="${escapeLabel(service.authority)}"`;
    for (const [labels, count] of counts)
      lines.push(`outbound_http_balancer_endpoints{${authority},${labels}} ${count}`);
  }
  lines.push("# TYPE outbound_pool_connections gauge");
  for (const service of services.services()) {
    let idle = 0;
    let busy = 0;
    for (const group of service.groups) {
      for (const { pool } of group.endpoints) {
        idle += pool.idle;
        busy += pool.busy;
      }
    }
    const authority = `authority="${escapeLabel(service.authority)}"`;
    lines.push(
      `outbound_pool_connections{${authority},state="idle"} ${idle}`,
      `outbound_pool_connections{${authority},state="busy"} ${busy}`,
    );
  }
  lines.push("# TYPE outbound_gateway_breaker_open gauge");
  for (const { host, port, breaker } of services.gateways) {
    lines.push(
      `outbound_gateway_breaker_open{gateway="${escapeLabel(`${host}:${port}`)}"} ${breaker.state === "closed" ? 0 : 1}`,
    );
  }
  lines.push("");
  return lines.join("\n");
}

function serviceView(service: Service): unknown {
  return {
    authority: service.authority,
    kind: service.spec.kind,
    federated: service.spec.federated,
    groups: service.groups.map((group) => ({
      cluster: group.cluster,
      trustDomain: group.trustDomain,
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
