// What Metrics counted, as text, with names as Linkerd's where it has them.
import { escapeLabel, type Families, joinLabels } from "./families.ts";
import {
  BREAKER_CLOSED,
  BREAKER_OPENED,
  BUCKETS,
  DENIED,
  LATENCY_SUM,
  type Labels,
  type Metrics,
  OPEN,
  OPENED,
  RATE_LIMITED,
  READ,
  REQUESTS,
  RESPONSES,
  RETRIES,
  RETRIES_REFUSED,
  type RouteLabels,
  SHED,
  TIMED_OUT,
  WRITTEN,
} from "./metrics.ts";
import { LATENCY_BOUNDS_MS, RESPONSE_COLUMNS, responseLabels } from "./responses.ts";
import type { Rows } from "./rows.ts";

const PEER_COLUMNS: readonly (readonly [
  name: string,
  type: "counter" | "gauge",
  column: number,
  forConnections: boolean,
])[] = [
  ["tcp_open_total", "counter", OPENED, true],
  ["tcp_open_connections", "gauge", OPEN, true],
  ["tcp_read_bytes_total", "counter", READ, true],
  ["tcp_write_bytes_total", "counter", WRITTEN, true],
  ["outbound_http_retry_requests_total", "counter", RETRIES, false],
  ["outbound_http_retry_limit_exceeded_total", "counter", RETRIES_REFUSED, false],
  ["outbound_http_balancer_breaker_opened_total", "counter", BREAKER_OPENED, false],
  ["outbound_http_balancer_breaker_closed_total", "counter", BREAKER_CLOSED, false],
  ["http_timeouts_total", "counter", TIMED_OUT, false],
  ["http_load_shed_total", "counter", SHED, false],
  ["inbound_http_rate_limited_total", "counter", RATE_LIMITED, false],
  ["inbound_http_authz_deny_total", "counter", DENIED, false],
];

/** Adds all that a workload has counted; the labels `base` come before all others. */
export function addMetrics(families: Families, base: string, metrics: Metrics): void {
  const { peers, routes } = metrics;
  requests(families, "", peers, (labels) => joinLabels(base, peerLabels(labels)));
  requests(families, "route_", routes, (labels) => joinLabels(base, routeLabels(labels)));
  for (const [row, labels] of peers.labels.entries()) {
    const text = joinLabels(base, peerLabels(labels));
    const used = peers.cell(row, OPENED) > 0;
    for (const [name, type, column, forConnections] of PEER_COLUMNS) {
      const value = peers.cell(row, column);
      if (value !== 0 || (used && forConnections)) families.add(name, type, text, value);
    }
  }
  for (const { name, labels, value } of metrics.counters)
    families.add(name, "counter", joinLabels(base, labels), value);
}

function requests<L>(families: Families, prefix: string, rows: Rows<L>, labelsOf: (labels: L) => string): void {
  for (const [row, labels] of rows.labels.entries()) {
    const total = rows.cell(row, REQUESTS);
    if (total === 0) continue;
    const text = labelsOf(labels);
    families.add(`${prefix}request_total`, "counter", text, total);
    for (let column = 0; column < RESPONSE_COLUMNS; column++) {
      const count = rows.cell(row, RESPONSES + column);
      if (count === 0) continue;
      families.add(`${prefix}response_total`, "counter", `${text},${responseLabels(column)}`, count);
    }
    const name = `${prefix}response_latency_ms`;
    const histogram = families.lines(name, "histogram");
    let sum = 0;
    for (let i = 0; i <= LATENCY_BOUNDS_MS.length; i++) {
      sum += rows.cell(row, BUCKETS + i);
      histogram.push(`${name}_bucket{${text},le="${LATENCY_BOUNDS_MS[i] ?? "+Inf"}"} ${sum}`);
    }
    histogram.push(`${name}_sum{${text}} ${rows.cell(row, LATENCY_SUM)}`, `${name}_count{${text}} ${sum}`);
  }
}

function peerLabels({ direction, authority, peer, cluster }: Labels): string {
  const [server, client] = direction === "outbound" ? [peer, ""] : ["", peer];
  return [
    `direction="${direction}"`,
    `authority="${escapeLabel(authority)}"`,
    `client_id="${escapeLabel(client)}"`,
    `server_id="${escapeLabel(server)}"`,
    `peer_cluster="${escapeLabel(cluster)}"`,
  ].join(",");
}

function routeLabels({ authority, route }: RouteLabels): string {
  return `direction="outbound",authority="${escapeLabel(authority)}",route="${escapeLabel(route)}"`;
}
