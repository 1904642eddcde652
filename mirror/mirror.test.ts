import assert from "node:assert/strict";
import { type Clock, ManualClock, systemClock } from "../core/clock.ts";
import { MIRROR_FINALIZER } from "../core/defaults.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import { NO_ROUTES } from "../core/route.ts";
import type { KubeObject } from "../kube/client.ts";
import { GRPC_ROUTES, HTTP_ROUTES, REFERENCE_GRANTS, type RouteObject } from "../kube/gateway-api.ts";
import {
  ENDPOINT_SLICES,
  type EndpointSlice,
  EVENTS,
  type KubeService,
  LINKS,
  type Link,
  NAMESPACES,
  PODS,
  SERVICE_EXPORTS,
  SERVICE_IMPORTS,
  SERVICES,
  type ServiceExportObject,
  type ServiceImportObject,
} from "../kube/resources.ts";
import { MemoryStore } from "../registry/memory-store.ts";
import { RegistryWriter } from "../registry/registry-writer.ts";
import {
  LOCAL_ENDPOINTS,
  LOCAL_ROUTES,
  LOCAL_SERVICES,
  LOCAL_VIPS,
  PEER_GATEWAYS,
  PEER_LINKS,
  PEER_SERVICES,
  type StateKind,
  stateKey,
} from "../registry/state.ts";
import { eventually } from "../test/support/eventually.ts";
import { FakeKube } from "../test/support/fake-kube.ts";
import {
  kubePod,
  kubeService,
  linkState,
  linkTo,
  podSlice,
  remoteService,
  serviceExport,
} from "../test/support/mirror-world.ts";
import { httpRoute } from "../test/support/route-world.ts";
import { type Mirror, startMirror } from "./mirror.ts";

