import assert from "node:assert/strict";
import { systemClock } from "../core/clock.ts";
import { SYSTEM_NAMESPACE } from "../core/defaults.ts";
import { MeshError } from "../core/errors.ts";
import { createLog, silentLog } from "../core/log.ts";
import type { Informer, InformerOptions, KubeObject, ResourceType } from "../kube/client.ts";
import { LINKS, type Link, SECRETS, type Secret } from "../kube/resources.ts";
import {
  LOCAL_BUNDLE,
  LOCAL_SERVICES,
  PEER_BUNDLES,
  PEER_ENDPOINTS,
  PEER_GATEWAYS,
  PEER_LINKS,
  PEER_SERVICES,
} from "../registry/state.ts";
import { eventually } from "../test/support/eventually.ts";
import type { FakeKube } from "../test/support/fake-kube.ts";
import { GatewayWorld, localService } from "../test/support/gateway-world.ts";
import { grpcDialer } from "./federation/sync-grpc.ts";
import type { RouteTable } from "./route-table.ts";

const log = process.env["CAUSEWAY_TEST_LOG"] ? createLog("test", "debug") : silentLog;

describe("startGateway() with two clusters", () => {
  let east: GatewayWorld;
  let west: GatewayWorld;

  beforeEach(async () => {
    [east, west] = await Promise.all([GatewayWorld.create("east", log), GatewayWorld.create("west", log)]);
    await Promise.all([east.start(), west.start()]);
  });

  afterEach(async () => {
    await Promise.all([east.close(), west.close()]);
  });

  const linked = async () => {
    await west.link(east, await east.token());
    await eventually(async () => (await west.phase("east")) === "active" && (await east.phase("west")) === "active");
  };

  it("links by token: both active, token gone, bundles exchanged, exports with routes at the relay", async () => {
    await east.serve("shop", "web", ["west"], ["10.1.0.1", "10.1.0.2"]);
    await east.serve("shop", "secret", ["north"], ["10.1.0.3"]);
    await linked();

    const secret = await west.kube.get<Secret>(SECRETS, "causeway-link-east", SYSTEM_NAMESPACE);
    assert.equal(secret?.data?.["token"], undefined);
    assert.deepEqual(await west.value(PEER_BUNDLES, "east", "east.mesh"), east.mesh.authority.bundle);
    assert.deepEqual(await east.value(PEER_BUNDLES, "west", "west.mesh"), west.mesh.authority.bundle);
    assert.deepEqual(await west.keys(PEER_SERVICES.prefix), ["peer/service/east/shop/web"]);
    const endpoints = await west.value(PEER_ENDPOINTS, "east", "shop", "web");
    const routes = endpoints?.endpoints.flatMap((endpoint) => endpoint.routes.map((route) => route.routeName)) ?? [];
    assert.equal(routes.length, 2);
    const hosts = routes
      .map((name) => east.routes?.lookup(name))
      .map((target) => `${target?.host}:${target?.port} ${target?.peer}`);
    assert.deepEqual(hosts.sort(), ["10.1.0.1:4143 west", "10.1.0.2:4143 west"]);
    const state = await west.value(PEER_LINKS, "east");
    assert.equal(state?.health, "alive");
    assert.equal(state?.active, true);
  });

  it("joins once, however late its informer hears of what the join brought", async () => {
    await west.stop();
    const held = holdSecrets(west.kube);
    await west.start();
    await west.link(east, await east.token());
    const joined = async () => (await west.kube.get<Secret>(SECRETS, "causeway-link-east", SYSTEM_NAMESPACE))?.data;
    await eventually(async () => (await joined())?.["linkSecret"] !== undefined);
    for (let i = 0; i < 3; i++) {
      await west.kube.mergePatch<Link>(LINKS, "east", undefined, { metadata: { annotations: { touched: `${i}` } } });
      await eventually(() => held.asked > i + 1);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const joins = () =>
      east.kube.calls.filter(({ verb, type, name }) => {
        return verb === "get" && type === SECRETS && name?.startsWith("causeway-join-");
      }).length;
    assert.equal(joins(), 1);
    held.release();
    await eventually(async () => (await west.phase("east")) === "active");
    assert.equal(joins(), 1);
  });

  it("follows exports and takes a route away with its export", async () => {
    await linked();
    await east.serve("shop", "web", "all", ["10.1.0.1"]);
    const found = await eventually(() => west.value(PEER_ENDPOINTS, "east", "shop", "web"));
    const name = found.endpoints[0]?.routes[0]?.routeName ?? "";
    assert.equal(east.routes?.lookup(name)?.host, "10.1.0.1");
    const removed = new Set<string>();
    east.routes?.onRemoved((names) => {
      for (const gone of names) removed.add(gone);
    });
    await east.write(LOCAL_SERVICES, { "shop/web": localService("shop", "web", undefined) });
    await eventually(async () => (await west.keys(PEER_SERVICES.prefix)).length === 0);
    await eventually(async () => (await west.keys(PEER_ENDPOINTS.prefix)).length === 0);
    assert.equal(east.routes?.lookup(name), undefined);
    assert.ok(removed.has(name));
  });

  it("tells peers of every replica, and of one that leaves no more, while the link goes on at the other", async () => {
    const routes: RouteTable[] = [];
    const second = await east.replica({ onRoutes: (table) => void routes.push(table) });
    await east.serve("shop", "web", "all", ["10.1.0.1"]);
    await linked();
    const addresses = async () =>
      (await west.keys(PEER_GATEWAYS.prefix)).map((key) => key.slice(key.lastIndexOf(":") + 1));
    const ports = [east.port, second.federationPort].map(String).sort();
    await eventually(async () => (await addresses()).sort().join() === ports.join());
    const found = await eventually(() => west.value(PEER_ENDPOINTS, "east", "shop", "web"));
    const name = found.endpoints[0]?.routes[0]?.routeName ?? "";
    assert.equal(routes[0]?.lookup(name)?.host, "10.1.0.1", "the replica that does not lead relays too");
    const healths = new Set<string>();
    const watching = setInterval(
      () => void west.value(PEER_LINKS, "east").then((state) => healths.add(state?.health ?? "")),
      10,
    );
    await east.gateway?.leave();
    await eventually(async () => (await addresses()).join() === String(second.federationPort));
    await east.stop();
    await eventually(async () => (await east.value(PEER_LINKS, "west"))?.active === true);
    await eventually(async () => (await west.value(PEER_LINKS, "east"))?.active === true);
    await east.serve("shop", "api", "all", ["10.1.0.2"]);
    await eventually(() => west.value(PEER_ENDPOINTS, "east", "shop", "api"));
    clearInterval(watching);
    assert.deepEqual(
      [...healths].filter((health) => health !== "suspect"),
      ["alive"],
    );
    await second.close();
  });

  it("serves a stream at whichever replica it comes to, which takes the link's lease", async () => {
    const second = await east.replica({ holder: "second" });
    await linked();
    const holder = await east.holderOf("link/west");
    const [other, port] = holder === "second" ? ["east-1", east.port] : ["second", second.federationPort];
    const abort = new AbortController();
    const identity = west.mesh.identity(SYSTEM_NAMESPACE, "causeway-gateway");
    const { tls } = await west.mesh.workload(identity, [east.mesh.authority.bundle], systemClock, abort.signal);
    const peer = { cluster: "east", trustDomain: east.mesh.authority.trustDomain };
    const pipe = grpcDialer(tls, systemClock)(peer, { host: "127.0.0.1", federationPort: port });
    const greeting = await new Promise<string | undefined>((resolve) => {
      pipe.use({
        onMessage: ({ body }) => resolve("hello" in body ? body.hello?.cluster : undefined),
        onClose: (error) => resolve(String(error)),
      });
    });
    assert.equal(greeting, "east");
    await eventually(async () => (await east.holderOf("link/west")) === other);
    pipe.destroy();
    abort.abort();
    // The former holder hears of it and ends west's own stream, whose next one the lease follows.
    await eventually(async () => (await west.value(PEER_LINKS, "east"))?.active === false);
    await eventually(async () => (await west.value(PEER_LINKS, "east"))?.active === true);
    await second.close();
  });

  it("follows a replica that dialled and is gone while its leases still run", async () => {
    const second = await west.replica({ holder: "second" });
    await linked();
    const holder = await west.holderOf("link/east");
    // What a killed process leaves behind.
    west.store.keepsLeases = true;
    if (holder === "second") await second.close();
    else await west.stop();
    await eventually(async () => (await west.holderOf("link/east")) !== holder);
    assert.equal(await west.holderOf(`gateway/${holder}`), holder, "its lease is not over");
    await eventually(async () => (await west.value(PEER_LINKS, "east"))?.active === true);
    await east.serve("shop", "web", "all", ["10.1.0.1"]);
    await eventually(async () => (await west.keys(PEER_SERVICES.prefix)).length === 1);
    west.store.keepsLeases = false;
    await second.close();
  });

  it("unlinks on both sides when one Link is deleted", async () => {
    await east.serve("shop", "web", "all", ["10.1.0.1"]);
    await linked();
    await west.kube.delete(LINKS, "east");
    await eventually(async () => (await west.kube.get(LINKS, "east")) === undefined);
    await eventually(async () => (await east.kube.get(LINKS, "west")) === undefined);
    for (const world of [east, west]) {
      assert.deepEqual(await world.keys("peer/"), []);
      const secrets = await world.kube.list<Secret>(SECRETS);
      assert.deepEqual(
        secrets.filter((secret) => secret.metadata.name.startsWith("causeway-link-")),
        [],
      );
    }
    assert.equal(east.routes?.size, 0);
  });

  it("keeps a link alive through a restart of either gateway, without its peers' state", async () => {
    await east.serve("shop", "web", "all", ["10.1.0.1"]);
    await linked();
    for (const world of [east, west]) {
      await world.stop();
      assert.deepEqual(await west.keys(PEER_SERVICES.prefix), ["peer/service/east/shop/web"]);
      await world.start();
      await eventually(
        async () =>
          (await west.value(PEER_LINKS, "east"))?.active === true &&
          (await east.value(PEER_LINKS, "west"))?.active === true,
      );
    }
    assert.deepEqual(await west.keys(PEER_SERVICES.prefix), ["peer/service/east/shop/web"]);
  });

  it("calls a peer that is gone dead, and keeps what it exported", async () => {
    await east.serve("shop", "web", "all", ["10.1.0.1"]);
    await linked();
    await east.stop();
    await eventually(async () => (await west.value(PEER_LINKS, "east"))?.health === "dead");
    await eventually(async () => (await west.phase("east")) === "dead");
    assert.deepEqual(await west.keys(PEER_SERVICES.prefix), ["peer/service/east/shop/web"]);
    await east.start({});
    await eventually(async () => (await west.value(PEER_LINKS, "east"))?.health === "recovering");
  });

  it("does not mistake a registry that lost its data for a cluster that exports nothing", async () => {
    await east.serve("shop", "web", "all", ["10.1.0.1"]);
    await linked();
    const before = east.routes?.size;
    east.store.lose();
    await eventually(async () => (await east.keys(PEER_LINKS.prefix)).length === 1);
    assert.equal(east.routes?.size, before);
    assert.deepEqual(await west.keys(PEER_SERVICES.prefix), ["peer/service/east/shop/web"]);
    west.store.lose();
    await eventually(async () => (await west.keys(PEER_SERVICES.prefix)).length === 1);
  });

  it("carries a root with a higher sequence to the peer's Secret and trust", async () => {
    await linked();
    const next = { ...east.mesh.authority.bundle, sequence: 2n };
    await east.write(LOCAL_BUNDLE, { "east.mesh": next });
    await eventually(async () => (await west.value(PEER_BUNDLES, "east", "east.mesh"))?.sequence === 2n);
    const secret = await west.kube.get<Secret>(SECRETS, "causeway-link-east", SYSTEM_NAMESPACE);
    const bundle = LOCAL_BUNDLE.decode(Buffer.from(secret?.data?.["bundle"] ?? "", "base64").toString());
    assert.equal(bundle.sequence, 2n);
  });

  it("names the routes anew after another join", async () => {
    await east.serve("shop", "web", "all", ["10.1.0.1"]);
    await linked();
    const first = (await west.value(PEER_ENDPOINTS, "east", "shop", "web"))?.endpoints[0]?.routes[0]?.routeName ?? "";
    const token = Buffer.from(await east.token()).toString("base64");
    await west.kube.mergePatch<Secret>(SECRETS, "causeway-link-east", SYSTEM_NAMESPACE, { data: { token } });
    const second = await eventually(async () => {
      const name = (await west.value(PEER_ENDPOINTS, "east", "shop", "web"))?.endpoints[0]?.routes[0]?.routeName;
      return name !== first && name;
    });
    assert.equal(east.routes?.lookup(first), undefined);
    assert.equal(east.routes?.lookup(second)?.host, "10.1.0.1");
  });

  const refusals: [string, string, () => Promise<string>][] = [
    ["an expired token", "TokenExpired", () => east.token({ nowMs: Date.now() - 3_600_000 })],
    ["a token that the maker's clock calls expired", "TokenExpired", () => east.token({ ttlMs: -1_000 })],
    ["a token for another cluster", "TokenInvalid", () => east.token({ forCluster: "north" })],
    ["a wrong pin", "PinMismatch", () => east.token({ rootFingerprint: `sha256:${"0".repeat(64)}` })],
    ["garbage", "TokenInvalid", async () => "mesh1.garbage"],
  ];
  for (const [what, reason, token] of refusals) {
    it(`fails a link with ${what} as ${reason}, until the Secret changes`, async () => {
      await west.link(east, await token());
      await eventually(async () => (await west.phase("east")) === "failed");
      assert.equal((await west.condition("east", "Joined"))?.reason, reason);
      const good = Buffer.from(await east.token()).toString("base64");
      await west.kube.mergePatch<Secret>(SECRETS, "causeway-link-east", SYSTEM_NAMESPACE, { data: { token: good } });
      await eventually(async () => (await west.phase("east")) === "active");
    });
  }

  it("keeps the finalizer on a Link and writes nothing once it is settled", async () => {
    await linked();
    const link = await eventually(async () => {
      const found = await west.kube.get<Link>(LINKS, "east");
      return found?.metadata.finalizers?.includes("causeway.dev/link") && found;
    });
    assert.equal(link.status?.health, "alive");
  });

  it("fails a link whose peer unlinked while it was away, as Unlinked; linking again works", async () => {
    await linked();
    await west.stop();
    await east.kube.delete(LINKS, "west");
    await eventually(async () => (await east.kube.get(LINKS, "west")) === undefined);
    await west.start();
    await eventually(async () => (await west.condition("east", "Connected"))?.reason === "Unlinked");
    assert.match((await west.condition("east", "Connected"))?.message ?? "", /east unlinked west at .* 10 min/);
    assert.equal(await west.phase("east"), "failed");
    await west.kube.delete(LINKS, "east");
    await eventually(async () => (await west.kube.get(LINKS, "east")) === undefined);
    await linked();
  });

  it("finds out so too where only the peer dials, once it has been silent for long", async () => {
    await linked();
    await east.stop();
    await west.kube.delete(LINKS, "east");
    await eventually(async () => (await west.kube.get(LINKS, "east")) === undefined);
    await east.start({ health: { staleAfterMs: 100 } });
    await eventually(async () => (await east.condition("west", "Connected"))?.reason === "Unlinked", 30_000);
    assert.equal(await east.phase("west"), "failed");
    assert.ok(await east.value(PEER_LINKS, "west"), "not before the grace is over");
  });

  it("deletes a link whose peer has said for a while that it unlinked it, and not one that it merely lost", async () => {
    await east.serve("shop", "web", "all", ["10.1.0.1"]);
    await linked();
    await west.stop();
    await east.kube.delete(LINKS, "west");
    await eventually(async () => (await east.kube.get(LINKS, "west")) === undefined);
    const note = await east.kube.get<Secret>(SECRETS, "causeway-unlinked-west", SYSTEM_NAMESPACE);
    assert.ok(note);
    await east.kube.delete(SECRETS, note.metadata.name, SYSTEM_NAMESPACE);
    await west.start({ unlinkGraceMs: 100 });
    await eventually(async () => (await west.condition("east", "Connected"))?.reason === "RefusedByPeer");
    assert.deepEqual(await west.keys(PEER_SERVICES.prefix), ["peer/service/east/shop/web"]);
    const { apiVersion, kind, metadata, type, data } = note;
    const again = { apiVersion, kind, metadata: { name: metadata.name, namespace: SYSTEM_NAMESPACE }, type, data };
    await east.kube.create<Secret>(SECRETS, again as Secret);
    await eventually(async () => (await west.kube.get(LINKS, "east")) === undefined);
    assert.deepEqual(await west.keys("peer/"), []);
    await linked();
    await eventually(async () => (await east.kube.get(SECRETS, note.metadata.name, SYSTEM_NAMESPACE)) === undefined);
  });

  it("converges where the answer to a Join could not be stored", async () => {
    let failures = 2;
    west.kube.intercept = ({ verb, type }) => {
      if (verb === "replace" && type === SECRETS && failures-- > 0) {
        throw new MeshError("CLUSTER_UNREACHABLE", "Cannot reach the API server: away.");
      }
    };
    await linked();
    assert.ok(failures <= 0);
  });

  it("lets nobody but the peer's gateway sync", async () => {
    await linked();
    const dialAs = async (world: GatewayWorld, namespace: string, account: string) => {
      const abort = new AbortController();
      const identity = world.mesh.identity(namespace, account);
      const peers = world === east ? [] : [east.mesh.authority.bundle];
      const { tls } = await world.mesh.workload(identity, peers, systemClock, abort.signal);
      const peer = { cluster: "east", trustDomain: east.mesh.authority.trustDomain };
      const pipe = grpcDialer(tls, systemClock)(peer, { host: "127.0.0.1", federationPort: east.port });
      const error = await new Promise<Error | undefined>((resolve) => {
        pipe.use({ onMessage: () => resolve(undefined), onClose: resolve });
      });
      pipe.destroy();
      abort.abort();
      assert.ok(error instanceof MeshError);
      return error.code;
    };
    assert.equal(await dialAs(west, "shop", "client"), "IDENTITY_UNEXPECTED");
    assert.equal(await dialAs(east, SYSTEM_NAMESPACE, "causeway-gateway"), "LINK_UNKNOWN");
    const north = await GatewayWorld.create("north", log);
    assert.equal(await dialAs(north, SYSTEM_NAMESPACE, "causeway-gateway"), "LINK_UNKNOWN");
    await north.close();
    assert.equal((await west.value(PEER_LINKS, "east"))?.active, true);
  });

  it("shows a peer nothing where the link does not export, and takes it back when that changes", async () => {
    await east.serve("shop", "web", "all", ["10.1.0.1"]);
    await linked();
    assert.equal(east.routes?.size, 1);
    await east.kube.mergePatch<Link>(LINKS, "west", undefined, { spec: { export: false } });
    await eventually(() => east.routes?.size === 0);
    await eventually(async () => (await west.keys(PEER_SERVICES.prefix)).length === 0);
    await east.kube.mergePatch<Link>(LINKS, "west", undefined, { spec: { export: true } });
    await eventually(async () => (await west.keys(PEER_SERVICES.prefix)).length === 1);
  });

  it("goes on through the absence of the API server and of the registry", async () => {
    await linked();
    for (const world of [east, west]) world.kube.partition();
    east.store.down = true;
    // The gateway has met the absence, and more than once.
    await eventually(() => east.store.refusals >= 3);
    assert.equal((await west.value(PEER_LINKS, "east"))?.active, true);
    east.store.down = false;
    for (const world of [east, west]) world.kube.heal();
    await east.serve("shop", "web", "all", ["10.1.0.1"]);
    await eventually(async () => (await west.keys(PEER_SERVICES.prefix)).length === 1);
  });
});

/** Informers of Secrets that show each Secret as it first was, until released. */
function holdSecrets(kube: FakeKube): { readonly asked: number; release(): void } {
  const make = kube.informer.bind(kube);
  const first = new Map<string, KubeObject>();
  let holding = true;
  let asked = 0;
  let release = () => {};
  kube.informer = <T extends KubeObject>(type: ResourceType, options?: InformerOptions): Informer<T> => {
    const real = make<T>(type, options);
    if (type !== SECRETS) return real;
    release = () => {
      holding = false;
    };
    return {
      get synced() {
        return real.synced;
      },
      start: (signal) => real.start(signal),
      list: () => real.list(),
      onEvent: (listener) => real.onEvent(listener),
      get(name, namespace) {
        const now = real.get(name, namespace);
        if (!holding || now === undefined) return now;
        asked++;
        if (!first.has(name)) first.set(name, now);
        return first.get(name) as T;
      },
    };
  };
  return {
    get asked() {
      return asked;
    },
    release: () => release(),
  };
}
