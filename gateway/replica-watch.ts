import { type ClientHttp2Session, connect } from "node:http2";
import { type Clock, every } from "../core/clock.ts";
import type { GatewayAddress } from "../core/link.ts";
import type { Log } from "../core/log.ts";
import { federationAuthority } from "./federation/gateway-address.ts";

/** How often a replica is asked whether it lives. */
const PING_MS = 500;
/** Pings in a row without an answer after which it hangs, or its machine is gone. */
const MAX_MISSED = 4;
/** A replica that takes longer to take a connection is taken for one that does not. */
const CONNECT_MS = 1_000;
/** After a connection was refused. */
const RETRY_MS = 1_000;

export interface ReplicaWatchDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** `replica` was there, lost its connection, and takes no other. May be wrong: whoever acts on it must be fenced. */
  readonly onGone: (replica: string) => void;
}

/**
 * Watches the other replicas of the gateway over a connection to each, which a process that is killed cannot keep: so its
 * end is known long before its leases run out. Nothing is said there, so it does not matter much who answers; where all
 * replicas have one address, nobody is ever gone, and leases alone decide.
 */
export class ReplicaWatch {
  readonly #deps: ReplicaWatchDeps;
  readonly #watched = new Map<string, WatchedReplica>();

  constructor(deps: ReplicaWatchDeps) {
    this.#deps = deps;
  }

  /** Who there is besides this replica. One that is no longer among them is watched until its connection ends. */
  update(replicas: ReadonlyMap<string, GatewayAddress>): void {
    for (const [name, address] of replicas) {
      const known = this.#watched.get(name);
      // One that had left and is back is watched anew.
      if (known?.authority === federationAuthority(address) && (known.kept || known.up)) continue;
      known?.close();
      this.#watched.set(name, new WatchedReplica(name, address, this.#deps));
    }
    for (const [name, watched] of this.#watched) {
      if (replicas.has(name)) watched.kept = true;
      else {
        watched.kept = false;
        if (!watched.up) this.#forget(name, watched);
      }
    }
  }

  close(): void {
    for (const [name, watched] of this.#watched) this.#forget(name, watched);
  }

  #forget(name: string, watched: WatchedReplica): void {
    watched.close();
    this.#watched.delete(name);
  }
}

class WatchedReplica {
  readonly authority: string;
  /** It is said to live. */
  kept = true;
  readonly #name: string;
  readonly #deps: ReplicaWatchDeps;
  readonly #stop: () => void;
  #session: ClientHttp2Session | undefined;
  /** A connection stands, or stood until a moment ago: its loss means something. */
  #up = false;
  #connected = false;
  #missed = 0;
  #retry = () => {};
  #closed = false;

  constructor(name: string, address: GatewayAddress, deps: ReplicaWatchDeps) {
    this.#name = name;
    this.#deps = deps;
    this.authority = federationAuthority(address);
    this.#stop = every(deps.clock, PING_MS, () => this.#ping());
    this.#connect();
  }

  get up(): boolean {
    return this.#up;
  }

  close(): void {
    this.#closed = true;
    this.#stop();
    this.#retry();
    this.#session?.destroy();
  }

  #connect(): void {
    const { clock } = this.#deps;
    const session = connect(`https://${this.authority}`, {
      rejectUnauthorized: false,
      settings: { enablePush: false },
    });
    this.#session = session;
    this.#connected = false;
    this.#missed = 0;
    const cancel = clock.after(CONNECT_MS, () => session.destroy());
    session.once("connect", () => {
      cancel();
      this.#connected = true;
      this.#up = true;
    });
    // "close" follows.
    session.on("error", () => {});
    session.once("goaway", () => session.destroy());
    session.once("close", () => {
      cancel();
      if (!this.#closed) this.#onClose();
    });
    session.unref();
  }

  #onClose(): void {
    if (this.#connected) {
      // It may be the connection alone.
      this.#connect();
      return;
    }
    if (this.#up) {
      this.#up = false;
      this.#deps.log.info("gateway replica gone", { replica: this.#name });
      this.#deps.onGone(this.#name);
    }
    if (this.kept) this.#retry = this.#deps.clock.after(RETRY_MS, () => this.#connect());
    else this.close();
  }

  #ping(): void {
    const session = this.#session;
    if (session === undefined || !this.#connected || session.destroyed) return;
    if (this.#missed++ >= MAX_MISSED) {
      session.destroy();
      return;
    }
    session.ping((error) => {
      if (error === null && session === this.#session) this.#missed = 0;
    });
  }
}
