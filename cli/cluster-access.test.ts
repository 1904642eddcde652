import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "mocha";
import { clusterLayout, localKubeconfig } from "../clusters/layout.ts";
import { SUPERVISOR, writeLocalState } from "../clusters/local-state.ts";
import { spawnRecorded } from "../clusters/process-record.ts";
import { hasCode } from "../core/errors.ts";
import { kubeconfigPath } from "./cluster-access.ts";

describe("kubeconfigPath()", () => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "causeway-access-"));
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  it("takes --kubeconfig before $KUBECONFIG, and says when the file is missing", () => {
    const file = join(home, "own");
    writeFileSync(file, "");
    assert.equal(kubeconfigPath({ kubeconfig: file }, { KUBECONFIG: "/elsewhere" }), file);
    assert.throws(
      () => kubeconfigPath({ kubeconfig: join(home, "gone") }, {}),
      (e) => hasCode(e, "USAGE"),
    );
  });

  it("takes $KUBECONFIG before the local clusters', which counts only while they run", async () => {
    const env = { MESH_HOME: home };
    assert.equal(kubeconfigPath({}, env), join(homedir(), ".kube", "config"));
    writeLocalState(home, { registry: "embedded", clusters: [{ cluster: "east", octet: 10 }] });
    assert.equal(kubeconfigPath({}, env), join(homedir(), ".kube", "config"));
    const { runDirectory, directory } = clusterLayout(home, "east", 10);
    mkdirSync(runDirectory, { recursive: true });
    const child = spawnRecorded(runDirectory, SUPERVISOR, ["sleep", "60"], { owner: directory, stdio: "ignore" });
    try {
      assert.equal(kubeconfigPath({}, env), localKubeconfig(home));
      assert.equal(kubeconfigPath({}, { ...env, KUBECONFIG: "/elsewhere" }), "/elsewhere");
    } finally {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await gone;
    }
  });
});
