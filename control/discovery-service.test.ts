import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, it } from "mocha";
import { systemClock } from "../core/clock.ts";
import { parseIdentity, parseTrustDomain } from "../core/identity.ts";
import { silentLog } from "../core/log.ts";
import { NO_ROUTES, type RouteRule, type RouteSet } from "../core/route.ts";
import type { LocalService } from "../core/service.ts";
import type { WatchRequest } from "../protos/gen/causeway/discovery/v1/WatchRequest.ts";
import type { WatchResponse } from "../protos/gen/causeway/discovery/v1/WatchResponse.ts";
import { MemoryStore } from "../registry/memory-store.ts";
import { RegistryView } from "../registry/registry-view.ts";
import { RegistryWriter } from "../registry/registry-writer.ts";
import {
  LOCAL_ENDPOINTS,
  LOCAL_ROUTES,
  LOCAL_SERVICES,
  LOCAL_VIPS,
  PEER_LINKS,
  PEER_SERVICES,
  stateKey,
} from "../registry/state.ts";
import { remoteService } from "../test/support/mirror-world.ts";
import { DiscoveryService } from "./discovery-service.ts";
import type { WatchCall } from "./discovery-session.ts";
import { CATALOG_KINDS, catalogKeys, RegistryCatalog } from "./registry-catalog.ts";

const trustDomain = parseTrustDomain("west.mesh");
const client = parseIdentity("spiffe://west.mesh/ns/shop/sa/client");
const server = parseIdentity("spiffe://west.mesh/ns/shop/sa/web");

/** A stream whose other end is this test: what a proxy sends, what it gets, and a kernel that may refuse more. */
class FakeCall extends EventEmitter {
  readonly got: WatchResponse[] = [];
  open = true;

  write(message: WatchResponse): boolean {
    this.got.push(message);
    this.emit("got");
    return this.open;
  }

  end(): void {}

  ask(body: WatchRequest): void {
    const [kind] = Object.keys(body);
    this.emit("data", { ...body, body: kind });
  }

  hello(namespace = "shop", address = "127.20.1.9"): void {
    this.ask({ hello: { namespace, pod: "client", address, protocol: 1 } });
  }

  /** The newest state of `authority`, once one fits. */
  async service(authority: string, fits: (state: NonNullable<WatchResponse["service"]>) => boolean) {
    for (;;) {
      const found = this.got.findLast((m) => m.service?.authority === authority)?.service;
      if (found !== undefined && found !== null && fits(found)) return found;
      await new Promise<void>((resolve) => this.once("got", resolve));
    }
  }
}

async function setUp() {
  const abort = new AbortController();
  const store = new MemoryStore({ clock: systemClock });
  const common = { store, clock: systemClock, random: Math.random, log: silentLog };
  const writer = new RegistryWriter({ ...common, lease: "test", holder: "test" });
  writer.start(abort.signal);
  const view = new RegistryView({ ...common, kinds: CATALOG_KINDS });
  const catalog = new RegistryCatalog("west", trustDomain, view);
  const discovery = new DiscoveryService(catalog, trustDomain, silentLog);
  view.onChange((keys) => discovery.changed(keys));
  await view.start(abort.signal);
  discovery.changed(catalogKeys(view));
  discovery.open();
  const connect = (peer: typeof client | undefined = client) => {
    const call = new FakeCall();
    discovery.serve(call as unknown as WatchCall, peer);
    return call;
  };
  const service = (name: string): LocalService => {
    const ports = [{ name: "http", port: 80, protocol: "TCP", appProtocol: "http" }] as const;
    return { namespace: "shop", name, ports, headless: false, clusterIps: [], sessionAffinity: false };
  };
  const put = (name: string, address: string) => {
    writer.set(stateKey(LOCAL_SERVICES, "shop", name), LOCAL_SERVICES.encode(service(name)));
    const ports = { "80": 8080 };
    const endpoint = {
      id: address,
      address,
      ready: true,
      ports,
      identity: server,
      proxyPort: 4143,
      zone: "",
      pod: name,
    };
    writer.set(
      stateKey(LOCAL_ENDPOINTS, "shop", name),
      LOCAL_ENDPOINTS.encode({ namespace: "shop", name, endpoints: [endpoint] }),
    );
  };
  return { abort, writer, view, discovery, connect, put, service };
}

