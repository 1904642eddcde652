import { deepEqual, throws } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readRoutes } from "./routes-file.ts";

describe("readRoutes()", () => {
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "causeway-routes-"));
  });

  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  const read = (text: string) => {
    const file = join(folder, "routes");
    writeFileSync(file, text);
    return [...readRoutes(file)];
  };

  it("readRoutes() reads JSON and YAML, names in lower case", () => {
    deepEqual(read('{"routes": {"A.East.mesh": "10.0.0.1:4143", "b": "[::1]:1"}}'), [
      ["a.east.mesh", { host: "10.0.0.1", port: 4143 }],
      ["b", { host: "::1", port: 1 }],
    ]);
    deepEqual(read("routes:\n  a.east.mesh: web.local:65535\n"), [
      ["a.east.mesh", { host: "web.local", port: 65_535 }],
    ]);
    deepEqual(read("routes: {}"), []);
  });

  it("readRoutes() says which route is wrong", () => {
    throws(() => read("routes: []"), /want \{"routes"/);
    throws(() => read("nothing"), /want \{"routes"/);
    throws(() => read("{"), /Cannot use the routes in .*routes:/);
    throws(() => read('routes: {"a b": "h:1"}'), /"a b" is no server name/);
    throws(() => read('routes: {"a": "h:1", "A": "h:2"}'), /a is there twice/);
    for (const target of ["h", "h:0", "h:65536", ":1", "h:1:2", "[::1]", "h:x"]) {
      throws(() => read(JSON.stringify({ routes: { "a.b": target } })), /a\.b leads to no host:port/);
    }
    throws(() => readRoutes(join(folder, "absent")), /ENOENT/);
  });
});
