import type { Clock } from "../../core/clock.ts";
import { MeshError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { Random } from "../../core/random.ts";
import type { MuxContext, MuxEnd } from "../../transport/mux/mux-context.ts";
import { MuxPool } from "../../transport/mux/mux-pool.ts";
import type { Endpoint, EndpointSpec, Group } from "../balance/endpoint.ts";
import type { Blame, GatewayTarget } from "../balance/gateway-target.ts";
import { MuxPaths } from "../balance/mux-paths.ts";
import { createLoad } from "../balance/peak-ewma.ts";
import { type LinkTable, Service, type ServiceDeps, type ServiceSpec } from "../balance/service.ts";
import { ConnectionPool } from "../http1/connection-pool.ts";
import { Http2Pool } from "../http2/http2-pool.ts";
import { countMux, type Metrics } from "../observe/metrics.ts";
import { believe, createBreaker, fail, GATEWAY_MAX_MS } from "../resilience/breaker.ts";

export interface ServiceTableOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  readonly log?: Log;
  /** Of this proxy; "" where it is not known. */
  readonly zone: string;
  /** For endpoints with a proxy; undefined: each connection goes on its own. */
  readonly mux: MuxContext | undefined;
  /** Asks control for an authority, or no longer. */
  readonly subscribe: (authority: string) => void;
  readonly unsubscribe: (authority: string) => void;
  /** Whether control answers: while it does not, no name is forgotten, as nobody could say it again; absent: it does. */
  readonly connected?: () => boolean;
  /** How long capacity that comes back takes to have all of its share again; absent: 10 s. */
  readonly failbackMs?: number | undefined;
  /** How long the first request for a name waits for control. */
  readonly lookupMs: number;
  readonly maxAuthorities: number;
}

/** An authority that was asked for. Without `service` control has not answered yet. */
export interface Entry {
  readonly authority: string;
  service: Service | undefined;
  lastUsedMs: number;
  /** Control did not answer in time; the next request waits anew. */
  expired: boolean;
  /** Evicted: look the authority up again. */
  gone: boolean;
}

interface Waiting extends Entry {
  waiters: Set<() => void>;
  cancel: (() => void) | undefined;
}

const IDLE_MS = 300_000;

/** The services that the app talks to, by authority; bounded: what was not used for longest goes first. */
export class ServiceTable {
  readonly #options: ServiceTableOptions;
  readonly #entries = new Map<string, Waiting>();
  readonly #gateways = new Map<string, GatewayTarget>();
  readonly #deps: ServiceDeps;
  #links: LinkTable = new Map();

