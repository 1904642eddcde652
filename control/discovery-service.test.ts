import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, it } from "mocha";
import { systemClock } from "../core/clock.ts";
import { parseIdentity, parseTrustDomain } from "../core/identity.ts";
import { silentLog } from "../core/log.ts";
import type { WatchRequest } from "../protos/gen/causeway/discovery/v1/WatchRequest.ts";
import type { WatchResponse } from "../protos/gen/causeway/discovery/v1/WatchResponse.ts";
import { MemoryStore } from "../registry/memory-store.ts";
import { RegistryView } from "../registry/registry-view.ts";
import { RegistryWriter } from "../registry/registry-writer.ts";
import {
  LOCAL_ENDPOINTS,
  LOCAL_SERVICES,
  PEER_BUNDLES,
  PEER_ENDPOINTS,
  PEER_GATEWAYS,
  PEER_LINKS,
  PEER_SERVICES,
  stateKey,
} from "../registry/state.ts";
import { DiscoveryService } from "./discovery-service.ts";
import type { WatchCall } from "./discovery-session.ts";
import { catalogKeys, RegistryCatalog } from "./registry-catalog.ts";

const trustDomain = parseTrustDomain("west.mesh");
const client = parseIdentity("spiffe://west.mesh/ns/shop/sa/client");

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

  hello(): void {
    this.ask({ hello: { namespace: "shop", pod: "client", address: "127.20.1.9", protocol: 1 } });
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
  const kinds = [
    LOCAL_SERVICES,
    LOCAL_ENDPOINTS,
    PEER_SERVICES,
    PEER_ENDPOINTS,
    PEER_GATEWAYS,
    PEER_BUNDLES,
    PEER_LINKS,
  ];
  const view = new RegistryView({ ...common, kinds });
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
  const put = (name: string, address: string) => {
    const ports = [{ name: "http", port: 80, protocol: "TCP", appProtocol: "http" }] as const;
    const service = { namespace: "shop", name, ports, headless: false, clusterIps: [], sessionAffinity: false };
    writer.set(stateKey(LOCAL_SERVICES, "shop", name), LOCAL_SERVICES.encode(service));
    const endpoint = { id: address, address, ready: true, ports: { "80": 8080 }, proxyPort: 4143, zone: "", pod: name };
    writer.set(
      stateKey(LOCAL_ENDPOINTS, "shop", name),
      LOCAL_ENDPOINTS.encode({ namespace: "shop", name, endpoints: [endpoint] }),
    );
  };
  return { abort, writer, view, discovery, connect, put };
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
      { links: { links: [{ cluster: "east", health: "HEALTH_DEAD", ramp: 1 }] } },
    ]);
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
