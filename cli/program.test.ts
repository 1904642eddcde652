import assert from "node:assert/strict";
import { InvalidArgumentError } from "commander";
import { appSocket } from "./program.ts";

describe("appSocket()", () => {
  it("gathers a socket for each port", () => {
    const one = appSocket("8080=/run/web.sock");
    assert.deepEqual(appSocket("9090=/run/a=b.sock", one), { 8080: "/run/web.sock", 9090: "/run/a=b.sock" });
  });

  it("refuses what names no port, no absolute path, or a port twice", () => {
    for (const bad of ["", "8080", "=/a", "0=/a", "70000=/a", "x=/a", "80=a", `80=/${"x".repeat(107)}`]) {
      assert.throws(() => appSocket(bad), InvalidArgumentError, bad);
    }
    assert.throws(() => appSocket("80=/b", { 80: "/a" }), InvalidArgumentError);
  });
});