describe("DiscoveryService", () => {
  it("answers a subscription at once, and again when its service changes, and only then", async () => {
    const { abort, writer, connect, put } = await setUp();
    const call = connect();
    call.hello();
    call.ask({ subscribe: { authorities: ["web:80"] } });
    await call.service("web:80", (s) => s.kind === "KIND_EXTERNAL");
    put("web", "127.20.1.1");
    const found = await call.service("web:80", (s) => s.groups?.[0]?.endpoints?.length === 1);
    assert.equal(found.groups?.[0]?.endpoints?.[0]?.address, "127.20.1.1");
    const before = call.got.length;
    put("other", "127.20.1.2");
    await writer.settled();
    put("web", "127.20.1.3");
    await call.service("web:80", (s) => s.groups?.[0]?.endpoints?.[0]?.address === "127.20.1.3");
    assert.ok(call.got.slice(before).every((m) => m.service?.authority === "web:80"));
    abort.abort();
  });

  it("tells a link's change in one message to each proxy, however many names it holds", async () => {
    const { abort, writer, connect } = await setUp();
    const call = connect();
    call.hello();
    call.ask({ subscribe: { authorities: Array.from({ length: 50 }, (_, i) => `web-${i}:80`) } });
    const before = call.got.length;
    const link = {
      cluster: "east",
      health: "dead",
      ramp: 1,
      active: false,
      sinceMs: 0,
      rttMs: 1,
      reason: "",
      refused: [],
    } as const;
    writer.set(stateKey(PEER_LINKS, "east"), PEER_LINKS.encode(link));
    await new Promise<void>((resolve) => call.once("got", resolve));
    assert.deepEqual(call.got.slice(before), [
      { links: { links: [{ cluster: "east", health: "HEALTH_DEAD", ramp: 1, drained: 0, stale: false }] } },
    ]);
    abort.abort();
  });

  it("sends a route's change to those it is for: by name, by address, and by the client's namespace", async () => {
    const { abort, writer, connect, put } = await setUp();
    put("web", "127.20.1.1");
    put("other", "127.20.1.2");
    const producer = connect();
    producer.hello();
    producer.ask({ subscribe: { authorities: ["web:80", "other:80"] } });
    const consumer = connect(parseIdentity("spiffe://west.mesh/ns/team/sa/client"));
    consumer.hello("team");
    consumer.ask({ subscribe: { authorities: ["web.shop:80", "10.96.0.7:80"] } });
    await producer.service("other:80", (s) => s.kind === "KIND_SERVICE");
    await consumer.service("web.shop:80", (s) => s.kind === "KIND_SERVICE");

    writer.set(stateKey(LOCAL_VIPS, "10.96.0.7"), LOCAL_VIPS.encode({ of: "service", namespace: "shop", name: "web" }));
    await consumer.service("10.96.0.7:80", (s) => s.kind === "KIND_SERVICE");
    const before = [producer.got.length, consumer.got.length];

    const attached = (name: string, extra: Partial<RouteRule> = {}) => ({
      ports: [],
      rule: { name, matches: [], filters: [], backends: [], grpc: false, ...extra },
    });
    const path = { kind: "prefix", value: "/api" } as const;
    const service = {
      producer: [
        attached("canary", {
          matches: [
            { path, method: "GET", headers: [], query: [{ name: "v", value: { kind: "regex", value: "[12]" } }] },
          ],
          filters: [
            { kind: "redirect", scheme: "", host: "", port: 0, status: 301, path: { kind: "prefix", value: "" } },
          ],
          backends: [{ authority: "web-east.shop.svc.cluster.local:80", weight: 5, filters: [] }],
          timeouts: { requestMs: 500 },
          retry: { grpcStatuses: [14] },
        }),
      ],
      consumers: { team: [attached("team")] },
    } satisfies RouteSet;
    const routes = { namespace: "shop", name: "web", service, clusterset: NO_ROUTES };
    writer.set(stateKey(LOCAL_ROUTES, "shop", "web"), LOCAL_ROUTES.encode(routes));
    const state = await producer.service("web:80", (s) => s.routes?.length === 1);
    assert.deepEqual(state.routes, [
      {
        name: "canary",
        matches: [
          {
            path: { kind: "KIND_PREFIX", value: "/api" },
            method: "GET",
            headers: [],
            query: [{ name: "v", value: { kind: "KIND_REGEX", value: "[12]" } }],
          },
        ],
        filters: [
          { redirect: { scheme: "", host: "", port: 0, status: 301, path: { prefix: "", replacesPrefix: true } } },
        ],
        backends: [{ authority: "web-east.shop.svc.cluster.local:80", weight: 5, filters: [] }],
        timeouts: { requestMs: 500, tryMs: 0, idleMs: 0 },
        retry: { limit: 2, httpStatuses: [], grpcStatuses: [14], backoffMs: 0, anyMethod: false },
        grpc: false,
      },
    ]);
    for (const authority of ["web.shop:80", "10.96.0.7:80"]) {
      const theirs = await consumer.service(authority, (s) => s.routes?.length === 1);
      assert.equal(theirs.routes?.[0]?.name, "team");
    }
    assert.deepEqual([producer.got.length - (before[0] ?? 0), consumer.got.length - (before[1] ?? 0)], [1, 2]);

    // A change for one namespace is nothing to the other, and a lost address is none of the mesh's any more.
    const changed = { ...routes, service: { ...service, consumers: { team: [attached("team2")] } } };
    writer.set(stateKey(LOCAL_ROUTES, "shop", "web"), LOCAL_ROUTES.encode(changed));
    await consumer.service("10.96.0.7:80", (s) => s.routes?.[0]?.name === "team2");
    writer.delete(stateKey(LOCAL_VIPS, "10.96.0.7"));
    await consumer.service("10.96.0.7:80", (s) => s.kind === "KIND_EXTERNAL");
    assert.equal(producer.got.length, (before[0] ?? 0) + 1);
    abort.abort();
  });

  it("tells a workload's limits, and only the workload that they are for", async () => {
    const { abort, writer, connect, put, service } = await setUp();
    put("web", "127.20.1.1");
    put("other", "127.20.1.2");
    await writer.settled();
    const calls = ["127.20.1.1", "127.20.1.2"].map((address) => {
      const call = connect(server);
      call.hello("shop", address);
      return call;
    });
    const [web, other] = calls as [FakeCall, FakeCall];
    const inbound = (call: FakeCall) => call.got.filter((m) => m.inbound).map((m) => m.inbound?.ports?.[0]);
    while (inbound(web).at(-1) === undefined) await new Promise<void>((resolve) => web.once("got", resolve));
    while (inbound(other).at(-1) === undefined) await new Promise<void>((resolve) => other.once("got", resolve));
    const before = other.got.length;
    const limited = { ...service("web"), limits: { ratePerClient: 10 }, appSockets: { "8080": "/run/app.sock" } };
    writer.set(stateKey(LOCAL_SERVICES, "shop", "web"), LOCAL_SERVICES.encode(limited));
    while (inbound(web).at(-1)?.rateLimit !== 10) await new Promise<void>((resolve) => web.once("got", resolve));
    const port = inbound(web).at(-1);
    assert.deepEqual([port?.rateBurst, port?.maxInFlight, port?.appSocket], [10, 0, "/run/app.sock"]);
    assert.equal(other.got.length, before);
    abort.abort();
  });

  it("answers addresses of a peer's mirror as soon as the peer's service is there", async () => {
    const { abort, writer, connect } = await setUp();
    const call = connect();
    call.hello();
    call.ask({ subscribe: { authorities: ["[fd00:0::9]:80"] } });
    await call.service("[fd00:0::9]:80", (s) => s.kind === "KIND_EXTERNAL");
    const vip = { of: "clusterset", namespace: "shop", name: "web" } as const;
    writer.set(stateKey(LOCAL_VIPS, "fd00::9"), LOCAL_VIPS.encode(vip));
    await call.service("[fd00:0::9]:80", (s) => s.kind === "KIND_NOT_FOUND");
    const remote = remoteService("east", "shop", "web", { clusterset: true });
    writer.set(stateKey(PEER_SERVICES, "east", "shop", "web"), PEER_SERVICES.encode(remote));
    await call.service("[fd00:0::9]:80", (s) => s.kind === "KIND_SERVICE" && s.federated === true);
    abort.abort();
  });

  it("keeps only the newest state for a proxy that does not read", async () => {
    const { abort, writer, view, connect, put } = await setUp();
    const call = connect();
    call.hello();
    call.open = false;
    call.ask({ subscribe: { authorities: ["web:80"] } });
    const before = call.got.length;
    for (let i = 1; i <= 20; i++) {
      put("web", `127.20.1.${i}`);
    }
    await writer.settled();
    while (view.get(LOCAL_ENDPOINTS, "shop/web")?.endpoints[0]?.address !== "127.20.1.20") {
      await new Promise<void>((resolve) => {
        const stop = view.onChange(() => {
          stop();
          resolve();
        });
      });
    }
    assert.equal(call.got.length, before);
    call.open = true;
    call.emit("drain");
    const found = await call.service("web:80", (s) => s.groups?.[0]?.endpoints?.[0]?.address === "127.20.1.20");
    assert.ok(found);
    assert.equal(call.got.length, before + 1);
    abort.abort();
  });

  it("refuses a peer of another trust domain, one without identity, and a subscription before Hello", async () => {
    const { abort, discovery, connect } = await setUp();
    for (const peer of [parseIdentity("spiffe://east.mesh/ns/shop/sa/client"), undefined]) {
      const call = new FakeCall();
      const refused = new Promise<{ details: string }>((resolve) => call.once("error", resolve));
      discovery.serve(call as unknown as WatchCall, peer);
      assert.match((await refused).details, /PROXY_DENIED/);
    }
    const early = connect();
    const refused = new Promise<{ details: string }>((resolve) => early.once("error", resolve));
    early.ask({ subscribe: { authorities: ["web:80"] } });
    assert.match((await refused).details, /PROTOCOL_VIOLATION/);
    assert.equal(discovery.proxies, 0);
    abort.abort();
  });
});
