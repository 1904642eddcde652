import assert from "node:assert/strict";
import fc from "fast-check";
import type { EndpointSlice, KubeService } from "../../kube/resources.ts";
import { kubeService, remoteService } from "../../test/support/mirror-world.ts";
import { derivedFor, originOf } from "../ownership.ts";
import type { Step } from "../steps.ts";
import { type MirrorPlan, planMirrors } from "./mirror-plan.ts";
import { mirrorLabels, toKube } from "./mirror-service.ts";
import type { Peer } from "./peers.ts";

const GATEWAY = { host: "192.0.2.1", relayPort: 4143, federationPort: 4180, zone: "" };

function peer(cluster: string, over: Partial<Peer> = {}): Peer {
  return {
    cluster,
    importing: true,
    confirmed: true,
    health: "alive",
    services: [],
    gateways: [GATEWAY],
    hasReady: () => true,
    ...over,
  };
}

/** A cluster that carries plans out. */
class World {
  readonly services = new Map<string, KubeService>();
  readonly slices = new Map<string, EndpointSlice>();
  namespaces = new Set(["shop"]);
  #uid = 0;

  plan(peers: readonly Peer[]): MirrorPlan {
    return planMirrors({
      peers,
      hasNamespace: (namespace) => this.namespaces.has(namespace),
      service: (namespace, name) => this.services.get(`${namespace}/${name}`),
      mirrors: [...this.services.values()].filter((s) => originOf(s) !== undefined),
      slices: [...this.slices.values()].filter((s) => originOf(s) !== undefined && derivedFor(s) === undefined),
    });
  }

  apply(steps: readonly Step[]): void {
    for (const step of steps) {
      const objects = (step.type.plural === "services" ? this.services : this.slices) as Map<
        string,
        KubeService | EndpointSlice
      >;
      const key = `${step.namespace}/${step.name}`;
      if (step.action === "delete") objects.delete(key);
      else if (step.action !== "edit") {
        const { metadata } = step.object;
        objects.set(key, {
          ...(step.object as KubeService),
          metadata: { ...metadata, uid: metadata.uid ?? `uid-${this.#uid++}` },
        });
      }
    }
  }

  /** Plans and applies until nothing is left; more than three rounds are an oscillation. */
  converge(peers: readonly Peer[]): MirrorPlan {
    for (let round = 0; round < 4; round++) {
      const plan = this.plan(peers);
      if (plan.steps.length === 0) return plan;
      this.apply(plan.steps);
    }
    throw new Error("does not settle");
  }
}

const web = remoteService("east", "shop", "web");

