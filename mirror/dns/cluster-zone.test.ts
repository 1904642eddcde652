import assert from "node:assert/strict";
import type { Answer } from "dns-packet";
import { parseIdentity } from "../../core/identity.ts";
import {
  ENDPOINT_SLICES,
  type KubeService,
  SERVICE_IMPORTS,
  SERVICES,
  type ServiceImportObject,
} from "../../kube/resources.ts";
import { LOCAL_SERVICES, PEER_ENDPOINTS, PEER_GATEWAYS, PEER_LINKS, type StateKind } from "../../registry/state.ts";
import { eventually } from "../../test/support/eventually.ts";
import { FakeKube } from "../../test/support/fake-kube.ts";
import { kubeService, linkState, podSlice } from "../../test/support/mirror-world.ts";
import { ClusterCache } from "../cluster-cache.ts";
import type { StateReader } from "../state-port.ts";
import { answer } from "./answer.ts";
import { ClusterZone } from "./cluster-zone.ts";

class State implements StateReader {
  readonly synced = true;
  readonly retained = 0;
  readonly #values = new Map<string, unknown>();
  put<T>(kind: StateKind<T>, value: T, ...name: string[]): void {
    this.#values.set(kind.prefix + name.join("/"), value);
  }
  get<T>(kind: StateKind<T>, ...name: string[]): T | undefined {
    return this.#values.get(kind.prefix + name.join("/")) as T | undefined;
  }
  entries<T>(kind: StateKind<T>, ...name: string[]): ReadonlyMap<string, T> {
    const prefix = `${kind.prefix}${name.join("/")}/`;
    return new Map([...this.#values].filter(([key]) => key.startsWith(prefix))) as Map<string, T>;
  }
  onChange(): () => void {
    return () => {};
  }
}

function headlessImport(clusters: string[]): ServiceImportObject {
  return {
    apiVersion: "multicluster.x-k8s.io/v1alpha1",
    kind: "ServiceImport",
    metadata: { name: "db", namespace: "shop" },
    spec: { type: "Headless", ports: [{ name: "db", port: 5432 }] },
    status: { clusters: clusters.map((cluster) => ({ cluster })) },
  };
}

describe("ClusterZone", () => {
  let kube: FakeKube;
  let cache: ClusterCache;
  let state: State;
  let stop: AbortController;

  const ask = (name: string, type = "A") => {
    const { rcode, answers } = answer({ name, type }, new ClusterZone("west", cache, state));
    return rcode === 0 ? answers.map((record: Answer) => ("data" in record ? record.data : "")) : rcode;
  };

  beforeEach(async () => {
    kube = new FakeKube();
    state = new State();
    stop = new AbortController();
    kube.seed(SERVICES, kubeService("shop", "web"));
    kube.seed(
      SERVICES,
      kubeService("shop", "db", { spec: { clusterIP: "None", ports: [{ name: "db", port: 5432 }] } }),
    );
    const slice = podSlice("shop", "db", [
      { name: "db-0", uid: "0", address: "10.1.0.1" },
      { name: "db-1", uid: "1", address: "10.1.0.2", ready: false },
    ]);
    const endpoints = (slice.endpoints ?? []).map((endpoint, i) => ({ ...endpoint, hostname: `db-${i}` }));
    kube.seed(ENDPOINT_SLICES, { ...slice, endpoints });
    cache = new ClusterCache(kube);
  });

  afterEach(() => stop.abort());

  it("is not ready before the cluster is listed", async () => {
    assert.equal(ask("web.shop.svc.cluster.local"), 2);
    await cache.start(stop.signal);
    assert.deepEqual(ask("web.shop.svc.cluster.local"), ["10.96.9.9"]);
  });

  it("knows ready endpoints of headless services by hostname, and no others", async () => {
    await cache.start(stop.signal);
    assert.deepEqual(ask("db.shop.svc.cluster.local"), ["10.1.0.1"]);
    assert.deepEqual(ask("db-0.db.shop.svc.cluster.local"), ["10.1.0.1"]);
    assert.equal(ask("db-1.db.shop.svc.cluster.local"), 3);
  });

  it("goes on answering while the API server is away, and follows it when it is back", async () => {
    await cache.start(stop.signal);
    kube.partition();
    kube.seed(SERVICES, { ...kubeService("shop", "late"), spec: { clusterIP: "10.96.1.1" } } as KubeService);
    assert.deepEqual(ask("web.shop.svc.cluster.local"), ["10.96.9.9"]);
    assert.equal(ask("late.shop.svc.cluster.local"), 3);
    kube.heal();
    await eventually(() => ask("late.shop.svc.cluster.local") !== 3);
  });

  it("answers for a headless import with own endpoints and the gateways of peers that have ready ones", async () => {
    kube.seed(SERVICE_IMPORTS, headlessImport(["east", "west"]));
    await cache.start(stop.signal);
    assert.deepEqual(ask("db.shop.svc.clusterset.local"), ["10.1.0.1"]);
    assert.deepEqual(ask("db-0.west.db.shop.svc.clusterset.local"), ["10.1.0.1"]);
    const identity = parseIdentity("spiffe://east.mesh/ns/shop/sa/db");
    const endpoints = [{ id: "e", ready: true, identity, zone: "", routes: [] }];
    state.put(PEER_ENDPOINTS, { cluster: "east", namespace: "shop", name: "db", endpoints }, "east", "shop", "db");
    state.put(
      PEER_GATEWAYS,
      { host: "192.0.2.1", relayPort: 4143, federationPort: 4180, zone: "" },
      "east",
      "192.0.2.1:4180",
    );
    assert.deepEqual(ask("db.shop.svc.clusterset.local"), ["10.1.0.1", "192.0.2.1"]);
    state.put(PEER_LINKS, linkState("east", { health: "dead" }), "east");
    assert.deepEqual(ask("db.shop.svc.clusterset.local"), ["10.1.0.1"]);
    assert.equal(state.get(LOCAL_SERVICES, "shop", "db"), undefined);
  });
});
