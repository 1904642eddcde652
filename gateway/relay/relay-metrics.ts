/** Why a connection was not relayed, or was cut. */
const REFUSALS = [
  "not_tls",
  "malformed",
  "no_server_name",
  "unknown_route",
  "handshake_timeout",
  "connection_limit",
  "peer_limit",
  "unrouted_limit",
  "upstream_failed",
] as const;
export type RefusalReason = (typeof REFUSALS)[number];

const ACCEPTED = 0;
const OPEN = 1;
const RELAYED = 2;
const BYTES_IN = 3;
const BYTES_OUT = 4;
const ROUTE_CUTS = 5;
const IDLE_CUTS = 6;
const DRAIN_CUTS = 7;
const FIRST_REFUSAL = 8;

/** Which way bytes go: from the client in, from the endpoint out. */
export type Direction = typeof BYTES_IN | typeof BYTES_OUT;
export const INWARD: Direction = BYTES_IN;
export const OUTWARD: Direction = BYTES_OUT;

export type CutReason = "route" | "idle" | "drain";
const CUTS: Readonly<Record<CutReason, number>> = { route: ROUTE_CUTS, idle: IDLE_CUTS, drain: DRAIN_CUTS };

export interface RelayStats {
  readonly accepted: number;
  readonly open: number;
  /** Connections that reached an endpoint. */
  readonly relayed: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly refusals: Readonly<Record<RefusalReason, number>>;
  readonly cuts: Readonly<Record<CutReason, number>>;
}

/** Counters of one relay: numbers in one array, named only when they are read. */
export class RelayMetrics {
  readonly #values = new Float64Array(FIRST_REFUSAL + REFUSALS.length);

  accepted(): void {
    this.#add(ACCEPTED, 1);
    this.#add(OPEN, 1);
  }

  closed(): void {
    this.#add(OPEN, -1);
  }

  relayed(): void {
    this.#add(RELAYED, 1);
  }

  bytes(direction: Direction, count: number): void {
    this.#add(direction, count);
  }

  refused(reason: RefusalReason): void {
    this.#add(FIRST_REFUSAL + REFUSALS.indexOf(reason), 1);
  }

  cut(reason: CutReason): void {
    this.#add(CUTS[reason], 1);
  }

  stats(): RelayStats {
    const refusals = REFUSALS.map((reason, i) => [reason, this.#at(FIRST_REFUSAL + i)] as const);
    return {
      accepted: this.#at(ACCEPTED),
      open: this.#at(OPEN),
      relayed: this.#at(RELAYED),
      bytesIn: this.#at(BYTES_IN),
      bytesOut: this.#at(BYTES_OUT),
      refusals: Object.fromEntries(refusals) as Record<RefusalReason, number>,
      cuts: { route: this.#at(ROUTE_CUTS), idle: this.#at(IDLE_CUTS), drain: this.#at(DRAIN_CUTS) },
    };
  }

  /** Prometheus text format. */
  text(): string {
    const stats = this.stats();
    const family = (name: string, type: string, help: string, samples: Iterable<readonly [string, number]>) => {
      const lines = [...samples].map(([labels, value]) => `${name}${labels} ${value}`);
      return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines].join("\n");
    };
    const labelled = (label: string, values: Readonly<Record<string, number>>) =>
      Object.entries(values).map(([key, value]) => [`{${label}="${key}"}`, value] as const);
    return `${[
      family("relay_connections_total", "counter", "Connections accepted.", [["", stats.accepted]]),
      family("relay_open_connections", "gauge", "Connections that are open.", [["", stats.open]]),
      family("relay_relayed_total", "counter", "Connections that reached an endpoint.", [["", stats.relayed]]),
      family(
        "relay_bytes_total",
        "counter",
        "Bytes relayed.",
        labelled("direction", { in: stats.bytesIn, out: stats.bytesOut }),
      ),
      family(
        "relay_refusals_total",
        "counter",
        "Connections that were not relayed.",
        labelled("reason", stats.refusals),
      ),
      family("relay_cuts_total", "counter", "Relayed connections that were cut.", labelled("reason", stats.cuts)),
    ].join("\n")}\n`;
  }

  #at(index: number): number {
    return this.#values[index] ?? 0;
  }

  #add(index: number, count: number): void {
    this.#values[index] = (this.#values[index] ?? 0) + count;
  }
}
