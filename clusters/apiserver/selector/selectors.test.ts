import assert from "node:assert/strict";
import { parseFieldSelector } from "./fields.ts";
import { matchLabelSelector, parseLabelSelector } from "./labels.ts";

describe("parseLabelSelector()", () => {
  const labels = { app: "web", tier: "front", "example.com/n": "5" };
  for (const text of [
    "",
    "app=web",
    "app==web,tier!=back",
    "app in (web,api)",
    "tier notin (back)",
    "app",
    "!gone",
    "example.com/n>4",
    "gone!=x",
  ]) {
    it(`matches "${text}"`, () => assert.ok(parseLabelSelector(text)(labels)));
  }
  for (const text of ["app=api", "app notin (web)", "!app", "gone", "app in (api)", "example.com/n<5"]) {
    it(`does not match "${text}"`, () => assert.ok(!parseLabelSelector(text)(labels)));
  }
  for (const text of ["a b", "=x", "app in web", "app=a b", "app=$"]) {
    it(`refuses "${text}"`, () => assert.throws(() => parseLabelSelector(text), /unable to parse/));
  }
});

describe("matchLabelSelector()", () => {
  it("takes matchLabels and matchExpressions together, and nothing for no selector", () => {
    const match = matchLabelSelector({
      matchLabels: { a: "1" },
      matchExpressions: [{ key: "b", operator: "NotIn", values: ["2"] }],
    });
    assert.ok(match({ a: "1" }));
    assert.ok(!match({ a: "1", b: "2" }));
    assert.ok(!matchLabelSelector(undefined)({}));
    assert.ok(matchLabelSelector({})({}));
  });
});

describe("parseFieldSelector()", () => {
  const fields = new Set(["metadata.name", "spec.nodeName"]);
  const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "a" }, spec: {} };

  it("compares fields, an absent one as empty", () => {
    assert.ok(parseFieldSelector("metadata.name=a,spec.nodeName=", fields)(pod));
    assert.ok(!parseFieldSelector("metadata.name!=a", fields)(pod));
  });

  it("refuses a field that the kind does not support", () => {
    assert.throws(() => parseFieldSelector("spec.x=1", fields), /field label not supported: spec.x/);
  });
});
