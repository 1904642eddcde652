import type { ServiceKey } from "../core/service.ts";
import { isExportedTo } from "../core/service.ts";
import { exportedEndpoints, type RouteKey, remoteEndpoint } from "./federation/exported-endpoints.ts";
import type { LocalChange, LocalState } from "./federation/local-state.ts";

/** Where one route leads. */
export interface RouteTarget {
  /** The route's name. */
  readonly key: string;
  readonly host: string;
  /** Inbound port of the endpoint's sidecar. */
  readonly port: number;
  /** The linked cluster that the route is for. */
  readonly peer: string;
  readonly service: ServiceKey;
}

/** What the relay may connect: no route, no connection. */
export interface RouteTable {
  /** `name`: TLS SNI, lower case. */
  lookup(name: string): RouteTarget | undefined;
  /** Calls `listener` with names that lead nowhere any more, or elsewhere; returns what removes it. */
  onRemoved(listener: (names: ReadonlySet<string>) => void): () => void;
  readonly size: number;
}

/** A peer to whom services are exported, and what names its routes. */
export interface RoutePeer extends RouteKey {
  readonly offered: boolean;
}

function same(a: RouteTarget | undefined, b: RouteTarget | undefined): boolean {
  return a?.host === b?.host && a?.port === b?.port && a?.peer === b?.peer && a?.service === b?.service;
}

function samePeer(a: RoutePeer | undefined, b: RoutePeer): boolean {
  return (
    a !== undefined &&
    a.epoch === b.epoch &&
    a.offered === b.offered &&
    Buffer.compare(a.linkSecret, b.linkSecret) === 0
  );
}

/** The routes of this cluster's exports, kept up to date per service and per link. */
export class LiveRoutes implements RouteTable {
  readonly #state: LocalState;
  readonly #stop: () => void;
  readonly #routes = new Map<string, RouteTarget>();
  /** Names by `<peer> <service>`. */
  readonly #names = new Map<string, ReadonlyMap<string, RouteTarget>>();
  readonly #listeners = new Set<(names: ReadonlySet<string>) => void>();
  #peers: ReadonlyMap<string, RoutePeer> = new Map();

  constructor(state: LocalState) {
    this.#state = state;
    this.#stop = state.onChange((change) => this.#onChange(change));
  }

  lookup(name: string): RouteTarget | undefined {
    return this.#routes.get(name);
  }

  onRemoved(listener: (names: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get size(): number {
    return this.#routes.size;
  }

  close(): void {
    this.#stop();
    this.#listeners.clear();
  }

  /** The linked clusters as of now: those that are missing lose their routes at once. */
  setPeers(peers: ReadonlyMap<string, RoutePeer>): void {
    const before = this.#peers;
    this.#peers = peers;
    const removed = new Set<string>();
    const offered = (name: string) => peers.get(name)?.offered ?? false;
    const gone = [...before].some(([name, peer]) => peer.offered && !offered(name));
    for (const group of gone ? [...this.#names.keys()] : []) {
      if (!offered(group.slice(0, group.indexOf(" ")))) this.#replace(group, new Map(), removed);
    }
    for (const [name, peer] of peers) {
      if (samePeer(before.get(name), peer)) continue;
      for (const service of this.#knownServices()) this.#recompute(service, name, peer, removed);
    }
    this.#tell(removed);
  }

  #knownServices(): Set<ServiceKey> {
    const all = new Set<ServiceKey>();
    for (const { namespace, name } of this.#state.services()) all.add(`${namespace}/${name}`);
    for (const group of this.#names.keys()) all.add(group.slice(group.indexOf(" ") + 1) as ServiceKey);
    return all;
  }

  #onChange({ services }: LocalChange): void {
    if (services !== "all" && services.size === 0) return;
    // A registry that lost its data says nothing about exports: the routes stay until it is whole again.
    if (!this.#state.servicesReady) return;
    const removed = new Set<string>();
    for (const service of services === "all" ? this.#knownServices() : services) {
      for (const [name, peer] of this.#peers) this.#recompute(service, name, peer, removed);
    }
    this.#tell(removed);
  }

  #recompute(key: ServiceKey, name: string, peer: RoutePeer, removed: Set<string>): void {
    const service = this.#state.service(key);
    const next = new Map<string, RouteTarget>();
    if (peer.offered && service !== undefined && isExportedTo(service, name)) {
      for (const endpoint of exportedEndpoints(this.#state.endpoints(key))) {
        const target = { host: endpoint.address, port: endpoint.proxyPort, peer: name, service: key };
        for (const { routeName } of remoteEndpoint(service, endpoint, peer).routes)
          next.set(routeName, { key: routeName, ...target });
      }
    }
    this.#replace(`${name} ${key}`, next, removed);
  }

  #replace(group: string, next: ReadonlyMap<string, RouteTarget>, removed: Set<string>): void {
    for (const [name, target] of this.#names.get(group) ?? []) {
      if (same(next.get(name), target)) continue;
      this.#routes.delete(name);
      removed.add(name);
    }
    for (const [name, target] of next) this.#routes.set(name, target);
    if (next.size === 0) this.#names.delete(group);
    else this.#names.set(group, next);
  }

  #tell(removed: ReadonlySet<string>): void {
    if (removed.size === 0) return;
    for (const listener of this.#listeners) listener(removed);
  }
}
