import { deepEqual, equal, match } from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { output } from "./support/commands.ts";
import { LocalMesh, reached } from "./support/local-mesh.ts";

const WEB_EAST = "web-east.shop.svc.cluster.local";

describe("two clusters on a machine without Redis", () => {
  let directory: string;
  let mesh: LocalMesh;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "causeway-path-"));
    const programs = join(directory, "bin");
    mkdirSync(programs);
    // All that is needed from PATH, and no redis-server.
    for (const program of ["node", "sh", "curl", "kubectl", "cat"]) {
      const path = (await output("sh", ["-c", `command -v ${program}`])).trim();
      symlinkSync(path, join(programs, program));
    }
    mesh = await LocalMesh.start({ env: { PATH: programs } });
  });

  after(async () => {
    await mesh?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it("run control, gateway and mirror in one process each, and say so", async () => {
    for (const cluster of mesh.clusters) {
      const names = mesh.records(cluster).map((record) => record.name.replace(/^pod-.*/, "pod"));
      deepEqual([...new Set(names)].sort(), ["apiserver", "node", "pod", "serve", "supervisor"]);
    }
    const again = await mesh.meshOutput(...mesh.upArguments());
    match(again, /on the embedded registry \(redis-server is not installed\)/);
  });

  it("link, export and call as with Redis", async () => {
    await mesh.meshOutput("link", "--context", "east");
    await mesh.meshOutput("export", "shop/web", "--context", "east");
    equal((await mesh.answered("west", WEB_EAST, "east")).client, "spiffe://west.mesh/ns/shop/sa/client");
  });

  for (const cluster of ["west", "east"]) {
    it(`are whole again after mesh serve of ${cluster} was killed, with all that its registry held`, async () => {
      const killed = await mesh.kill(cluster, "serve");
      await mesh.restarted(cluster, killed);
      await mesh.linkActive("west", "east");
      await mesh.answered("west", WEB_EAST, "east");
      await reached("the mirror is still there", async () => {
        return (await mesh.names("west", "-n", "shop", "service", "web-east")).length === 1;
      });
    });
  }

  it("unlink as with Redis", async () => {
    await mesh.meshOutput("unlink", "east");
    await mesh.serviceThere("west", "web-east", false);
    await reached("east has no link either", async () => (await mesh.names("east", "links")).length === 0);
  });
});
