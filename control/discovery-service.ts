import { status } from "@grpc/grpc-js";
import { errorText, MeshError } from "../core/errors.ts";
import type { Identity, TrustDomain } from "../core/identity.ts";
import { identityParts } from "../core/identity.ts";
import type { LinkHealth } from "../core/link.ts";
import type { Log } from "../core/log.ts";
import type { ServiceState } from "../protos/gen/causeway/discovery/v1/ServiceState.ts";
import type { WatchRequest__Output } from "../protos/gen/causeway/discovery/v1/WatchRequest.ts";
import type { WatchResponse } from "../protos/gen/causeway/discovery/v1/WatchResponse.ts";
import type { Resolution } from "./catalog.ts";
import { DiscoverySession, type Subscription, type WatchCall } from "./discovery-session.ts";
import { inboundPorts } from "./inbound.ts";
import type { RegistryCatalog } from "./registry-catalog.ts";
import { resolve } from "./resolve.ts";

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
  readonly #byName = new Map<string, Set<Subscription>>();
  /** Subscriptions to addresses: any local change may touch them. */
  readonly #byAddress = new Set<Subscription>();
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
    for (const name of touched.services) for (const s of this.#byName.get(name) ?? []) affected.add(s);
    if (touched.services.size > 0) for (const s of this.#byAddress) affected.add(s);
    if (touched.clusters.size > 0) {
      for (const session of this.#sessions) {
        for (const s of session.subscriptions.values()) {
          for (const cluster of s.clusters) if (touched.clusters.has(cluster)) affected.add(s);
        }
      }
    }
    const memo = new Map<string, Resolution>();
    for (const subscription of affected) this.#answer(subscription, memo);
    if (touched.services.size > 0 || touched.clusters.size > 0) for (const s of this.#sessions) this.#sendInbound(s);
    if (touched.links) {
      const links = this.#linkStates();
      for (const session of this.#sessions) session.send("links", links);
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
    const memo = new Map<string, Resolution>();
    for (const subscription of session.subscriptions.values()) this.#answer(subscription, memo);
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
    const links = this.#catalog.links().map(({ cluster, health, ramp }) => ({ cluster, health: HEALTH[health], ramp }));
    return { links: { links } };
  }

  #answer(subscription: Subscription, memo: Map<string, Resolution>): void {
    const key = JSON.stringify(subscription.target);
    const resolution = memo.get(key) ?? resolve(subscription.target, this.#catalog);
    memo.set(key, resolution);
    const text = JSON.stringify(resolution);
    if (text === subscription.sent) return;
    subscription.sent = text;
    subscription.clusters = new Set(
      resolution.kind === "service" ? resolution.groups.map((g) => g.cluster).filter((c) => c !== "") : [],
    );
    subscription.session.send(subscription.authority, { service: serviceState(subscription.authority, resolution) });
  }

  #remember(subscription: Subscription): void {
    const { target } = subscription;
    if (target.kind === "address") this.#byAddress.add(subscription);
    if (!("name" in target)) return;
    const name = `${target.namespace}/${target.name}`;
    const all = this.#byName.get(name) ?? new Set();
    all.add(subscription);
    this.#byName.set(name, all);
  }

  #forget(subscription: Subscription): void {
    const { target } = subscription;
    this.#byAddress.delete(subscription);
    if (!("name" in target)) return;
    const name = `${target.namespace}/${target.name}`;
    const all = this.#byName.get(name);
    all?.delete(subscription);
    if (all?.size === 0) this.#byName.delete(name);
  }
}

function serviceState(authority: string, resolution: Resolution): ServiceState {
  switch (resolution.kind) {
    case "notFound":
      return { authority, kind: "KIND_NOT_FOUND" };
    case "external":
      return { authority, kind: "KIND_EXTERNAL" };
    case "service": {
      const { namespace, name, port, appProtocol, federated } = resolution;
      const groups = resolution.groups.map((g) => ({ ...g, endpoints: [...g.endpoints], gateways: [...g.gateways] }));
      return { authority, kind: "KIND_SERVICE", namespace, name, port, appProtocol, federated, groups };
    }
    default:
      return resolution satisfies never;
  }
}
