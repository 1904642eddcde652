import { status } from "@grpc/grpc-js";
import { canonicalAddress } from "../core/address.ts";
import { errorText, MeshError } from "../core/errors.ts";
import type { Identity, TrustDomain } from "../core/identity.ts";
import { identityParts } from "../core/identity.ts";
import type { LinkHealth } from "../core/link.ts";
import type { Log } from "../core/log.ts";
import type { WatchRequest__Output } from "../protos/gen/causeway/discovery/v1/WatchRequest.ts";
import type { WatchResponse } from "../protos/gen/causeway/discovery/v1/WatchResponse.ts";
import type { Resolution } from "./catalog.ts";
import { DiscoverySession, type Subscription, type WatchCall } from "./discovery-session.ts";
import { inboundPorts } from "./inbound.ts";
import type { RegistryCatalog, Touched } from "./registry-catalog.ts";
import { namesBehind, resolve } from "./resolve.ts";
import { serviceState } from "./service-state.ts";

const HEALTH = {
  unknown: "HEALTH_UNKNOWN",
  alive: "HEALTH_ALIVE",
  suspect: "HEALTH_SUSPECT",
  dead: "HEALTH_DEAD",
  recovering: "HEALTH_RECOVERING",
} as const satisfies Record<LinkHealth, string>;

/**
 * Serves Discovery.Watch: answers subscriptions from the catalog and sends what changed, to whom it matters.
 * A change of a service costs time in proportion to those subscribed to it; a link's change is one message per
 * proxy, however many services the link carries.
 */
export class DiscoveryService {
  readonly #catalog: RegistryCatalog;
  readonly #trustDomain: TrustDomain;
  readonly #log: Log;
  readonly #sessions = new Set<DiscoverySession>();
  readonly #byName = new Index<Subscription>();
  /** Subscriptions to addresses, which may come to stand for other names than they do. */
  readonly #byAddress = new Index<Subscription>();
  /** What all sessions were told of links last, as JSON. */
  #toldLinks = "";
  #ready = false;

  constructor(catalog: RegistryCatalog, trustDomain: TrustDomain, log: Log) {
    this.#catalog = catalog;
    this.#trustDomain = trustDomain;
    this.#log = log;
  }

  get proxies(): number {
    return this.#sessions.size;
  }