describe("startMirror", () => {
  let kube: FakeKube;
  let store: MemoryStore;
  let gateway: RegistryWriter;
  let stop: AbortController;
  let mirrors: Mirror[];

  const start = async (holder = "a", clock: Clock = systemClock) => {
    const deps = { cluster: "west", kube, store, holder, clock, random: seededRandom(1), log: silentLog };
    const mirror = await startMirror({ ...deps, signal: stop.signal });
    mirrors.push(mirror);
    return mirror;
  };
  const put = <T>(kind: StateKind<T>, value: T, ...name: string[]) =>
    gateway.set(stateKey(kind, ...name), kind.encode(value));
  const stored = async <T>(kind: StateKind<T>, ...name: string[]): Promise<T | undefined> => {
    const { entries } = await store.read(stateKey(kind, ...name));
    const [entry] = entries;
    return entry && kind.decode(entry.value);
  };
  const service = (name: string) => kube.get<KubeService>(SERVICES, name, "shop");
  const slices = async (name: string) => {
    const all = await kube.list<EndpointSlice>(ENDPOINT_SLICES, {
      labelSelector: `kubernetes.io/service-name=${name}`,
    });
    return all.length > 0 ? all : undefined;
  };
  const condition = async (type: string) => {
    const link = await kube.get<Link>(LINKS, "east");
    return link?.status?.conditions?.find((c) => c.type === type);
  };
  const linkEast = () => {
    kube.seed(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
    kube.seed(LINKS, linkTo("east", {}, []));
    put(PEER_LINKS, linkState("east"), "east");
    put(
      PEER_GATEWAYS,
      { host: "127.10.0.3", relayPort: 4143, federationPort: 4180, zone: "" },
      "east",
      "127.10.0.3:4180",
    );
    put(PEER_SERVICES, remoteService("east", "shop", "web"), "east", "shop", "web");
  };

  beforeEach(() => {
    kube = new FakeKube();
    store = new MemoryStore({ clock: systemClock });
    stop = new AbortController();
    mirrors = [];
    gateway = new RegistryWriter({
      store,
      lease: "gateway",
      holder: "g",
      clock: systemClock,
      random: seededRandom(2),
      log: silentLog,
    });
    gateway.start(stop.signal);
  });

  afterEach(async () => {
    stop.abort();
    await Promise.all([...mirrors.map((mirror) => mirror.close()), gateway.ended]);
    await store.close();
  });

  it("puts every service of the cluster with its endpoints and identities into the registry", async () => {
    kube.seed(SERVICES, kubeService("shop", "web"));
    kube.seed(PODS, kubePod("shop", "web-1", "uid-1", { serviceAccountName: "web" }));
    kube.seed(ENDPOINT_SLICES, podSlice("shop", "web", [{ name: "web-1", uid: "uid-1", address: "10.1.0.1" }]));
    await start();
    const endpoints = await eventually(() => stored(LOCAL_ENDPOINTS, "shop", "web"));
    assert.deepEqual(endpoints.endpoints, [
      {
        id: "uid-1",
        address: "10.1.0.1",
        ready: true,
        ports: { "80": 8080 },
        identity: "spiffe://west.mesh/ns/shop/sa/web",
        proxyPort: 4143,
        zone: "",
        pod: "web-1",
      },
    ]);
    assert.equal((await stored(LOCAL_SERVICES, "shop", "web"))?.export, undefined);
    kube.seed(
      ENDPOINT_SLICES,
      podSlice("shop", "web", [{ name: "web-1", uid: "uid-1", address: "10.1.0.1", ready: false }]),
    );
    await eventually(async () => (await stored(LOCAL_ENDPOINTS, "shop", "web"))?.endpoints[0]?.ready === false);
    kube.unseed(SERVICES, "web", "shop");
    await eventually(async () => (await stored(LOCAL_SERVICES, "shop", "web")) === undefined);
  });

  it("puts routes into the registry as they come, also where Gateway API is installed later, and says what became of them", async () => {
    for (const type of [HTTP_ROUTES, GRPC_ROUTES, REFERENCE_GRANTS]) kube.serves(type, false);
    kube.seed(SERVICES, kubeService("shop", "web"));
    kube.seed(SERVICES, kubeService("shop", "web-v2"));
    put(LOCAL_ROUTES, { namespace: "shop", name: "gone", service: NO_ROUTES, clusterset: NO_ROUTES }, "shop", "gone");
    await gateway.settled();
    await start();
    await eventually(() => stored(LOCAL_SERVICES, "shop", "web"));
    assert.equal(await eventually(async () => ((await stored(LOCAL_ROUTES, "shop", "gone")) ? undefined : true)), true);
    for (const type of [HTTP_ROUTES, GRPC_ROUTES, REFERENCE_GRANTS]) kube.serves(type, true);
    const others = { parentRef: { name: "gateway" }, controllerName: "example.com/gateway", conditions: [] };
    const backendRefs = [
      { name: "web", port: 80, weight: 9 },
      { name: "web-v2", port: 80 },
    ];
    kube.seed(HTTP_ROUTES, httpRoute("shop", "canary", [{ backendRefs }], { status: { parents: [others] } }));
    const routes = await eventually(() => stored(LOCAL_ROUTES, "shop", "web"));
    assert.deepEqual(
      routes.service.producer[0]?.rule.backends.map(({ authority, weight }) => `${weight} ${authority}`),
      ["9 web.shop.svc.cluster.local:80", "1 web-v2.shop.svc.cluster.local:80"],
    );
    const parents = (reason: string) =>
      eventually(async () => {
        const found = (await kube.get<RouteObject>(HTTP_ROUTES, "canary", "shop"))?.status?.parents;
        return found?.[1]?.conditions?.some((c) => c.reason === reason) === true ? found : undefined;
      });
    const [first, second] = await parents("ResolvedRefs");
    assert.deepEqual(first, others);
    assert.equal(second?.controllerName, "causeway.dev/controller");
    assert.deepEqual(
      second.conditions?.map(({ type, status, observedGeneration }) => [type, status, observedGeneration]),
      [
        ["Accepted", "True", 1],
        ["ResolvedRefs", "True", 1],
      ],
    );
    const writes = kube.writes().length;
    kube.seed(SERVICES, kubeService("shop", "unrelated"));
    await eventually(() => stored(LOCAL_SERVICES, "shop", "unrelated"));
    assert.equal(kube.writes().length, writes);
    kube.unseed(SERVICES, "web-v2", "shop");
    await parents("BackendNotFound");
    await eventually(async () => {
      const broken = await stored(LOCAL_ROUTES, "shop", "web");
      return broken?.service.producer[0]?.rule.backends[1]?.authority === "" ? true : undefined;
    });
    kube.unseed(HTTP_ROUTES, "canary", "shop");
    assert.equal(await eventually(async () => ((await stored(LOCAL_ROUTES, "shop", "web")) ? undefined : true)), true);
  });

  it("says what the addresses of mirrors stand for, and which settings of a Service mean nothing", async () => {
    linkEast();
    const annotations = { "timeout.causeway.dev/request": "soon", "timeout.causeway.dev/idle": "1m" };
    kube.seed(SERVICES, kubeService("shop", "web", { metadata: { name: "web", namespace: "shop", annotations } }));
    await start();
    const mirror = await eventually(() => service("web-east"));
    const ip = mirror.spec?.clusterIP ?? "";
    const address = await eventually(() => stored(LOCAL_VIPS, ip));
    assert.deepEqual(address, { of: "service", namespace: "shop", name: "web-east" });
    assert.deepEqual((await stored(LOCAL_SERVICES, "shop", "web"))?.settings, { timeouts: { idleMs: 60_000 } });
    const [event] = await eventually(async () => {
      const events = await kube.list<KubeObject & { reason: string; message: string }>(EVENTS);
      return events.length > 0 ? events : undefined;
    });
    assert.equal(event?.reason, "SettingRefused");
    assert.match(event.message, /timeout.causeway.dev\/request is "soon"/);
  });

  it("exports by ServiceExport and says so in its conditions", async () => {
    kube.seed(SERVICES, kubeService("shop", "web"));
    kube.seed(SERVICE_EXPORTS, serviceExport("shop", "web"));
    kube.seed(SERVICE_EXPORTS, serviceExport("shop", "nothing"));
    await start();
    const conditions = async (name: string) => {
      const object = await kube.get<ServiceExportObject>(SERVICE_EXPORTS, name, "shop");
      return (object?.status?.conditions ?? []).map((c) => `${c.type}=${c.status} ${c.reason}`).join("; ");
    };
    const exported = "Valid=True Valid; Ready=True Exported; Conflict=False NoConflicts";
    await eventually(async () => (await conditions("web")) === exported);
    await eventually(async () => (await conditions("nothing")) === "Valid=False NoService; Ready=False Failed");
    const found = await stored(LOCAL_SERVICES, "shop", "web");
    assert.deepEqual(found?.export, { to: "all", clusterset: true, exportedAtMs: Date.parse("2026-01-02T00:00:00Z") });
    const imported = await eventually(() => kube.get<ServiceImportObject>(SERVICE_IMPORTS, "web", "shop"));
    assert.deepEqual(imported.metadata.labels, { "app.kubernetes.io/managed-by": "causeway" });
    await eventually(async () => {
      const object = await kube.get<ServiceImportObject>(SERVICE_IMPORTS, "web", "shop");
      return object?.spec.ips?.length === 1 && object.status?.clusters?.[0]?.cluster === "west";
    });
    await kube.delete(SERVICE_EXPORTS, "web", "shop");
    await eventually(async () => (await kube.get(SERVICE_IMPORTS, "web", "shop")) === undefined);
    await eventually(async () => (await kube.list(SERVICES)).length === 1);
  });

  it("mirrors a peer's service with its gateways, repairs it, and recreates it", async () => {
    linkEast();
    await start();
    const mirror = await eventually(() => service("web-east"));
    assert.equal(mirror.metadata.labels?.["causeway.dev/origin-cluster"], "east");
    assert.deepEqual(
      mirror.spec?.ports?.map((p) => [p.name, p.port, p.appProtocol]),
      [["http", 80, "http"]],
    );
    const [slice] = await eventually(() => slices("web-east"));
    assert.deepEqual(slice?.endpoints, [{ addresses: ["127.10.0.3"], conditions: { ready: true } }]);
    assert.deepEqual(slice?.ports, [{ name: "http", port: 4143, protocol: "TCP" }]);
    await eventually(async () =>
      (await kube.get<Link>(LINKS, "east"))?.metadata.finalizers?.includes(MIRROR_FINALIZER),
    );

    await kube.mergePatch(SERVICES, "web-east", "shop", {
      spec: { ports: [{ name: "x", port: 81 }], selector: { app: "x" } },
    });
    await eventually(async () => {
      const { spec } = (await service("web-east")) ?? {};
      return spec?.ports?.[0]?.port === 80 && spec.selector === undefined;
    });
    await kube.delete(SERVICES, "web-east", "shop");
    await eventually(() => service("web-east"));
    await eventually(async () => (await condition("ServicesMirrored"))?.status === "True");
    assert.equal((await condition("ServicesMirrored"))?.status, "True");
  });

  it("marks the endpoints of a dead link not ready and deletes nothing", async () => {
    linkEast();
    await start();
    await eventually(() => slices("web-east"));
    put(PEER_LINKS, linkState("east", { health: "dead", active: false }), "east");
    gateway.delete(stateKey(PEER_SERVICES, "east", "shop", "web"));
    put(PEER_SERVICES, remoteService("east", "shop", "late"), "east", "shop", "late");
    await eventually(() => service("late-east"));
    assert.ok(await service("web-east"), "silence deletes nothing");
    await eventually(async () => (await slices("late-east"))?.[0]?.endpoints?.[0]?.conditions?.ready === false);
  });

  it("deletes a mirror whose export is gone while the link is active", async () => {
    linkEast();
    await start();
    await eventually(() => service("web-east"));
    gateway.delete(stateKey(PEER_SERVICES, "east", "shop", "web"));
    await eventually(async () => (await service("web-east")) === undefined && (await slices("web-east")) === undefined);
  });

  it("says which namespace is missing, and mirrors as soon as it appears", async () => {
    linkEast();
    kube.unseed(NAMESPACES, "shop");
    await start();
    const found = await eventually(async () => {
      const c = await condition("ServicesMirrored");
      return c?.status === "False" && c;
    });
    assert.equal(found.reason, "NamespaceMissing");
    assert.match(found.message, /shop\/web/);
    kube.seed(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
    await eventually(() => service("web-east"));
    await eventually(async () => (await condition("ServicesMirrored"))?.status === "True");
  });

  it("never overwrites a service that is not ours", async () => {
    linkEast();
    const theirs = kube.seed(SERVICES, kubeService("shop", "web-east", { spec: { selector: { app: "own" } } }));
    await start();
    await eventually(async () => (await condition("ServicesMirrored"))?.reason === "NameCollision");
    assert.deepEqual(await service("web-east"), theirs);
    assert.equal(await slices("web-east"), undefined);
    await kube.delete(SERVICES, "web-east", "shop");
    await eventually(
      async () => (await service("web-east"))?.metadata.labels?.["causeway.dev/origin-cluster"] === "east",
    );
  });

  it("says which addresses the API server refuses, and goes on", async () => {
    linkEast();
    kube.refuseLoopback = true;
    await start();
    await eventually(async () => (await condition("AddressesAccepted"))?.reason === "ADDRESS_REFUSED");
    assert.ok(await service("web-east"));
    put(
      PEER_GATEWAYS,
      { host: "192.0.2.7", relayPort: 4143, federationPort: 4180, zone: "" },
      "east",
      "192.0.2.7:4180",
    );
    gateway.delete(stateKey(PEER_GATEWAYS, "east", "127.10.0.3:4180"));
    await eventually(() => slices("web-east"));
    await eventually(async () => (await condition("AddressesAccepted"))?.status === "True");
  });

  it("removes everything of an unlinked cluster before the Link may go", async () => {
    linkEast();
    await start();
    await eventually(() => slices("web-east"));
    let atRemoval: unknown[] | undefined;
    kube.intercept = (call, object) => {
      const finalizers = object?.metadata.finalizers ?? [MIRROR_FINALIZER];
      if (call.type.kind === "Link" && call.verb === "replace" && !finalizers.includes(MIRROR_FINALIZER)) {
        atRemoval = kube.calls.filter((c) => c.verb === "delete");
      }
    };
    await kube.delete(LINKS, "east");
    await eventually(async () => (await kube.get(LINKS, "east")) === undefined);
    assert.equal(await service("web-east"), undefined);
    assert.equal(await slices("web-east"), undefined);
    assert.equal(atRemoval?.length, 3);
  });

  it("writes nothing to Kubernetes from a replica without the lease, which takes over when the holder ends", async () => {
    linkEast();
    const clock = new ManualClock();
    const passing = (done: () => Promise<boolean> | boolean) =>
      eventually(async () => {
        await clock.advance(50);
        return await done();
      });
    const first = await start("a", clock);
    await passing(async () => (await service("web-east")) !== undefined);
    const second = await start("b", clock);
    await passing(() => second.ready().ready);
    assert.equal(first.leading, true);
    assert.equal(second.leading, false);
    await first.close();
    const before = kube.writes().length;
    kube.unseed(SERVICES, "web-east", "shop");
    assert.equal(kube.writes().length, before);
    await passing(async () => (await service("web-east")) !== undefined);
    assert.equal(second.leading, true);
  });

  it("keeps everything while the API server is away, and converges afterwards", async () => {
    linkEast();
    kube.seed(SERVICES, kubeService("shop", "own"));
    await start();
    await eventually(() => service("web-east"));
    kube.partition();
    put(PEER_SERVICES, remoteService("east", "shop", "late"), "east", "shop", "late");
    await gateway.settled();
    assert.ok(await stored(LOCAL_SERVICES, "shop", "own"));
    kube.heal();
    await eventually(() => service("late-east"));
  });
});
