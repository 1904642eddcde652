import type { Clock } from "../../core/clock.ts";
import type { Random } from "../../core/random.ts";
import { DialQueue } from "../dial-queue.ts";
import type { ClientConnection, ConnectionOwner } from "./client-connection.ts";

const MAX_IDLE = 100;
const IDLE_MS = 60_000;
/**
 * Connections that are being made to one endpoint at a time. When all traffic moves there at once, as after the loss
 * of its neighbours, a handshake for each request would keep the processors from serving any of them.
 */
const MAX_DIALS = 8;
/** To one endpoint, of one protocol; an app with more under way at once has its own troubles. */
const MAX_CONNECTIONS = 4_096;
/** Share of its greatest age by which a connection may retire early, so that not all do at once. */
const AGE_JITTER = 0.2;

/** What carries the connections of a pool, where they share others. */
export interface PoolCarrier {
  /** The connections that are shared now take no new ones. */
  retire(): void;
  close(): void;
  destroy(): void;
}

/** Connections to one endpoint: the idle ones, most recently used last, and the busy ones. */
export class ConnectionPool implements ConnectionOwner {
  readonly #clock: Clock;
  readonly #carrier: PoolCarrier | undefined;
  readonly #idle: ClientConnection[] = [];
  /** Open ones; busy are those that do not idle. */
  readonly #open = new Set<ClientConnection>();
  #busy = 0;
  #closed = false;
  readonly #queue = new DialQueue((): number => {
    return this.#closed ? this.#queue.waiting : this.#idle.length + MAX_DIALS - this.#queue.dials;
  });
  readonly #random: Random;
  /** Connections made from now on serve no new exchange after so long; 0: no limit. */
  maxAgeMs = 0;
  #carrierUntilMs = 0;

  /** `carrier` closes with the pool. */
  constructor(clock: Clock, random: Random, carrier?: PoolCarrier) {
    this.#clock = clock;
    this.#random = random;
    this.#carrier = carrier;
  }

  get idle(): number {
    return this.#idle.length;
  }

  get busy(): number {
    return this.#busy;
  }

  /** Whether another connection may be made now. */
  get mayDial(): boolean {
    const { dials } = this.#queue;
    return (dials < MAX_DIALS && this.#busy + dials < MAX_CONNECTIONS) || this.#closed;
  }

  /** No more may wait. */
  get full(): boolean {
    return this.#queue.full;
  }

  /** A connection is being made; the returned function says, once, that it is made or will not be. */
  dialBegins(): () => void {
    return this.#queue.begins();
  }

  /** Calls `again` once when a connection may be had or made; the returned function gives up waiting. */
  wait(again: () => void): () => void {
    return this.#queue.wait(again);
  }

  /** A new connection, about to serve an exchange. */
  add(connection: ClientConnection): void {
    if (this.maxAgeMs > 0)
      connection.retireAtMs = this.#clock.nowMs() + this.maxAgeMs * (1 - AGE_JITTER * this.#random());
    this.#open.add(connection);
    this.#busy++;
  }

  /** An idle connection, now busy; undefined where none is fresh enough. */
  acquire(): ClientConnection | undefined {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined) return undefined;
      if (connection.stream.closed) continue;
      if (this.#stale(connection)) {
        connection.drop();
        continue;
      }
      connection.idling = false;
      this.#busy++;
      return connection;
    }
  }

  #stale(connection: ClientConnection): boolean {
    const nowMs = this.#clock.nowMs();
    if (nowMs >= connection.retireAtMs || connection.stream.retiring === true) return true;
    return nowMs - connection.idleSinceMs >= Math.min(IDLE_MS, connection.idleLimitMs);
  }

  /** Takes a connection back after an exchange. */
  release(connection: ClientConnection): void {
    connection.idleSinceMs = this.#clock.nowMs();
    const retires = connection.idleSinceMs >= connection.retireAtMs || connection.stream.retiring === true;
    if (this.#closed || this.#idle.length >= MAX_IDLE || retires) {
      connection.drop();
      return;
    }
    this.#busy--;
    connection.idling = true;
    this.#idle.push(connection);
    this.#queue.wakeSoon();
  }

  /** Forgets a connection that is closed or was taken away. */
  gone(connection: ClientConnection): void {
    if (!this.#open.delete(connection)) return;
    if (!connection.idling) {
      this.#busy--;
      this.#queue.wakeSoon();
      return;
    }
    const index = this.#idle.indexOf(connection);
    if (index >= 0) this.#idle.splice(index, 1);
  }

  /** What carries connections grows old with them. */
  #retireCarrier(): void {
    const nowMs = this.#clock.nowMs();
    if (this.#carrier === undefined || this.maxAgeMs <= 0 || nowMs < this.#carrierUntilMs) return;
    // The first time it is only noted when it began, at about the time of its first connection.
    if (this.#carrierUntilMs > 0) this.#carrier.retire();
    this.#carrierUntilMs = nowMs + this.maxAgeMs * (1 - AGE_JITTER * this.#random());
  }

  /** Closes what has idled too long. */
  sweep(): void {
    this.#retireCarrier();
    for (const connection of [...this.#idle]) if (this.#stale(connection)) connection.drop();
  }

  /** Drops idle connections only: after one of them turned out dead the others hardly live. */
  dropIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.drop();
  }

  /** The way there is dead: fails all exchanges that have no answer yet, and leaves what is open to them. */
  abandonBusy(): void {
    this.#carrier?.retire();
    this.dropIdle();
    for (const connection of [...this.#open]) if (!connection.idling) connection.abandon();
  }

  /** The endpoint is gone: idle connections close now, busy ones after their exchange. */
  close(): void {
    this.#closed = true;
    this.#carrier?.close();
    this.dropIdle();
    this.#queue.wakeSoon();
  }

  /** Drops everything. */
  destroy(): void {
    this.close();
    for (const connection of [...this.#open]) connection.drop();
    this.#carrier?.destroy();
  }
}
