import assert from "node:assert/strict";
import { resolveBuiltin } from "../schema/builtin.ts";
import { applyJsonPatch } from "./json-patch.ts";
import { applyMergePatch } from "./merge-patch.ts";
import { applyStrategicMerge } from "./strategic-merge.ts";

describe("applyJsonPatch()", () => {
  it("adds, replaces, removes, moves, copies and tests, leaving its input alone", () => {
    const target = { a: { "x/y": 1 }, list: [1, 3] };
    const patched = applyJsonPatch(target, [
      { op: "test", path: "/a/x~1y", value: 1 },
      { op: "add", path: "/list/1", value: 2 },
      { op: "add", path: "/list/-", value: 4 },
      { op: "copy", from: "/list/0", path: "/first" },
      { op: "move", from: "/a/x~1y", path: "/moved" },
      { op: "replace", path: "/a", value: "gone" },
      { op: "remove", path: "/list/0" },
    ]);
    assert.deepEqual(patched, { a: "gone", list: [2, 3, 4], first: 1, moved: 1 });
    assert.deepEqual(target, { a: { "x/y": 1 }, list: [1, 3] });
  });

  it("refuses a path that does not exist, a failed test and an unknown operation", () => {
    assert.throws(() => applyJsonPatch({}, [{ op: "remove", path: "/no" }]), /does not exist/);
    assert.throws(() => applyJsonPatch({}, [{ op: "replace", path: "/no", value: 1 }]), /does not exist/);
    assert.throws(() => applyJsonPatch({ a: 1 }, [{ op: "test", path: "/a", value: 2 }]), /failed/);
    assert.throws(() => applyJsonPatch({}, [{ op: "jump", path: "/a" }]), /unknown/);
    assert.throws(() => applyJsonPatch({ l: [] }, [{ op: "add", path: "/l/2", value: 1 }]), /out of range/);
  });

  it("does not reach prototypes", () => {
    applyJsonPatch({}, [{ op: "add", path: "/__proto__", value: { polluted: true } }]);
    assert.throws(() => applyJsonPatch({}, [{ op: "add", path: "/constructor/prototype/x", value: 1 }]));
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  });
});

describe("applyMergePatch()", () => {
  it("merges objects, replaces lists and deletes with null (RFC 7386)", () => {
    const patched = applyMergePatch({ a: { b: 1, c: 2 }, l: [1, 2] }, { a: { b: null, d: { e: null, f: 1 } }, l: [3] });
    assert.deepEqual(patched, { a: { c: 2, d: { f: 1 } }, l: [3] });
  });
});

describe("applyStrategicMerge()", () => {
  const deployment = { ref: "V1Deployment" };
  const pod = (containers: object[]) => ({ spec: { template: { spec: { containers } } } });
  const merge = (target: object, patch: object) => applyStrategicMerge(target, patch, deployment, resolveBuiltin);

  it("merges lists by their merge key and keeps what the patch does not name", () => {
    const target = pod([
      { name: "a", image: "1", env: [{ name: "X", value: "1" }] },
      { name: "b", image: "1" },
    ]);
    const patched = merge(target, pod([{ name: "a", image: "2", env: [{ name: "Y", value: "2" }] }]));
    const env = [
      { name: "X", value: "1" },
      { name: "Y", value: "2" },
    ];
    assert.deepEqual(
      patched,
      pod([
        { name: "a", image: "2", env },
        { name: "b", image: "1" },
      ]),
    );
  });

  it("obeys $patch delete and replace", () => {
    const target = pod([{ name: "a", env: [{ name: "X", value: "1" }] }, { name: "b" }]);
    assert.deepEqual(merge(target, pod([{ $patch: "delete", name: "a" }])), pod([{ name: "b" }]));
    assert.deepEqual(merge(target, pod([{ $patch: "replace" }, { name: "c" }])), pod([{ name: "c" }]));
    assert.deepEqual(merge({ spec: { selector: { a: 1 } } }, { spec: { selector: { $patch: "replace", b: 2 } } }), {
      spec: { selector: { b: 2 } },
    });
  });

  it("orders by $setElementOrder", () => {
    const target = pod([{ name: "a" }, { name: "b" }, { name: "c" }]);
    const patch = {
      spec: {
        template: {
          spec: {
            "$setElementOrder/containers": [{ name: "c" }, { name: "a" }],
            containers: [{ name: "c", image: "2" }],
          },
        },
      },
    };
    assert.deepEqual(merge(target, patch), pod([{ name: "c", image: "2" }, { name: "b" }, { name: "a" }]));
  });

  it("drops what $retainKeys does not name", () => {
    const target = { spec: { strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } } } };
    const patched = merge(target, { spec: { strategy: { $retainKeys: ["type"], type: "Recreate" } } });
    assert.deepEqual(patched, { spec: { strategy: { type: "Recreate" } } });
  });

  it("merges and deletes in lists of primitives", () => {
    const target = { metadata: { finalizers: ["a", "b"] } };
    assert.deepEqual(merge(target, { metadata: { finalizers: ["c"] } }), { metadata: { finalizers: ["a", "b", "c"] } });
    assert.deepEqual(merge(target, { metadata: { "$deleteFromPrimitiveList/finalizers": ["a"] } }), {
      metadata: { finalizers: ["b"] },
    });
  });

  it("replaces lists without a merge key", () => {
    const target = { spec: { template: { spec: { tolerations: [{ key: "a" }] } } } };
    const patch = { spec: { template: { spec: { tolerations: [{ key: "b" }] } } } };
    assert.deepEqual(merge(target, patch), patch);
  });
});