describe("planMirrors()", () => {
  it("creates a mirror with its origin in labels, and a slice of the gateways", () => {
    const world = new World();
    world.converge([peer("east", { services: [web] })]);
    const mirror = world.services.get("shop/web-east");
    assert.deepEqual(mirror && originOf(mirror), { cluster: "east", service: "web" });
    assert.equal(mirror?.spec?.selector, undefined);
    const slice = world.slices.get("shop/web-east-ipv4-4143");
    assert.equal(slice?.metadata.labels?.["kubernetes.io/service-name"], "web-east");
    assert.equal(slice?.metadata.labels?.["multicluster.kubernetes.io/source-cluster"], "east");
    assert.equal(slice?.metadata.labels?.["multicluster.kubernetes.io/service-name"], undefined);
    assert.equal(slice?.metadata.labels?.["endpointslice.kubernetes.io/managed-by"], "mirror.causeway.dev");
  });

  it("makes a slice for each kind of address and relay port", () => {
    const world = new World();
    const gateways = [
      GATEWAY,
      { ...GATEWAY, host: "2001:db8::1" },
      { ...GATEWAY, host: "gw.example.com" },
      { ...GATEWAY, relayPort: 9 },
    ];
    world.converge([peer("east", { services: [web], gateways })]);
    const found = [...world.slices.values()].map((s) => [
      s.addressType,
      s.endpoints?.[0]?.addresses[0],
      s.ports?.[0]?.port,
    ]);
    assert.deepEqual(found.sort(), [
      ["FQDN", "gw.example.com", 4143],
      ["IPv4", "192.0.2.1", 4143],
      ["IPv4", "192.0.2.1", 9],
      ["IPv6", "2001:db8::1", 4143],
    ]);
  });

  it("follows gateways that move, and leaves slices alone while none is known", () => {
    const world = new World();
    world.converge([peer("east", { services: [web] })]);
    world.converge([peer("east", { services: [web], gateways: [] })]);
    assert.equal(world.slices.size, 1);
    world.converge([peer("east", { services: [web], gateways: [{ ...GATEWAY, host: "192.0.2.9" }] })]);
    assert.deepEqual(world.slices.get("shop/web-east-ipv4-4143")?.endpoints?.[0]?.addresses, ["192.0.2.9"]);
  });

  it("labels the slices of a service that is exported to the clusterset, and takes the label off again", () => {
    const world = new World();
    const label = () => [...world.slices.values()][0]?.metadata.labels?.["multicluster.kubernetes.io/service-name"];
    world.converge([peer("east", { services: [{ ...web, clusterset: true }] })]);
    assert.equal(label(), "web");
    world.converge([peer("east", { services: [web] })]);
    assert.equal(label(), undefined);
  });

  it("marks slices of a dead link, or of a service without ready endpoints, not ready, without haste", () => {
    const world = new World();
    world.converge([peer("east", { services: [web] })]);
    for (const over of [{ health: "dead" as const }, { hasReady: () => false }]) {
      const { steps } = world.plan([peer("east", { services: [web], ...over })]);
      assert.deepEqual(
        steps.map((s) => [s.type.plural, s.action, s.lazy]),
        [["endpointslices", "replace", true]],
      );
    }
  });

  it("deletes a mirror whose export is gone", () => {
    const world = new World();
    world.converge([peer("east", { services: [web] })]);
    world.converge([peer("east")]);
    assert.equal(world.services.size + world.slices.size, 0);
  });

  it("deletes nothing that is absent from a peer whose state is not acknowledged", () => {
    const world = new World();
    world.converge([peer("east", { services: [web] })]);
    assert.deepEqual(world.plan([peer("east", { confirmed: false, gateways: [] })]).steps, []);
  });

  it("deletes everything of a cluster without a Link, acknowledged or not", () => {
    const world = new World();
    world.converge([peer("east", { services: [web] })]);
    assert.deepEqual([...world.plan([]).present], ["east"]);
    world.converge([]);
    assert.equal(world.services.size + world.slices.size, 0);
  });

  it("deletes everything of a cluster whose Link imports nothing any more", () => {
    const world = new World();
    world.converge([peer("east", { services: [web] })]);
    world.converge([peer("east", { services: [web], importing: false, confirmed: false })]);
    assert.equal(world.services.size + world.slices.size, 0);
  });

  it("reports a missing namespace and creates nothing there", () => {
    const world = new World();
    const { steps, problems } = world.plan([peer("east", { services: [remoteService("east", "absent", "web")] })]);
    assert.deepEqual(steps, []);
    assert.deepEqual(problems.get("east"), [{ reason: "NamespaceMissing", service: "absent/web", mirror: "web-east" }]);
  });

  it("reports a Service of others under the mirror's name and leaves it as it is", () => {
    const world = new World();
    const theirs = kubeService("shop", "web-east");
    world.services.set("shop/web-east", theirs);
    const { steps, problems } = world.plan([peer("east", { services: [web] })]);
    assert.deepEqual(steps, []);
    assert.equal(problems.get("east")?.[0]?.reason, "NameCollision");
  });

  it("gives a name that two peers claim to the older export, and does not take it away later", () => {
    const world = new World();
    const b = peer("b-c", { services: [remoteService("b-c", "shop", "a", { exportedAtMs: 1 })] });
    const c = peer("c", { services: [remoteService("c", "shop", "a-b", { exportedAtMs: 2 })] });
    assert.deepEqual([...world.converge([b, c]).problems.keys()], ["c"]);
    const older = { ...c, services: [remoteService("c", "shop", "a-b", { exportedAtMs: 0 })] };
    assert.deepEqual([...world.converge([b, older]).problems.keys()], ["c"]);
    assert.deepEqual([...world.converge([{ ...b, services: [] }, older]).problems.keys()], []);
    const mirror = world.services.get("shop/a-b-c");
    assert.deepEqual(mirror && originOf(mirror), { cluster: "c", service: "a-b" });
  });

  it("shortens names over 63 characters and says so", () => {
    const world = new World();
    const { shortened } = world.converge([peer("east", { services: [remoteService("east", "shop", "w".repeat(62))] })]);
    const [name] = shortened.get("east") ?? [];
    assert.equal(name?.length, 63);
    assert.ok(world.services.has(`shop/${name}`));
  });

  it("refuses names that are none, whatever a peer says", () => {
    const world = new World();
    const { steps, problems } = world.plan([
      peer("east", { services: [remoteService("east", "shop", "../x"), remoteService("east", "shop", "Web")] }),
    ]);
    assert.deepEqual(steps, []);
    assert.equal(problems.get("east")?.length, 2);
  });

  it("repairs what others changed and keeps what they added", () => {
    const world = new World();
    const state = [peer("east", { services: [web] })];
    world.converge(state);
    const mirror = world.services.get("shop/web-east") as KubeService;
    world.services.set("shop/web-east", {
      ...mirror,
      metadata: {
        ...mirror.metadata,
        labels: { ...mirror.metadata.labels, team: "x", "causeway.dev/exported": "true" },
        annotations: { note: "y" },
      },
      spec: { ...mirror.spec, selector: { app: "x" }, clusterIP: "10.0.0.7", ports: [{ name: "http", port: 99 }] },
    });
    world.converge(state);
    const repaired = world.services.get("shop/web-east");
    assert.deepEqual(
      [repaired?.spec?.selector, repaired?.spec?.clusterIP, repaired?.spec?.ports?.[0]?.port],
      [undefined, "10.0.0.7", 80],
    );
    assert.deepEqual([repaired?.metadata.labels?.["team"], repaired?.metadata.annotations], ["x", { note: "y" }]);
    assert.equal(repaired?.metadata.labels?.["causeway.dev/exported"], undefined);
  });

  it("replaces a mirror that has to become headless", () => {
    const world = new World();
    world.converge([peer("east", { services: [web] })]);
    world.converge([peer("east", { services: [{ ...web, headless: true }] })]);
    assert.equal(world.services.get("shop/web-east")?.spec?.clusterIP, "None");
  });

  it("settles from any state to any other, never touching what is not ours", () => {
    const service = (cluster: string) =>
      fc
        .record({
          name: fc.constantFrom("a", "a-b", "web"),
          namespace: fc.constantFrom("shop", "absent"),
          headless: fc.boolean(),
          exportedAtMs: fc.nat(3),
          port: fc.constantFrom(80, 81),
        })
        .map(({ name, namespace, port, ...over }) =>
          remoteService(cluster, namespace, name, {
            ...over,
            ports: [{ name: "p", port, protocol: "TCP", appProtocol: "" }],
          }),
        );
    const peers = fc
      .tuple(
        ...["c", "b-c", "east"].map((cluster) =>
          fc
            .record({
              services: fc.uniqueArray(service(cluster), { maxLength: 3, selector: (s) => `${s.namespace}/${s.name}` }),
              importing: fc.boolean(),
              confirmed: fc.boolean(),
              linked: fc.boolean(),
              health: fc.constantFrom("alive" as const, "dead" as const),
            })
            .map(({ linked, ...over }) => (linked ? [peer(cluster, over)] : [])),
        ),
      )
      .map((lists) => lists.flat());
    fc.assert(
      fc.property(fc.array(peers, { minLength: 1, maxLength: 4 }), (history) => {
        const world = new World();
        const theirs = kubeService("shop", "web-east");
        world.services.set("shop/web-east", theirs);
        for (const state of history) {
          world.converge(state);
          assert.equal(world.services.get("shop/web-east"), theirs);
        }
      }),
      { numRuns: 300, seed: 7 },
    );
  });

  it("does not take a foreign object for a mirror because of one label", () => {
    const world = new World();
    const odd = toKube({
      namespace: "shop",
      name: "odd",
      ports: [],
      headless: false,
      sessionAffinity: false,
      labels: { ...mirrorLabels("gone", "odd"), "app.kubernetes.io/managed-by": "helm" },
    });
    world.services.set("shop/odd", odd);
    assert.deepEqual(world.plan([]).steps, []);
  });
});