  constructor(options: ServiceTableOptions) {
    const { clock, random, metrics, zone, failbackMs } = options;
    this.#options = options;
    this.#deps = {
      clock,
      random,
      zone,
      failbackMs,
      routeRow: (authority, route) => metrics.routeRow({ authority, route }),
      links: () => this.#links,
      gateway: (host, port) => this.#gateway(host, port),
      endpoint: (spec: EndpointSpec, group: Group, authority: string): Endpoint => {
        const mux = this.#muxPaths(
          spec,
          () => pool.maxAgeMs,
          (silent) => this.#onSilence(endpoint, silent),
        );
        const pool = new ConnectionPool(clock, random, mux);
        const endpoint: Endpoint = {
          spec,
          group,
          load: createLoad(clock.nowMs()),
          breaker: createBreaker(),
          pool,
          mux,
          http2: new Http2Pool(),
          row: metrics.row({ direction: "outbound", authority, peer: spec.identity, cluster: group.cluster }),
          rampUntilMs: 0,
        };
        return endpoint;
      },
    };
  }

  get links(): LinkTable {
    return this.#links;
  }

  /** Entries with an answer. */
  *services(): Iterable<Service> {
    for (const { service } of this.#entries.values()) if (service !== undefined) yield service;
  }

  get gateways(): Iterable<GatewayTarget> {
    return this.#gateways.values();
  }

  /** The entry of `authority`, which is subscribed to from now on; undefined where the table is full of busy ones. */
  lookup(authority: string): Entry | undefined {
    return this.#known(authority, this.#options.clock.nowMs());
  }

  /** Calls `ready` once control has answered, or the time for that is over (`expired`). */
  wait(authority: string, ready: () => void): void {
    const entry = this.#entries.get(authority);
    if (entry === undefined) {
      ready();
      return;
    }
    entry.waiters.add(ready);
    entry.expired = false;
    entry.cancel ??= this.#options.clock.after(this.#options.lookupMs, () => {
      entry.expired = true;
      this.#wake(entry);
    });
  }

  /** Forgets that an expiry was seen, so that a later request waits again. */
  #wake(entry: Waiting): void {
    entry.cancel?.();
    entry.cancel = undefined;
    const { waiters } = entry;
    entry.waiters = new Set();
    for (const ready of waiters) ready();
    entry.expired = false;
  }

  /** Control's newest state of `authority`. */
  apply(authority: string, spec: ServiceSpec): void {
    const entry = this.#entries.get(authority);
    if (entry === undefined) return;
    if (entry.service === undefined) entry.service = new Service(authority, spec, this.#deps);
    else entry.service.apply(spec);
    // What its rules lead to is asked for along with it, so that no request waits for that.
    for (const backend of entry.service.routes?.authorities ?? []) this.#known(backend, entry.lastUsedMs);
    this.#wake(entry);
  }

  /** The entry of `authority`, which was used at `usedMs` or later; made where there is none and room. */
  #known(authority: string, usedMs: number): Waiting | undefined {
    const known = this.#entries.get(authority);
    if (known !== undefined) {
      known.lastUsedMs = Math.max(known.lastUsedMs, usedMs);
      return known;
    }
    if (this.#entries.size >= this.#options.maxAuthorities && !this.#evict()) return undefined;
    const entry: Waiting = {
      authority,
      service: undefined,
      lastUsedMs: usedMs,
      expired: false,
      gone: false,
      waiters: new Set(),
      cancel: undefined,
    };
    this.#entries.set(authority, entry);
    this.#options.subscribe(authority);
    return entry;
  }

  /**
   * Control's newest state of all links; what waits on one that just died is sent elsewhere, and gateways of one that
   * came back are tried at once.
   */
  applyLinks(links: LinkTable): void {
    const died = new Set<string>();
    const returned = new Set<string>();
    for (const [cluster, { health }] of links) {
      const wasDead = this.#links.get(cluster)?.health === "dead";
      if (health === "dead" && !wasDead) died.add(cluster);
      if (health !== "dead" && wasDead) returned.add(cluster);
    }
    this.#links = links;
    if (returned.size > 0) this.#believeGateways(returned);
    if (died.size === 0) return;
    for (const service of this.services()) {
      if (!service.spec.federated) continue;
      for (const group of service.groups) {
        if (!died.has(group.cluster)) continue;
        for (const { pool, http2, mux } of group.endpoints) {
          mux?.abandonWaiting(linkDied());
          pool.abandonBusy();
          http2.abandonBusy();
        }
      }
    }
  }

  #believeGateways(clusters: ReadonlySet<string>): void {
    const nowMs = this.#options.clock.nowMs();
    for (const service of this.services()) {
      for (const { cluster, gateways } of service.groups) {
        if (clusters.has(cluster)) for (const { breaker } of gateways) believe(breaker, nowMs);
      }
    }
  }

  /** Every name that is in use, for whoever asks control for them from now on. */
  authorities(): Iterable<string> {
    return this.#entries.keys();
  }

  /** Forgets authorities that nobody asked for in 5 minutes while control is there, closes what idles. */
  sweep(): void {
    const nowMs = this.#options.clock.nowMs();
    this.#useBackends();
    const mayForget = this.#options.connected?.() ?? true;
    for (const entry of [...this.#entries.values()]) {
      if (mayForget && entry.waiters.size === 0 && nowMs - entry.lastUsedMs >= IDLE_MS && !busy(entry))
        this.#forget(entry);
      else {
        for (const { pool, http2 } of endpointsOf(entry)) {
          pool.sweep();
          http2.sweep();
        }
      }
    }
    for (const service of this.services()) service.rebalance();
    const used = new Set([...this.services()].flatMap((service) => service.groups.flatMap((group) => group.gateways)));
    for (const [key, gateway] of this.#gateways) if (!used.has(gateway)) this.#gateways.delete(key);
  }

  /** What rules lead to is in use as long as the services are that have them. */
  #useBackends(): void {
    for (const { service, lastUsedMs } of this.#entries.values()) {
      for (const authority of service?.routes?.authorities ?? []) {
        const backend = this.#entries.get(authority);
        if (backend !== undefined) backend.lastUsedMs = Math.max(backend.lastUsedMs, lastUsedMs);
      }
    }
  }

  destroy(): void {
    for (const entry of this.#entries.values()) {
      entry.cancel?.();
      entry.service?.destroy();
    }
    this.#entries.clear();
  }

  #evict(): boolean {
    const idle = [...this.#entries.values()].filter((entry) => entry.waiters.size === 0 && !busy(entry));
    const oldest = idle.sort((a, b) => a.lastUsedMs - b.lastUsedMs)[0];
    if (oldest === undefined) return false;
    this.#forget(oldest);
    return true;
  }

  #forget(entry: Waiting): void {
    this.#entries.delete(entry.authority);
    entry.gone = true;
    this.#options.unsubscribe(entry.authority);
    entry.service?.close();
  }

  #muxPaths(
    { proxyPort, routeName }: EndpointSpec,
    maxAgeMs: () => number,
    onSilence: (silent: boolean) => void,
  ): MuxPaths | undefined {
    const { mux, metrics, random } = this.#options;
    if (mux === undefined || (proxyPort === 0 && routeName === "")) return undefined;
    const onChange = (ended?: MuxEnd) => countMux(metrics, "outbound", ended);
    return new MuxPaths((gateway, onStall) => {
      const remote = gateway === undefined ? {} : { onStall, answers: gateway.answers };
      return new MuxPool<Blame>(mux, { maxAgeMs, random, onChange, ...remote });
    }, onSilence);
  }

  /**
   * Nothing comes back from `endpoint` through a gateway, or something does again. While another gateway leads there
   * that is all; where none does, the endpoint takes no requests for a while. No gateway is blamed: what is silent may
   * as well be behind it.
   */
  #onSilence(endpoint: Endpoint, silent: boolean): void {
    const { clock, random, metrics, log } = this.#options;
    const { group, mux, breaker, row, spec } = endpoint;
    const reached = group.gateways.some(
      (gateway) => gateway.breaker.state === "closed" && mux?.silent(gateway) !== true,
    );
    log?.info(silent ? "path.silent" : "path.heard", { endpoint: spec.id, cluster: group.cluster, reached });
    if (reached) believe(breaker, clock.nowMs());
    else if (fail(breaker, true, clock.nowMs(), random)) metrics.breakerOpened(row);
  }

  #gateway(host: string, port: number): GatewayTarget {
    const key = `${host}:${port}`;
    const known = this.#gateways.get(key);
    if (known !== undefined) return known;
    const breaker = createBreaker(GATEWAY_MAX_MS);
    const gateway = {
      host,
      port,
      load: createLoad(this.#options.clock.nowMs()),
      breaker,
      answers: { count: 0 },
      connectedMs: -Infinity,
    };
    this.#gateways.set(key, gateway);
    return gateway;
  }
}

function linkDied(): MeshError {
  return new MeshError("PROXY_CONNECT_FAILED", "Cannot connect: the link to the cluster died meanwhile.");
}

function endpointsOf(entry: Entry): Endpoint[] {
  return entry.service?.groups.flatMap((group) => [...group.endpoints]) ?? [];
}

function busy(entry: Entry): boolean {
  return endpointsOf(entry).some((endpoint) => endpoint.load.pending > 0);
}
