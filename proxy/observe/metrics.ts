// Counters in typed arrays: a row for each set of labels, turned into text only when scraped (metrics-text.ts).
import { LATENCY_COLUMNS, latencyBucket, RESPONSE_COLUMNS, responseColumn } from "./responses.ts";
import { Rows } from "./rows.ts";

/** Labels of one row, as Linkerd names them. */
export interface Labels {
  readonly direction: "outbound" | "inbound";
  /** What the client named, or the service and port that were asked for. */
  readonly authority: string;
  /** SPIFFE ID of the other side; empty where it has none. */
  readonly peer: string;
  /** Cluster of the other side, or its trust domain; empty for the own one. */
  readonly cluster: string;
}

export interface RouteLabels {
  readonly authority: string;
  /** Name of the rule. */
  readonly route: string;
}

/** What rows of requests begin with. */
export const REQUESTS = 0;
export const RESPONSES = 1;
export const LATENCY_SUM = RESPONSES + RESPONSE_COLUMNS;
export const BUCKETS = LATENCY_SUM + 1;
const REQUEST_COLUMNS = LATENCY_SUM + LATENCY_COLUMNS;

export const OPENED = REQUEST_COLUMNS;
export const OPEN = OPENED + 1;
export const READ = OPENED + 2;
export const WRITTEN = OPENED + 3;
export const RETRIES = OPENED + 4;
export const RETRIES_REFUSED = OPENED + 5;
export const BREAKER_OPENED = OPENED + 6;
export const DENIED = OPENED + 7;
export const TIMED_OUT = OPENED + 8;
export const SHED = OPENED + 9;
export const RATE_LIMITED = OPENED + 10;
export const BREAKER_CLOSED = OPENED + 11;
const COLUMNS = OPENED + 12;

/** Something that happens seldom enough for an object of its own. */
export interface Counter {
  value: number;
}

const MAX_COUNTERS = 1_024;

/** What one workload's proxy counts. */
export class Metrics {
  readonly peers = new Rows<Labels>(
    COLUMNS,
    ({ direction, authority, peer, cluster }) => `${direction}\0${authority}\0${peer}\0${cluster}`,
    { direction: "outbound", authority: "overflow", peer: "", cluster: "" },
  );
  readonly routes = new Rows<RouteLabels>(REQUEST_COLUMNS, ({ authority, route }) => `${authority}\0${route}`, {
    authority: "overflow",
    route: "",
  });
  readonly #counters = new Map<string, Counter & { readonly name: string; readonly labels: string }>();

  /** The row of `labels`; to be kept by the caller, not asked for per request. */
  row(labels: Labels): number {
    return this.peers.row(labels);
  }

  routeRow(labels: RouteLabels): number {
    return this.routes.row(labels);
  }

  /**
   * The counter `name` with these labels (`a="b",c="d"`, escaped); to be kept by the caller. Over the limit all share
   * the counter of the name without labels.
   */
  counter(name: string, labels = ""): Counter {
    const key = `${name}{${labels}}`;
    const known = this.#counters.get(key);
    if (known !== undefined) return known;
    if (this.#counters.size >= MAX_COUNTERS && labels !== "") return this.counter(name);
    const made = { name, labels, value: 0 };
    this.#counters.set(key, made);
    return made;
  }

  get counters(): Iterable<{ readonly name: string; readonly labels: string; readonly value: number }> {
    return this.#counters.values();
  }

  /** A request has ended; `status` 0 where it got no answer, `grpcStatus` -1 where it is not gRPC. */
  request(row: number, status: number, latencyMs: number, grpcStatus = -1): void {
    count(this.peers, row, status, latencyMs, grpcStatus);
  }

  /** The same, for the rule that it matched. */
  routed(row: number, status: number, latencyMs: number, grpcStatus = -1): void {
    count(this.routes, row, status, latencyMs, grpcStatus);
  }

  opened(row: number): void {
    this.peers.add(row, OPENED, 1);
    this.peers.add(row, OPEN, 1);
  }

  closed(row: number): void {
    this.peers.add(row, OPEN, -1);
  }

  /** Bytes from (`read`) or to the other side. */
  bytes(row: number, read: boolean, count: number): void {
    this.peers.add(row, read ? READ : WRITTEN, count);
  }

  retried(row: number): void {
    this.peers.add(row, RETRIES, 1);
  }

  retryRefused(row: number): void {
    this.peers.add(row, RETRIES_REFUSED, 1);
  }

  breakerOpened(row: number): void {
    this.peers.add(row, BREAKER_OPENED, 1);
  }

  breakerClosed(row: number): void {
    this.peers.add(row, BREAKER_CLOSED, 1);
  }

  /** A request, or a try of one, whose time ran out. */
  timedOut(row: number): void {
    this.peers.add(row, TIMED_OUT, 1);
  }

  /** A request that was turned away because too many were under way. */
  shed(row: number): void {
    this.peers.add(row, SHED, 1);
  }

  /** A request over its client's rate. */
  rateLimited(row: number): void {
    this.peers.add(row, RATE_LIMITED, 1);
  }

  /** A request or connection that policy does not let in. */
  denied(row: number): void {
    this.peers.add(row, DENIED, 1);
  }
}

function count<L>(rows: Rows<L>, row: number, status: number, latencyMs: number, grpcStatus: number): void {
  rows.add(row, REQUESTS, 1);
  rows.add(row, RESPONSES + responseColumn(status, grpcStatus), 1);
  rows.add(row, LATENCY_SUM, latencyMs);
  rows.add(row, BUCKETS + latencyBucket(latencyMs), 1);
}

/** A multiplexed connection was made, or has `ended`. */
export function countMux(metrics: Metrics, direction: "outbound" | "inbound", ended: string | undefined): void {
  const side = `direction="${direction}"`;
  if (ended === undefined) metrics.counter("mux_connections_total", side).value++;
  else metrics.counter("mux_connections_ended_total", `${side},reason="${ended}"`).value++;
}
