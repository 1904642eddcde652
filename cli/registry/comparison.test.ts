import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { ManualClock } from "../../core/clock.ts";
import { LABELS } from "../../core/defaults.ts";
import { parseTrustDomain } from "../../core/identity.ts";
import { digestOf } from "../../gateway/federation/outbox.ts";
import type { RouteObject } from "../../kube/gateway-api.ts";
import type { FailoverPolicyObject, KubeService, Link } from "../../kube/resources.ts";
import { MemoryStore } from "../../registry/memory-store.ts";
import { storeAccess } from "./access.ts";
import { type ClusterFacts, compareRegistry } from "./comparison.ts";

const web: KubeService = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "shop" },
  spec: { clusterIP: "10.0.0.1", ports: [{ name: "http", port: 80 }] },
};

const joined = { type: "Joined", status: "True", reason: "Joined", message: "", lastTransitionTime: "" } as const;

function link(cluster: string): Link {
  return {
    apiVersion: "causeway.dev/v1alpha1",
    kind: "Link",
    metadata: { name: cluster },
    spec: {
      cluster,
      trustDomain: `${cluster}.mesh`,
      gateways: [],
      rootFingerprint: "",
      dial: true,
      import: true,
      export: true,
      secretName: "",
    },
    status: { phase: "connecting", conditions: [joined] },
  };
}

const facts: ClusterFacts = {
  trustDomain: parseTrustDomain("west.mesh"),
  root: "cm9vdA==",
  services: [web],
  slices: [],
  pods: [],
  exports: [],
  links: [],
  gateways: [],
  routes: [],
  grants: [],
  imports: [],
  policies: [],
};

const OWN: Record<string, string> = {
  "local/service/shop/web":
    '{"namespace":"shop","name":"web","ports":[{"name":"http","port":80,"protocol":"TCP","appProtocol":""}],"headless":false,"clusterIps":["10.0.0.1"],"sessionAffinity":false}',
  "local/endpoints/shop/web": '{"namespace":"shop","name":"web","endpoints":[]}',
  "local/ready/mirror": '{"sinceMs":1}',
  "local/bundle/west.mesh": '{"x509Authorities":["cm9vdA=="]}',
};

/** What differs in a registry that holds `values` one after the other. */
async function differences(values: Record<string, string>, of: Partial<ClusterFacts> = {}): Promise<string[]> {
  const store = new MemoryStore({ clock: new ManualClock() });
  const fence = await store.acquire("all", "test", 60_000);
  assert.ok(fence);
  for (const [key, value] of Object.entries(values)) await store.write([{ key, value }], fence);
  const dump = await storeAccess(store).dump();
  await store.close();
  return compareRegistry(dump, { ...facts, ...of }).map(({ key, problem }) => `${problem} ${key}`);
}

function digest(values: Record<string, string>): { count: number; sha256: string } {
  const prints = Object.entries(values).map(([name, value]): [string, string] => [
    name,
    createHash("sha256").update(value).digest("base64"),
  ]);
  const { count, sha256 } = digestOf(new Map(prints));
  return { count, sha256: sha256.toString("hex") };
}

