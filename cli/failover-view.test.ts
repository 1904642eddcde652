import assert from "node:assert/strict";
import type { Evacuation, FailoverPolicyObject, Link, ServiceImportObject } from "../kube/resources.ts";
import { linkTo } from "../test/support/mirror-world.ts";
import { drainedShares, endpointCounts, type FailoverObjects, failoverViews } from "./failover-view.ts";

const NOW_MS = Date.parse("2030-01-01T00:00:15Z");

function imported(endpoints: string): ServiceImportObject {
  return {
    apiVersion: "multicluster.x-k8s.io/v1alpha1",
    kind: "ServiceImport",
    metadata: { name: "web", namespace: "shop", annotations: { "causeway.dev/endpoints": endpoints } },
    spec: { type: "ClusterSetIP", ports: [] },
    status: { clusters: ["east", "north", "west"].map((cluster) => ({ cluster })) },
  };
}

function policy(spec: FailoverPolicyObject["spec"]): FailoverPolicyObject {
  return {
    apiVersion: "causeway.dev/v1alpha1",
    kind: "FailoverPolicy",
    metadata: { name: "web", namespace: "shop" },
    spec,
  };
}

function evacuation(name: string, spec: Evacuation["spec"]): Evacuation {
  const metadata = { name, creationTimestamp: "2030-01-01T00:00:00Z" };
  return { apiVersion: "causeway.dev/v1alpha1", kind: "Evacuation", metadata, ...(spec ? { spec } : {}) };
}

function linked(cluster: string, status: Link["status"]): Link {
  return { ...linkTo(cluster), ...(status ? { status } : {}) };
}

function objects(over: Partial<FailoverObjects> = {}): FailoverObjects {
  return {
    cluster: "west",
    links: [linked("east", { health: "alive", rttMs: 9 }), linked("north", { health: "alive", rttMs: 2 })],
    imports: [imported("east=2/2,north=2/2,west=2/2")],
    policies: [],
    evacuations: [],
    nowMs: NOW_MS,
    ...over,
  };
}

const shares = (of: FailoverObjects) =>
  failoverViews(of)[0]?.groups.map(({ cluster, share, why }) => `${cluster} ${share} ${why}`);

describe("failoverViews()", () => {
  it("shows the own cluster first, then the nearest, and why the others wait", () => {
    assert.deepEqual(shares(objects()), [
      "west 1 first choice",
      "north 0 standby: those before it can take all",
      "east 0 standby: those before it can take all",
    ]);
  });

  it("says what a dead link, too few endpoints and an evacuation do", () => {
    const links = [linked("east", { health: "alive", rttMs: 9 }), linked("north", { health: "dead", rttMs: 2 })];
    const imports = [imported("east=2/2,north=2/2,west=1/4")];
    assert.deepEqual(shares(objects({ links, imports })), [
      "west 0.35 only 1 of 4 endpoints are ready",
      "north 0 its link is dead",
      "east 0.65 takes what those before it cannot",
    ]);
    assert.deepEqual(shares(objects({ evacuations: [evacuation("west", undefined)] })), [
      "west 0.5 evacuated (50 % so far)",
      "north 0.5 takes what those before it cannot",
      "east 0 standby: those before it can take all",
    ]);
  });

  it("follows a policy, and ignores one that means nothing", () => {
    const weighted = policy({ mode: "weighted", weights: { east: 75, west: 25 } });
    assert.deepEqual(shares(objects({ policies: [weighted] })), [
      "west 0.25 by weight",
      "east 0.75 by weight",
      "north 0 standby: those before it can take all",
    ]);
    const [view] = failoverViews(objects({ policies: [policy({ mode: "weighted", weights: { east: 75 } })] }));
    assert.deepEqual([view?.policy, view?.mode, view?.groups[0]?.cluster], [false, "locality", "west"]);
    assert.match(view?.problems[0] ?? "", /add up to 75/);
  });
});

describe("drainedShares()", () => {
  it("takes what the peer says of itself or what is recorded here, whichever is more", () => {
    const links = [linked("east", { drained: 0.25 }), linked("north", { drained: 1 })];
    const found = drainedShares({ links, evacuations: [evacuation("east", { over: "30s" })], nowMs: NOW_MS });
    assert.deepEqual(
      [...found],
      [
        ["east", 0.5],
        ["north", 1],
      ],
    );
  });
});

describe("endpointCounts()", () => {
  it("reads what the mirror wrote", () => {
    assert.deepEqual(
      [...endpointCounts("a-b=1/2,c=0/0")],
      [
        ["a-b", { ready: 1, total: 2 }],
        ["c", { ready: 0, total: 0 }],
      ],
    );
    assert.deepEqual([...endpointCounts("nonsense"), ...endpointCounts(undefined)], []);
  });
});
