import assert from "node:assert/strict";
import { FieldsView } from "./fields-view.ts";
import { changeOf } from "./header-change.ts";
import { changedPath, changedTarget, locationOf, type Redirect } from "./target-change.ts";

describe("changedPath()", () => {
  // The table of HTTPPathModifier in Gateway API.
  for (const [path, prefix, replacement, result] of [
    ["/foo/bar", "/foo", "/xyz", "/xyz/bar"],
    ["/foo/bar", "/foo", "/xyz/", "/xyz/bar"],
    ["/foo", "/foo", "/xyz", "/xyz"],
    ["/foo/", "/foo", "/xyz", "/xyz/"],
    ["/foo/bar", "/foo", "", "/bar"],
    ["/foo/", "/foo", "", "/"],
    ["/foo", "/foo", "", "/"],
    ["/foo/", "/foo", "/", "/"],
    ["/foo", "/foo", "/", "/"],
    ["/foo", "", "/xyz", "/xyz/foo"],
  ] as const) {
    it(`makes ${result} of ${path} where ${prefix || "/"} becomes ${replacement || "nothing"}`, () => {
      assert.equal(changedPath(path, { kind: "prefix", value: replacement }, prefix.length), result);
    });
  }

  it("replaces the whole path and keeps the query", () => {
    const view = new FieldsView().look([{ name: ":path", value: "/a?b=/c" }]);
    assert.equal(changedTarget(view, { kind: "full", value: "/x" }, 2), "/x?b=/c");
  });
});

describe("locationOf()", () => {
  const redirect: Redirect = { kind: "redirect", scheme: "", host: "", port: 0, status: 302 };
  const view = new FieldsView().look([{ name: ":path", value: "/a/b?c" }]);
  const to = (more: Partial<Redirect>, port = 80) => locationOf({ ...redirect, ...more }, view, "web.shop", port, 2);

  it("keeps what it does not name, and hides the well-known port", () => {
    assert.equal(to({ host: "other" }), "http://other/a/b?c");
    assert.equal(to({ host: "other" }, 8080), "http://other:8080/a/b?c");
  });

  it("takes the well-known port of a scheme that it names, and the port that it names before all", () => {
    assert.equal(to({ scheme: "https" }, 8080), "https://web.shop/a/b?c");
    assert.equal(to({ scheme: "https", port: 8443 }, 8080), "https://web.shop:8443/a/b?c");
    assert.equal(to({ scheme: "http", port: 80 }, 8080), "http://web.shop/a/b?c");
    assert.equal(to({ port: 443 }), "http://web.shop:443/a/b?c");
  });

  it("changes the path", () => {
    assert.equal(to({ path: { kind: "prefix", value: "/z" } }), "http://web.shop/z/b?c");
    assert.equal(to({ path: { kind: "full", value: "/z" } }), "http://web.shop/z?c");
  });
});

describe("changeOf()", () => {
  it("sets, adds and removes in the order of the filters", () => {
    const change = changeOf([
      { set: [{ name: "a", value: "1" }], add: [{ name: "b", value: "2" }], remove: ["c"] },
      { set: [], add: [{ name: "c", value: "3" }], remove: ["b"] },
    ]);
    assert.equal(change?.lines.toString(), "a: 1\r\nc: 3\r\n");
    assert.deepEqual(
      change?.dropped.map(({ text }) => text),
      ["a", "c", "b"],
    );
  });

  it("leaves alone what frames a message, what is the mesh's, and what could end a line", () => {
    const names = ["content-length", "transfer-encoding", "host", "connection", ":path", "x-causeway-client-id", "a b"];
    const set = [...names.map((name) => ({ name, value: "1" })), { name: "a", value: "1\r\nb: 2" }];
    assert.equal(changeOf([{ set, add: set, remove: names }]), undefined);
  });
});
