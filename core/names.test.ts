import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "mocha";
import { hasCode } from "./errors.ts";
import { isServiceName, mirrorName, parseClusterName } from "./mirror-name.ts";
import { routeName } from "./route-name.ts";

describe("mirrorName()", () => {
  it("joins service and cluster", () => {
    assert.deepEqual(mirrorName("web", "east"), { name: "web-east", shortened: false });
  });
  it("shortens to a valid, distinct name of at most 63 characters", () => {
    const a = mirrorName(`${"s".repeat(60)}`, "east");
    const b = mirrorName(`${"s".repeat(61)}`, "east");
    assert.equal(a.shortened, true);
    assert.notEqual(a.name, b.name);
    for (const { name } of [a, b]) assert.ok(name.length <= 63 && isServiceName(name), name);
  });
  it("always yields a Service name", () => {
    const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/);
    fc.assert(fc.property(label, label, (service, cluster) => isServiceName(mirrorName(service, cluster).name)));
  });
});

describe("parseClusterName()", () => {
  it("refuses what is no DNS label", () => {
    for (const text of ["", "East", "a_b", "-a", "a-", "a.b", "x".repeat(64)]) {
      assert.throws(
        () => parseClusterName(text),
        (e) => hasCode(e, "NAME_INVALID"),
        text,
      );
    }
    assert.equal(parseClusterName("east-1"), "east-1");
  });
});

describe("routeName()", () => {
  const subject = { namespace: "shop", service: "web", port: 80, endpoint: "uid-1" };
  const secret = new Uint8Array(32).fill(7);
  it("is 26 base32 characters under the cluster's domain", () => {
    assert.match(routeName(secret, subject, 1n, "east"), /^[a-z2-7]{26}\.east\.mesh$/);
  });
  it("differs with every part of what it names", () => {
    const names = new Set([
      routeName(secret, subject, 1n, "east"),
      routeName(new Uint8Array(32).fill(8), subject, 1n, "east"),
      routeName(secret, { ...subject, namespace: "sho" }, 1n, "east"),
      routeName(secret, { ...subject, service: "web2" }, 1n, "east"),
      routeName(secret, { ...subject, port: 81 }, 1n, "east"),
      routeName(secret, { ...subject, endpoint: "uid-2" }, 1n, "east"),
      routeName(secret, subject, 2n, "east"),
    ]);
    assert.equal(names.size, 7);
  });
});
