// Counters in one typed array: a row for each set of labels, turned into text only when scraped.

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

/** Upper bounds in ms, as Linkerd's. */
const BOUNDS = Float64Array.of(
  1,
  2,
  3,
  4,
  5,
  10,
  20,
  30,
  40,
  50,
  100,
  200,
  300,
  400,
  500,
  1_000,
  2_000,
  3_000,
  4_000,
  5_000,
  10_000,
  20_000,
  30_000,
  40_000,
  50_000,
);

const REQUESTS = 0;
/** By status class 1 to 5, 0 for no answer: successes, then failures. */
const SUCCESSES = 1;
const FAILURES = 7;
const LATENCY_SUM = 13;
const BUCKETS = 14;
const OPENED = BUCKETS + BOUNDS.length + 1;
const OPEN = OPENED + 1;
const READ = OPENED + 2;
const WRITTEN = OPENED + 3;
const RETRIES = OPENED + 4;
const RETRIES_REFUSED = OPENED + 5;
const WIDTH = OPENED + 6;

const MAX_ROWS = 4_096;
/** Takes what would be rows over the limit. */
const OVERFLOW: Labels = { direction: "outbound", authority: "overflow", peer: "", cluster: "" };

export class Metrics {
  #cells = new Float64Array(16 * WIDTH);
  readonly #rows = new Map<string, number>();
  readonly #labels: Labels[] = [];

  constructor() {
    this.row(OVERFLOW);
  }

  /** The row of `labels`; to be kept by the caller, not asked for per request. */
  row(labels: Labels): number {
    const key = `${labels.direction}\0${labels.authority}\0${labels.peer}\0${labels.cluster}`;
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const row = this.#labels.length;
    if (row >= MAX_ROWS) return 0;
    this.#rows.set(key, row);
    this.#labels.push(labels);
    if ((row + 1) * WIDTH > this.#cells.length) {
      const grown = new Float64Array(this.#cells.length * 2);
      grown.set(this.#cells);
      this.#cells = grown;
    }
    return row;
  }

  #add(row: number, column: number, by: number): void {
    const at = row * WIDTH + column;
    this.#cells[at] = (this.#cells[at] as number) + by;
  }

  /** A request has ended; `status` 0 where it got no answer. */
  request(row: number, status: number, latencyMs: number): void {
    const statusClass = (status / 100) | 0;
    this.#add(row, REQUESTS, 1);
    this.#add(row, (status === 0 || status >= 500 ? FAILURES : SUCCESSES) + Math.min(statusClass, 5), 1);
    this.#add(row, LATENCY_SUM, latencyMs);
    let bucket = 0;
    while (bucket < BOUNDS.length && latencyMs > (BOUNDS[bucket] as number)) bucket++;
    this.#add(row, BUCKETS + bucket, 1);
  }

  opened(row: number): void {
    this.#add(row, OPENED, 1);
    this.#add(row, OPEN, 1);
  }

  closed(row: number): void {
    this.#add(row, OPEN, -1);
  }

  /** Bytes from (`read`) or to the other side. */
  bytes(row: number, read: boolean, count: number): void {
    this.#add(row, read ? READ : WRITTEN, count);
  }

  retried(row: number): void {
    this.#add(row, RETRIES, 1);
  }

  retryRefused(row: number): void {
    this.#add(row, RETRIES_REFUSED, 1);
  }

  /** In the text format of Prometheus 0.0.4. */
  text(): string {
    const out: string[] = [];
    const each = (name: string, type: string, lines: (labels: string, cell: (column: number) => number) => void) => {
      out.push(`# TYPE ${name} ${type}`);
      for (const [row, labels] of this.#labels.entries()) {
        lines(labelText(labels), (column) => this.#cells[row * WIDTH + column] ?? 0);
      }
    };
    const simple = (name: string, type: string, column: number) =>
      each(name, type, (labels, cell) => {
        if (cell(column) !== 0 || cell(OPENED) !== 0) out.push(`${name}{${labels}} ${cell(column)}`);
      });
    simple("request_total", "counter", REQUESTS);
    each("response_total", "counter", (labels, cell) => {
      for (let statusClass = 0; statusClass <= 5; statusClass++) {
        const shown = statusClass === 0 ? "" : `${statusClass}xx`;
        const good = cell(SUCCESSES + statusClass);
        const bad = cell(FAILURES + statusClass);
        if (good > 0) out.push(`response_total{${labels},classification="success",status_class="${shown}"} ${good}`);
        if (bad > 0) out.push(`response_total{${labels},classification="failure",status_class="${shown}"} ${bad}`);
      }
    });
    each("response_latency_ms", "histogram", (labels, cell) => {
      let sum = 0;
      if (cell(REQUESTS) === 0) return;
      for (let i = 0; i <= BOUNDS.length; i++) {
        sum += cell(BUCKETS + i);
        out.push(`response_latency_ms_bucket{${labels},le="${BOUNDS[i] ?? "+Inf"}"} ${sum}`);
      }
      out.push(
        `response_latency_ms_sum{${labels}} ${cell(LATENCY_SUM)}`,
        `response_latency_ms_count{${labels}} ${sum}`,
      );
    });
    simple("tcp_open_total", "counter", OPENED);
    simple("tcp_open_connections", "gauge", OPEN);
    simple("tcp_read_bytes_total", "counter", READ);
    simple("tcp_write_bytes_total", "counter", WRITTEN);
    simple("outbound_http_retry_requests_total", "counter", RETRIES);
    simple("outbound_http_retry_limit_exceeded_total", "counter", RETRIES_REFUSED);
    out.push("");
    return out.join("\n");
  }
}

/** A label's value, escaped as the text format wants it. */
export function escapeLabel(value: string): string {
  return value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}

function labelText({ direction, authority, peer, cluster }: Labels): string {
  const [server, client] = direction === "outbound" ? [peer, ""] : ["", peer];
  return [
    `direction="${direction}"`,
    `authority="${escapeLabel(authority)}"`,
    `client_id="${escapeLabel(client)}"`,
    `server_id="${escapeLabel(server)}"`,
    `peer_cluster="${escapeLabel(cluster)}"`,
  ].join(",");
}
