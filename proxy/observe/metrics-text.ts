// Prometheus' text format 0.0.4, with names as Linkerd's where it has them.
import {
  BREAKER_OPENED,
  BUCKETS,
  DENIED,
  LATENCY_SUM,
  type Labels,
  type Metrics,
  OPEN,
  OPENED,
  READ,
  REQUESTS,
  RESPONSES,
  RETRIES,
  RETRIES_REFUSED,
  type RouteLabels,
  WRITTEN,
} from "./metrics.ts";
import { LATENCY_BOUNDS_MS, RESPONSE_COLUMNS, responseLabels } from "./responses.ts";
import type { Rows } from "./rows.ts";

/** Metrics of one of the workloads that a process serves; `labels` (`a="b"`) are put before all others. */
export interface LabelledMetrics {
  readonly labels: string;
  readonly metrics: Metrics;
}

/** A label's value, escaped as the text format wants it. */
export function escapeLabel(value: string): string {
  return value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}

/** Samples by metric, so that those of several workloads stand together, as the format wants it. */
class Families {
  readonly #families = new Map<string, string[]>();

  of(name: string, type: string): string[] {
    const known = this.#families.get(name);
    if (known !== undefined) return known;
    const lines = [`# TYPE ${name} ${type}`];
    this.#families.set(name, lines);
    return lines;
  }

  text(): string {
    return [...this.#families.values(), [""]].flat().join("\n");
  }
}

const PEER_COLUMNS: readonly (readonly [name: string, type: string, column: number, forConnections: boolean])[] = [
  ["tcp_open_total", "counter", OPENED, true],
  ["tcp_open_connections", "gauge", OPEN, true],
  ["tcp_read_bytes_total", "counter", READ, true],
  ["tcp_write_bytes_total", "counter", WRITTEN, true],
  ["outbound_http_retry_requests_total", "counter", RETRIES, false],
  ["outbound_http_retry_limit_exceeded_total", "counter", RETRIES_REFUSED, false],
  ["outbound_http_balancer_breaker_opened_total", "counter", BREAKER_OPENED, false],
  ["inbound_http_authz_deny_total", "counter", DENIED, false],
];

/** All that the workloads of a process have counted. */
export function metricsText(sources: readonly LabelledMetrics[]): string {
  const families = new Families();
  for (const { labels: base, metrics } of sources) {
    const { peers, routes } = metrics;
    requests(families, "", peers, (labels) => joined(base, peerLabels(labels)));
    requests(families, "route_", routes, (labels) => joined(base, routeLabels(labels)));
    for (const [row, labels] of peers.labels.entries()) {
      const text = joined(base, peerLabels(labels));
      const used = peers.cell(row, OPENED) > 0;
      for (const [name, type, column, forConnections] of PEER_COLUMNS) {
        const value = peers.cell(row, column);
        if (value !== 0 || (used && forConnections)) families.of(name, type).push(`${name}{${text}} ${value}`);
      }
    }
    for (const { name, labels, value } of metrics.counters) {
      const text = joined(base, labels);
      families.of(name, "counter").push(text === "" ? `${name} ${value}` : `${name}{${text}} ${value}`);
    }
  }
  return families.text();
}

function requests<L>(families: Families, prefix: string, rows: Rows<L>, labelsOf: (labels: L) => string): void {
  for (const [row, labels] of rows.labels.entries()) {
    const total = rows.cell(row, REQUESTS);
    if (total === 0) continue;
    const text = labelsOf(labels);
    families.of(`${prefix}request_total`, "counter").push(`${prefix}request_total{${text}} ${total}`);
    for (let column = 0; column < RESPONSE_COLUMNS; column++) {
      const count = rows.cell(row, RESPONSES + column);
      if (count === 0) continue;
      const name = `${prefix}response_total`;
      families.of(name, "counter").push(`${name}{${text},${responseLabels(column)}} ${count}`);
    }
    const name = `${prefix}response_latency_ms`;
    const histogram = families.of(name, "histogram");
    let sum = 0;
    for (let i = 0; i <= LATENCY_BOUNDS_MS.length; i++) {
      sum += rows.cell(row, BUCKETS + i);
      histogram.push(`${name}_bucket{${text},le="${LATENCY_BOUNDS_MS[i] ?? "+Inf"}"} ${sum}`);
    }
    histogram.push(`${name}_sum{${text}} ${rows.cell(row, LATENCY_SUM)}`, `${name}_count{${text}} ${sum}`);
  }
}

function joined(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(",");
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
