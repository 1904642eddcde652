import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasCode } from "../core/errors.ts";
import { readWorkloads } from "./workloads-file.ts";

const WEB = { namespace: "shop", serviceAccount: "web", pod: "web-0", address: "10.0.0.7", tokenFile: "/t/web" };

describe("readWorkloads()", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "causeway-workloads-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const written = (content: unknown): string => {
    const path = join(folder, "workloads.yaml");
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  };

  it("reads YAML and JSON", () => {
    assert.deepEqual(readWorkloads(written({ workloads: [WEB] })), [WEB]);
    const withSocket = { ...WEB, appSockets: { 8080: "/run/web.sock" } };
    assert.deepEqual(readWorkloads(written({ workloads: [withSocket] })), [withSocket]);
    const yaml = "workloads:\n- {namespace: a, serviceAccount: b, pod: c, address: d, tokenFile: e, inboundPort: 9}\n";
    assert.deepEqual(readWorkloads(written(yaml)), [
      { namespace: "a", serviceAccount: "b", pod: "c", address: "d", tokenFile: "e", inboundPort: 9 },
    ]);
  });

  for (const [what, content, message] of [
    ["no list", {}, /want \{"workloads": \[…\]\}/],
    ["broken YAML", "a: [", /Cannot use the workloads in /],
    ["an entry that is no object", { workloads: [1] }, /entry 1 is no object/],
    ["a missing field", { workloads: [WEB, { ...WEB, pod: undefined }] }, /entry 2 lacks "pod"/],
    ["a field of the wrong type", { workloads: [{ ...WEB, zone: 7 }] }, /entry 1 needs "zone" to be text/],
    ["a port out of range", { workloads: [{ ...WEB, inboundPort: 70_000 }] }, /needs "inboundPort" to be a port/],
    ["a socket without a port", { workloads: [{ ...WEB, appSockets: { x: "/a" } }] }, /needs "appSockets" to be \{/],
    ["a socket with a relative path", { workloads: [{ ...WEB, appSockets: { 80: "a" } }] }, /needs "appSockets" to be/],
    ["sockets that are no object", { workloads: [{ ...WEB, appSockets: "80=/a" }] }, /needs "appSockets" to be/],
    ["a misspelt field", { workloads: [{ ...WEB, token: "x" }] }, /unknown field "token"/],
    ["a workload named twice", { workloads: [WEB, WEB] }, /shop\/web-0 is named twice/],
  ] as const) {
    it(`refuses ${what}, and says where it is`, () => {
      assert.throws(
        () => readWorkloads(written(content)),
        (error: unknown) => hasCode(error, "USAGE") && message.test(String((error as Error).message)),
      );
    });
  }

  it("refuses a file that is not there", () => {
    assert.throws(
      () => readWorkloads(join(folder, "none")),
      (error) => hasCode(error, "USAGE"),
    );
  });
});
