import assert from "node:assert/strict";
import { humanDuration } from "./columns.ts";
import { parseJsonPath } from "./json-path.ts";
import { nameFaults } from "./metadata.ts";

describe("humanDuration()", () => {
  for (const [ms, text] of [
    [500, "0s"],
    [119_000, "119s"],
    [200_000, "3m20s"],
    [3_600_000 * 5, "5h"],
    [3_600_000 * 50, "2d2h"],
    [86_400_000 * 400, "400d"],
  ] as const) {
    it(`shows ${ms} ms as ${text}`, () => assert.equal(humanDuration(ms), text));
  }
});

describe("parseJsonPath()", () => {
  const object = {
    spec: { ports: [{ port: 1 }, { port: 2 }] },
    status: { conditions: [{ type: "Ready", status: "True" }] },
    metadata: { labels: { "a.b/c": "x" } },
  };
  for (const [path, value] of [
    [".spec.ports[1].port", 2],
    [".spec.ports[*].port", "1,2"],
    ['.status.conditions[?(@.type=="Ready")].status', "True"],
    [".metadata.labels.a\\.b/c", "x"],
    [".status.none", undefined],
  ] as const) {
    it(`reads ${path}`, () => assert.equal(parseJsonPath(path)?.(object), value));
  }

  it("is undefined for what it cannot read", () => assert.equal(parseJsonPath(".a[?(@.b>1)]"), undefined));
});

describe("nameFaults()", () => {
  it("knows labels, subdomains and path segments", () => {
    assert.deepEqual(nameFaults("a-1", "label"), []);
    assert.equal(nameFaults("a.b", "label").length, 1);
    assert.deepEqual(nameFaults("a.b", "subdomain"), []);
    assert.equal(nameFaults("1a", "label1035").length, 1);
    assert.equal(nameFaults("x".repeat(64), "label").length, 1);
    assert.deepEqual(nameFaults("system:x", "path"), []);
  });
});
