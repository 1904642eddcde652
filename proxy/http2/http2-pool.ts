import { DialQueue } from "../dial-queue.ts";
import type { Http2ClientConnection, Http2Owner, Http2Path } from "./client-connection.ts";

/** Connections that are being made to one endpoint at a time; a handshake serves many requests. */
const MAX_DIALS = 8;
/** Requests that wait for one connection before another one is made. */
const WAITING_PER_DIAL = 100;

function isBetter(one: Http2ClientConnection, other: Http2ClientConnection): boolean {
  const works = one.path?.breaker.state === "closed";
  if (works !== (other.path?.breaker.state === "closed")) return works;
  return one.streams.size < other.streams.size;
}

/** HTTP/2 connections to one endpoint. As few as the endpoint's limit on streams allows: the busier, the cheaper. */
export class Http2Pool implements Http2Owner {
  readonly #connections: Http2ClientConnection[] = [];
  /** Of connections; 0: no limit but their own. */
  maxAgeMs = 0;
  /** When it is next worth a look whether there is one through each path. */
  spreadMs = 0;
  readonly #queue = new DialQueue((): number => {
    if (this.#closed) return this.#queue.waiting;
    const room = this.#connections.reduce((sum, connection) => sum + connection.room, 0);
    // With nobody dialling, one that finds no room dials for the others.
    return room + (this.#queue.dials === 0 ? 1 : 0);
  });
  #closed = false;

  /** The endpoint is gone. */
  get closed(): boolean {
    return this.#closed;
  }

  get connections(): number {
    return this.#connections.length;
  }

  /** Streams that are open. */
  get streams(): number {
    return this.#connections.reduce((sum, { streams }) => sum + streams.size, 0);
  }

  /**
   * A connection that takes another stream now: of those through different paths one that has the fewest, through one
   * that works where there is such; else the first.
   */
  acquire(): Http2ClientConnection | undefined {
    let best: Http2ClientConnection | undefined;
    for (const connection of this.#connections) {
      if (connection.room === 0) continue;
      if (best === undefined) {
        best = connection;
        if (connection.path === undefined) break;
      } else if (connection.path !== best.path && isBetter(connection, best)) best = connection;
    }
    return best;
  }

  /** Whether a connection that lasts goes by `path`. */
  leadsBy(path: Http2Path): boolean {
    return this.#connections.some((connection) => connection.path === path && !connection.draining);
  }

  /** Whether another connection may be made now. */
  get mayDial(): boolean {
    const { dials, waiting } = this.#queue;
    if (dials === 0 || this.#closed) return true;
    return dials < MAX_DIALS && waiting >= WAITING_PER_DIAL * dials;
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

  add(connection: Http2ClientConnection): void {
    this.#connections.push(connection);
  }

  roomy(): void {
    this.#queue.wakeSoon();
  }

  gone(connection: Http2ClientConnection): void {
    const index = this.#connections.indexOf(connection);
    if (index >= 0) this.#connections.splice(index, 1);
    this.#queue.wakeSoon();
  }

  /** Takes connections out of use that are too old; they end with their last stream. */
  sweep(): void {
    for (const connection of [...this.#connections]) if (connection.tooOld(this.maxAgeMs)) connection.retire();
  }

  /** Fails requests that have no answer yet and may be sent again: the link died. */
  abandonBusy(): void {
    for (const connection of this.#connections) {
      for (const stream of [...connection.streams.values()]) stream.user.abandon(stream);
    }
  }

  /** The endpoint is gone: connections end with their last stream. */
  close(): void {
    this.#closed = true;
    for (const connection of [...this.#connections]) connection.retire();
    this.#queue.wakeSoon();
  }

  /** Drops everything. */
  destroy(): void {
    this.#closed = true;
    for (const connection of [...this.#connections]) connection.destroy();
    this.#queue.wakeSoon();
  }
}
