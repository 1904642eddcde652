import assert from "node:assert/strict";
import { registryArguments } from "./registry-options.ts";

describe("registryArguments()", () => {
  it("names files by their whole path, and what is for Sentinels only where there are any", () => {
    const flags = { registryUser: "mesh", registryPasswordFile: "/a/pw", registrySentinelPasswordFile: "/a/sentinel" };
    const common = ["--registry-user", "mesh", "--registry-password-file", "/a/pw"];
    assert.deepEqual(registryArguments("redis://h:1", flags), ["--registry", "redis://h:1", ...common]);
    const url = "rediss+sentinel://h:1/m";
    assert.deepEqual(registryArguments(url, flags), [
      ...["--registry", url, ...common],
      ...["--registry-sentinel-password-file", "/a/sentinel"],
    ]);
    const [, , , file = ""] = registryArguments("redis://h:1", { registryCa: "ca.pem" });
    assert.equal(file, `${process.cwd()}/ca.pem`);
  });
});