describe("compareRegistry()", () => {
  it("finds nothing where the registry is as Kubernetes has it", async () => {
    assert.deepEqual(await differences(OWN), []);
  });

  it("finds Services that are missing, different, unexpected or unreadable", async () => {
    const { "local/service/shop/web": _, ...without } = OWN;
    assert.deepEqual(await differences(without), ["missing local/service/shop/web"]);
    const changed = OWN["local/service/shop/web"]?.replace("80", "81") ?? "";
    assert.deepEqual(await differences({ ...OWN, "local/service/shop/web": changed }), [
      "different local/service/shop/web",
    ]);
    assert.deepEqual(await differences({ ...OWN, "local/endpoints/shop/gone": "{}" }), [
      "unexpected local/endpoints/shop/gone",
    ]);
    assert.deepEqual(await differences({ ...OWN, "local/service/shop/web": "no JSON" }), [
      "unreadable local/service/shop/web",
    ]);
  });

  it("finds an empty registry wanting in all", async () => {
    assert.deepEqual(await differences({}), [
      "missing local/bundle/west.mesh",
      "missing local/endpoints/shop/web",
      "missing local/ready/mirror",
      "missing local/service/shop/web",
    ]);
  });

  it("finds rules, addresses and policies that are missing, different or left over", async () => {
    const route: RouteObject = {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "HTTPRoute",
      metadata: { name: "canary", namespace: "shop" },
      spec: {
        parentRefs: [{ kind: "Service", group: "", name: "web", port: 80 }],
        rules: [{ backendRefs: [{ name: "web", port: 80 }] }],
      },
    };
    const mirror: KubeService = {
      apiVersion: "v1",
      kind: "Service",
      metadata: {
        name: "web-east",
        namespace: "shop",
        labels: {
          [LABELS.managedBy]: LABELS.managedByValue,
          [LABELS.originCluster]: "east",
          [LABELS.originService]: "web",
        },
      },
      spec: { clusterIP: "10.0.0.9", ports: [{ name: "http", port: 80 }] },
    };
    const policy: FailoverPolicyObject = {
      apiVersion: "causeway.dev/v1alpha1",
      kind: "FailoverPolicy",
      metadata: { name: "web", namespace: "shop" },
      spec: { mode: "locality" },
    };
    const of = { routes: [route], services: [web, mirror], policies: [policy] };
    const keys = ["local/failover/shop/web", "local/route/shop/web", "local/vip/10.0.0.9"];
    assert.deepEqual(
      await differences(OWN, of),
      keys.map((key) => `missing ${key}`),
    );
    const left = Object.fromEntries(keys.map((key) => [key, "{}"]));
    assert.deepEqual(
      await differences({ ...OWN, ...left }, of),
      keys.map((key) => `different ${key}`),
    );
    assert.deepEqual(
      await differences({ ...OWN, ...left }),
      keys.map((key) => `unexpected ${key}`),
    );
    const invalid = { ...policy, spec: { mode: "nonsense" } };
    assert.deepEqual(await differences(OWN, { policies: [invalid] }), [], "one that does not hold is nowhere");
  });

  it("finds a bundle without the root that Kubernetes publishes", async () => {
    const other = { ...OWN, "local/bundle/west.mesh": '{"x509Authorities":[]}' };
    assert.deepEqual(await differences(other), ["different local/bundle/west.mesh"]);
  });

  it("finds what is left of clusters that are not linked, and lacks of those that are", async () => {
    const left = { ...OWN, "peer/service/north/shop/web": "{}" };
    assert.deepEqual(await differences(left), ["unexpected peer/service/north/shop/web"]);
    assert.deepEqual(await differences(OWN, { links: [link("east")] }), [
      "missing peer/bundle/east/",
      "missing peer/link/east",
    ]);
  });

  it("compares what is stored of a peer with the digest agreed on, unless something is newer than that", async () => {
    const service = '{"name":"web"}';
    const peer = {
      ...OWN,
      "peer/link/east": "{}",
      "peer/bundle/east/east.mesh": "{}",
      "peer/service/east/shop/web": service,
    };
    const agreed = JSON.stringify({ service: digest({ "shop/web": service }), endpoints: digest({}) });
    const links = [link("east")];
    assert.deepEqual(await differences({ ...peer, "peer/digest/east": agreed }, { links }), []);
    const { "peer/service/east/shop/web": _, ...lost } = peer;
    assert.deepEqual(await differences({ ...lost, "peer/digest/east": agreed }, { links }), [
      "different peer/service/east/",
    ]);
    const newer = { ...lost, "peer/digest/east": agreed, "peer/service/east/shop/other": service };
    assert.deepEqual(await differences(newer, { links }), []);
  });

  it("compares with mirrors only while the link is active", async () => {
    const peer = {
      ...OWN,
      "peer/link/east": "{}",
      "peer/bundle/east/east.mesh": "{}",
      "peer/service/east/shop/web": "{}",
    };
    const linked = link("east");
    assert.deepEqual(await differences(peer, { links: [linked] }), []);
    const active = { ...linked, status: { ...linked.status, phase: "active" } };
    assert.deepEqual(await differences(peer, { links: [active] }), ["unexpected peer/service/east/shop/web"]);
  });
});