  /** Until the catalog is whole nothing is answered, so that "not yet known" is never told as "not found". */
  open(): void {
    this.#ready = true;
    for (const session of this.#sessions) this.#sendAll(session);
  }

  /** Takes one stream for as long as it lasts. */
  serve(call: WatchCall, peer: Identity | undefined): void {
    if (peer === undefined || identityParts(peer).trustDomain !== this.#trustDomain) {
      call.emit("error", {
        code: status.PERMISSION_DENIED,
        details: `PROXY_DENIED: only workloads of ${this.#trustDomain} may watch.`,
      });
      return;
    }
    const session = new DiscoverySession(call, peer);
    this.#sessions.add(session);
    const leave = () => {
      if (!this.#sessions.delete(session)) return;
      for (const subscription of session.subscriptions.values()) this.#forget(subscription);
    };
    call.on("data", (request: WatchRequest__Output) => {
      try {
        this.#take(session, request);
      } catch (error) {
        this.#log.warn("discovery.refused", { identity: peer, error: errorText(error) });
        leave();
        const code = error instanceof MeshError ? status.INVALID_ARGUMENT : status.INTERNAL;
        call.emit("error", {
          code,
          details: error instanceof MeshError ? `${error.code}: ${error.message}` : "INTERNAL",
        });
      }
    });
    call.on("end", () => {
      leave();
      call.end();
    });
    call.on("cancelled", leave);
    call.on("error", leave);
    call.on("close", leave);
  }

  /** Sends on what a change of these registry keys means. */
  changed(keys: ReadonlySet<string>): void {
    const touched = this.#catalog.update(keys);
    if (!this.#ready) return;
    const affected = new Set<Subscription>();
    for (const name of touched.services) for (const s of this.#byName.get(name)) affected.add(s);
    for (const address of touched.addresses) for (const s of this.#byAddress.get(address)) affected.add(s);
    if (touched.clusters.size > 0) {
      for (const session of this.#sessions) {
        for (const s of session.subscriptions.values()) {
          for (const cluster of s.clusters) if (touched.clusters.has(cluster)) affected.add(s);
        }
      }
    }
    const memo: Memo = new Map();
    for (const subscription of affected) this.#answer(subscription, memo);
    for (const session of this.#sessions) if (this.#touchesInbound(session, touched)) this.#sendInbound(session);
    if (touched.links) {
      const links = this.#linkStates();
      // A round trip or a reason that changed is nothing to proxies, of which there may be a thousand.
      const text = JSON.stringify(links);
      if (text !== this.#toldLinks) for (const session of this.#sessions) session.send("links", links);
      this.#toldLinks = text;
    }
  }

  #take(session: DiscoverySession, request: WatchRequest__Output): void {
    switch (request.body) {
      case "hello":
        if (request.hello) session.greet(request.hello);
        if (this.#ready) this.#sendAll(session);
        return;
      case "subscribe": {
        const added = session.subscribe(request.subscribe?.authorities ?? []);
        for (const subscription of added) {
          this.#remember(subscription);
          if (this.#ready) this.#answer(subscription, new Map());
        }
        return;
      }
      case "unsubscribe":
        for (const authority of request.unsubscribe?.authorities ?? []) {
          const subscription = session.subscriptions.get(authority);
          if (subscription === undefined) continue;
          session.subscriptions.delete(authority);
          this.#forget(subscription);
        }
        return;
      default:
        throw new MeshError("PROTOCOL_VIOLATION", "Cannot take an empty request.");
    }
  }

  #sendAll(session: DiscoverySession): void {
    if (session.hello === undefined) return;
    session.send("links", this.#linkStates());
    this.#sendInbound(session);
    const memo: Memo = new Map();
    for (const subscription of session.subscriptions.values()) this.#answer(subscription, memo);
  }

  #touchesInbound({ hello }: DiscoverySession, { services, addresses, clusters }: Touched): boolean {
    if (hello === undefined) return false;
    const address = canonicalAddress(hello.address) ?? hello.address;
    if (clusters.size > 0 || addresses.has(address)) return true;
    return services.size > 0 && this.#catalog.isServedAt(address, services);
  }

  #sendInbound(session: DiscoverySession): void {
    if (session.hello === undefined) return;
    const ports = inboundPorts(session.hello.address, session.identity, this.#catalog.peers(), this.#catalog);
    const inbound = { cluster: this.#catalog.cluster, trustDomain: this.#trustDomain, ports };
    const text = JSON.stringify(inbound);
    if (text === session.sentInbound) return;
    session.sentInbound = text;
    session.send("inbound", {
      inbound: { ...inbound, ports: ports.map((p) => ({ ...p, peerTrustDomains: [...p.peerTrustDomains] })) },
    });
  }

  #linkStates(): WatchResponse {
    const links = this.#catalog.links().map(({ cluster, health, ramp, drained = 0, stale = false }) => ({
      ...{ cluster, health: HEALTH[health], ramp, drained, stale },
    }));
    const drained = this.#catalog.ownDrained;
    if (drained > 0) links.push({ cluster: "", health: HEALTH.alive, ramp: 1, drained, stale: false });
    return { links: { links } };
  }

  #answer(subscription: Subscription, memo: Memo): void {
    const { target, session } = subscription;
    // Routes differ between the namespaces of clients; all else that is asked for is the same to all.
    const key = `${session.namespace} ${JSON.stringify(target)}`;
    let answer = memo.get(key);
    if (answer === undefined) {
      const resolution = resolve(target, this.#catalog, session.namespace);
      answer = { resolution, text: JSON.stringify(resolution), names: namesBehind(target, this.#catalog) };
      memo.set(key, answer);
    }
    const { resolution, text, names } = answer;
    this.#depend(subscription, names);
    if (text === subscription.sent) return;
    subscription.sent = text;
    subscription.clusters = new Set(
      resolution.kind === "service" ? resolution.groups.map((g) => g.cluster).filter((c) => c !== "") : [],
    );
    session.send(subscription.authority, { service: serviceState(subscription.authority, resolution) });
  }

  #remember(subscription: Subscription): void {
    const { target } = subscription;
    if (target.kind === "address") this.#byAddress.add(target.address, subscription);
    this.#depend(subscription, namesBehind(target, this.#catalog));
  }

  #forget(subscription: Subscription): void {
    const { target } = subscription;
    if (target.kind === "address") this.#byAddress.delete(target.address, subscription);
    this.#depend(subscription, []);
  }

  #depend(subscription: Subscription, names: readonly string[]): void {
    for (const name of subscription.names) if (!names.includes(name)) this.#byName.delete(name, subscription);
    for (const name of names) if (!subscription.names.includes(name)) this.#byName.add(name, subscription);
    subscription.names = names;
  }
}

/** What was resolved in one go, by target and namespace of the client. */
type Memo = Map<string, { readonly resolution: Resolution; readonly text: string; readonly names: readonly string[] }>;

/** Sets by a text, none of them empty. */
class Index<T> {
  readonly #sets = new Map<string, Set<T>>();

  get(text: string): Iterable<T> {
    return this.#sets.get(text) ?? [];
  }

  add(text: string, value: T): void {
    const set = this.#sets.get(text) ?? new Set();
    set.add(value);
    this.#sets.set(text, set);
  }

  delete(text: string, value: T): void {
    const set = this.#sets.get(text);
    set?.delete(value);
    if (set?.size === 0) this.#sets.delete(text);
  }
}
