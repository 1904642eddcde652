import assert from "node:assert/strict";
import type { LocalService } from "../../core/service.ts";
import type { EndpointSlice, KubeService, ServiceImportObject } from "../../kube/resources.ts";
import { podSlice, remoteService } from "../../test/support/mirror-world.ts";
import { derivedFor } from "../ownership.ts";
import type { Step } from "../steps.ts";
import { derivedName, planImports } from "./import-plan.ts";
import type { Peer } from "./peers.ts";

function own(name: string, over: Partial<LocalService> = {}): LocalService {
  return {
    namespace: "shop",
    name,
    ports: [{ name: "http", port: 80, protocol: "TCP", appProtocol: "" }],
    headless: false,
    clusterIps: ["10.96.0.1"],
    sessionAffinity: false,
    export: { to: "all", clusterset: true, exportedAtMs: 10 },
    ...over,
  };
}

function peer(cluster: string, services: Peer["services"], over: Partial<Peer> = {}): Peer {
  return {
    cluster,
    importing: true,
    confirmed: true,
    health: "alive",
    services,
    gateways: [],
    hasReady: () => true,
    ...over,
  };
}

class World {
  readonly services = new Map<string, KubeService>();
  readonly slices = new Map<string, EndpointSlice>();
  readonly imports = new Map<string, ServiceImportObject>();
  sources: EndpointSlice[] = [];

  plan(services: readonly LocalService[], peers: readonly Peer[]): Step[] {
    return planImports({
      cluster: "west",
      own: services,
      peers,
      hasNamespace: (namespace) => namespace === "shop",
      service: (namespace, name) => this.services.get(`${namespace}/${name}`),
      slicesOf: () => this.sources,
      imports: [...this.imports.values()],
      derived: [...this.services.values()].filter((s) => derivedFor(s) !== undefined),
      derivedSlices: [...this.slices.values()],
      nowMs: () => 0,
    });
  }

  converge(services: readonly LocalService[], peers: readonly Peer[]): void {
    for (let round = 0; round < 5; round++) {
      const steps = this.plan(services, peers);
      if (steps.length === 0) return;
      for (const step of steps) this.#apply(step);
    }
    throw new Error("does not settle");
  }

  #apply(step: Step): void {
    const maps: Record<string, Map<string, unknown>> = {
      services: this.services,
      endpointslices: this.slices,
      serviceimports: this.imports,
    };
    const objects = maps[step.type.plural] as Map<string, KubeService>;
    const key = `${step.namespace}/${step.name}`;
    const before = objects.get(key);
    if (step.action === "delete") objects.delete(key);
    else if (step.action === "edit") {
      const next = before && step.edit(before);
      if (next !== undefined) objects.set(key, next as KubeService);
    } else {
      const object = step.object as KubeService;
      const spec =
        step.type.plural === "services"
          ? { clusterIPs: [object.spec?.clusterIP ?? "10.96.7.7"], ...object.spec }
          : object.spec;
      objects.set(key, { ...object, ...(spec === undefined ? {} : { spec }) });
    }
  }
}

const summary = (object: ServiceImportObject | undefined) =>
  object && [
    object.spec.type,
    object.spec.ips ?? [],
    object.spec.ports.map((p) => p.port),
    object.status?.clusters?.map((c) => c.cluster),
  ];

describe("planImports()", () => {
  it("makes one ServiceImport for all clusters that export, with the address of a derived Service", () => {
    const world = new World();
    world.converge([own("web")], [peer("east", [remoteService("east", "shop", "web", { clusterset: true })])]);
    assert.deepEqual(summary(world.imports.get("shop/web")), ["ClusterSetIP", ["10.96.7.7"], [80], ["east", "west"]]);
    assert.equal(
      world.services.get(`shop/${derivedName("shop", "web")}`)?.metadata.labels?.["causeway.dev/derived-for"],
      "web",
    );
  });

  it("imports what only a peer exports, and nothing that is only mirrored or has no namespace here", () => {
    const world = new World();
    world.converge(
      [],
      [
        peer("east", [
          remoteService("east", "shop", "web", { clusterset: true }),
          remoteService("east", "shop", "plain"),
          remoteService("east", "absent", "web", { clusterset: true }),
        ]),
      ],
    );
    assert.deepEqual([...world.imports.keys()], ["shop/web"]);
  });

  it("joins ports by name and lets the oldest export decide", () => {
    const world = new World();
    const ports = [
      { name: "http", port: 8080, protocol: "TCP" as const, appProtocol: "" as const },
      { name: "admin", port: 90, protocol: "TCP" as const, appProtocol: "" as const },
    ];
    world.converge(
      [own("web")],
      [
        peer("east", [
          remoteService("east", "shop", "web", { clusterset: true, exportedAtMs: 1, ports, headless: true }),
        ]),
      ],
    );
    assert.deepEqual(summary(world.imports.get("shop/web")), ["Headless", [], [8080, 90], ["east", "west"]]);
  });

  it("deletes import, derived Service and slices with the last export", () => {
    const world = new World();
    world.sources = [podSlice("shop", "web", [{ name: "web-1", uid: "u", address: "10.1.0.1" }])];
    world.converge([own("web")], []);
    assert.equal(world.slices.size, 1);
    const [slice] = world.slices.values();
    assert.equal(slice?.metadata.labels?.["multicluster.kubernetes.io/source-cluster"], "west");
    assert.equal(slice?.metadata.labels?.["kubernetes.io/service-name"], derivedName("shop", "web"));
    world.converge([], []);
    assert.equal(world.imports.size + world.services.size + world.slices.size, 0);
  });

  it("keeps an import, its clusters and its ports while a cluster that exported it is silent", () => {
    const world = new World();
    const remote = remoteService("east", "shop", "web", {
      clusterset: true,
      ports: [{ name: "extra", port: 90, protocol: "TCP", appProtocol: "" }],
    });
    world.converge([own("web")], [peer("east", [remote])]);
    world.converge([own("web")], [peer("east", [], { confirmed: false })]);
    assert.deepEqual(summary(world.imports.get("shop/web")), [
      "ClusterSetIP",
      ["10.96.7.7"],
      [80, 90],
      ["east", "west"],
    ]);
    world.converge([own("web")], [peer("east", [])]);
    assert.deepEqual(summary(world.imports.get("shop/web")), ["ClusterSetIP", ["10.96.7.7"], [80], ["west"]]);
  });

  it("leaves a ServiceImport that is not ours alone", () => {
    const world = new World();
    const theirs: ServiceImportObject = {
      apiVersion: "multicluster.x-k8s.io/v1alpha1",
      kind: "ServiceImport",
      metadata: { name: "web", namespace: "shop" },
      spec: { type: "ClusterSetIP", ports: [{ port: 1 }] },
    };
    world.imports.set("shop/web", theirs);
    world.converge([own("web")], []);
    world.converge([], []);
    assert.equal(world.imports.get("shop/web"), theirs);
  });
});
