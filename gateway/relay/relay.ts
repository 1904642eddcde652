import type { Clock } from "../../core/clock.ts";
import { errorText } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import type { Listener, Transport } from "../../transport/transport.ts";
import { RelayConnection, type RelayContext, type RelayRoute } from "./relay-connection.ts";
import { type CutReason, RelayMetrics, type RelayStats } from "./relay-metrics.ts";

export interface RelayLimits {
  /** Open connections. */
  readonly connections: number;
  /** Of these, how many may not have said yet where they go: over it the one that has waited longest goes. */
  readonly unrouted: number;
  /** Open connections per `RelayRoute.peer`. */
  readonly perPeer: number;
  /** Time for the whole ClientHello to arrive. */
  readonly handshakeTimeoutMs: number;
}

/** The table of routes. */
export interface RelayRoutes {
  /** Called once per connection, with the SNI in lower case. */
  lookup(serverName: string): RelayRoute | undefined;
  /** Subscribes to keys of routes that are no more: their connections are cut. Returns the end of it. */
  onRemoved(removed: (keys: ReadonlySet<string>) => void): () => void;
}

export interface RelayOptions {
  readonly transport: Transport;
  readonly host: string;
  readonly port: number;
  readonly routes: RelayRoutes;
  readonly limits?: Partial<RelayLimits>;
  /** 1 s by default. */
  readonly connectTimeoutMs?: number;
  /** Connections silent both ways for this long, up to half as long again, are cut; 1 h by default. */
  readonly idleTimeoutMs?: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Relay {
  readonly port: number;
  stats(): RelayStats;
  /** Prometheus text format. */
  metricsText(): string;
  /** Accepts no more, waits until the open connections end, and cuts after `deadlineMs` what is left: how many. */
  drain(deadlineMs: number): Promise<number>;
  /** Drops everything now. */
  close(): Promise<void>;
}

const LIMITS: RelayLimits = { connections: 20_000, unrouted: 2_000, perPeer: 10_000, handshakeTimeoutMs: 10_000 };
const CONNECT_TIMEOUT_MS = 1_000;
const IDLE_TIMEOUT_MS = 3_600_000;

/** Refuses what comes over the limit; the reset is all it gets. */
const REFUSED: ByteStreamUser = { onRead() {}, onEnd() {}, onDrain() {}, onClose() {} };

/**
 * The gateway's data plane: relays TLS connections to the endpoint that their SNI names, without decrypting. A
 * name that is not in the table gets the alert unrecognized_name, and nothing is dialled. @throws MeshError
 * PORT_IN_USE
 */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const relay = new RelayServer(options);
  await relay.listen();
  return relay;
}

class RelayServer implements Relay, RelayContext {
  readonly transport: Transport;
  readonly metrics = new RelayMetrics();
  readonly routes: RelayRoutes;
  readonly handshakeTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly #options: RelayOptions;
  readonly #limits: RelayLimits;
  readonly #log: Log;
  readonly #open = new Set<RelayConnection>();
  /** In the order in which they came. */
  readonly #unrouted = new Set<RelayConnection>();
  readonly #byRoute = new Map<string, Set<RelayConnection>>();
  readonly #byPeer = new Map<string, number>();
  readonly #unsubscribe: () => void;
  #listener: Listener | undefined = undefined;
  #emptied: () => void = () => {};

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#log = options.log;
    this.transport = options.transport;
    this.routes = options.routes;
    this.handshakeTimeoutMs = this.#limits.handshakeTimeoutMs;
    this.connectTimeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    this.idleTimeoutMs = options.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
    this.#unsubscribe = options.routes.onRemoved((keys) => {
      for (const key of keys) this.#cutRoute(key);
    });
  }

  async listen(): Promise<void> {
    const { host, port } = this.#options;
    try {
      this.#listener = await this.transport.listenTcp({ host, port }, (stream) => this.#accept(stream));
    } catch (error) {
      this.#unsubscribe();
      throw error;
    }
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  stats(): RelayStats {
    return this.metrics.stats();
  }

  metricsText(): string {
    return this.metrics.text();
  }

  async drain(deadlineMs: number): Promise<number> {
    await this.#listener?.close();
    if (this.#open.size > 0) {
      await new Promise<void>((resolve) => {
        const cancel = this.#options.clock.after(deadlineMs, resolve);
        this.#emptied = () => {
          cancel();
          resolve();
        };
      });
    }
    const left = this.#open.size;
    await this.close();
    return left;
  }

  async close(): Promise<void> {
    this.#unsubscribe();
    await this.#listener?.close();
    await new Promise<void>((resolve) => {
      this.#emptied = resolve;
      this.#cutAll([...this.#open], "drain");
      if (this.#open.size === 0) resolve();
    });
  }

  admit(connection: RelayConnection, route: RelayRoute): boolean {
    if (route.peer !== undefined) {
      const open = this.#byPeer.get(route.peer) ?? 0;
      if (open >= this.#limits.perPeer) return false;
      this.#byPeer.set(route.peer, open + 1);
    }
    const others = this.#byRoute.get(route.key);
    this.#unrouted.delete(connection);
    if (others === undefined) this.#byRoute.set(route.key, new Set([connection]));
    else others.add(connection);
    connection.route = route;
    return true;
  }

  gone(connection: RelayConnection): void {
    this.metrics.closed();
    this.#open.delete(connection);
    const route = connection.route;
    if (route !== undefined) this.#forget(connection, route);
    else this.#unrouted.delete(connection);
    if (this.#open.size === 0) this.#emptied();
  }

  failed(route: RelayRoute, error: Error): void {
    this.#log.debug("relay_upstream_failed", { route: route.key, reason: errorText(error) });
  }

  #accept(stream: ByteStream): ByteStreamUser {
    if (this.#open.size >= this.#limits.connections) {
      this.metrics.refused("connection_limit");
      stream.destroy(undefined, true);
      return REFUSED;
    }
    this.metrics.accepted();
    const connection = new RelayConnection(this, stream);
    this.#open.add(connection);
    this.#unrouted.add(connection);
    if (this.#unrouted.size > this.#limits.unrouted) this.#evict();
    return connection;
  }

  /** Whoever means well says at once where it goes, so that the oldest is the least likely to. */
  #evict(): void {
    const [oldest] = this.#unrouted;
    if (oldest === undefined) return;
    this.#unrouted.delete(oldest);
    oldest.evict();
  }

  #forget(connection: RelayConnection, route: RelayRoute): void {
    const others = this.#byRoute.get(route.key);
    others?.delete(connection);
    if (others?.size === 0) this.#byRoute.delete(route.key);
    if (route.peer === undefined) return;
    const left = (this.#byPeer.get(route.peer) ?? 1) - 1;
    if (left > 0) this.#byPeer.set(route.peer, left);
    else this.#byPeer.delete(route.peer);
  }

  #cutRoute(key: string): void {
    const connections = this.#byRoute.get(key);
    if (connections === undefined) return;
    this.#log.info("relay_route_cut", { route: key, connections: connections.size });
    this.#cutAll([...connections], "route");
  }

  #cutAll(connections: readonly RelayConnection[], reason: CutReason): void {
    for (const connection of connections) connection.cut(reason);
  }
}
