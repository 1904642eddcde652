import assert from "node:assert/strict";
import type { ApiObject } from "../object.ts";
import { planRollout } from "./rollout.ts";

function deployment(
  replicas: number,
  rolling: object = { maxSurge: "25%", maxUnavailable: "25%" },
  type = "RollingUpdate",
): ApiObject {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "d" },
    spec: { replicas, strategy: { type, rollingUpdate: rolling } },
  };
}

function set(replicas: number, available: number): ApiObject {
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: { name: "s" },
    spec: { replicas },
    status: { replicas, availableReplicas: available },
  };
}

describe("planRollout()", () => {
  it("gives a new Deployment all its replicas", () => {
    assert.equal(planRollout(deployment(3), undefined, []).current, 3);
  });

  it("adds one above and keeps all available with maxUnavailable 0", () => {
    const spec = deployment(2, { maxSurge: 1, maxUnavailable: 0 });
    assert.deepEqual(planRollout(spec, undefined, [set(2, 2)]).current, 1);
    assert.deepEqual(planRollout(spec, set(1, 0), [set(2, 2)]).old, [2]);
    assert.deepEqual(planRollout(spec, set(1, 1), [set(2, 2)]).old, [1]);
    const last = planRollout(spec, set(1, 1), [set(1, 1)]);
    assert.deepEqual([last.current, ...last.old], [2, 1]);
    assert.deepEqual(planRollout(spec, set(2, 2), [set(1, 1)]).old, [0]);
  });

  it("removes replicas that never became available first", () => {
    assert.deepEqual(planRollout(deployment(2), set(1, 0), [set(2, 0)]).old.length, 1);
    assert.deepEqual(planRollout(deployment(4), set(1, 1), [set(2, 0), set(4, 4)]).old, [0, 2]);
  });

  it("ends the old pods before it starts new ones with Recreate", () => {
    const plan = planRollout(deployment(2, {}, "Recreate"), undefined, [set(2, 2)]);
    assert.deepEqual([plan.current, ...plan.old], [0, 0]);
    assert.equal(planRollout(deployment(2, {}, "Recreate"), set(0, 0), [set(0, 0)]).current, 2);
  });

  it("reaches its end from any state", () => {
    let current = set(0, 0);
    let old = set(5, 5);
    for (let step = 0; step < 20; step++) {
      const plan = planRollout(deployment(5), current, [old]);
      const total = plan.current + (plan.old[0] ?? 0);
      assert.ok(total <= 7, `${total} pods`);
      current = set(plan.current, plan.current);
      old = set(plan.old[0] ?? 0, plan.old[0] ?? 0);
    }
    assert.deepEqual([current["spec"], old["spec"]], [{ replicas: 5 }, { replicas: 0 }]);
  });
});
