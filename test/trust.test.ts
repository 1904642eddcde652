import { deepEqual, equal, match, notDeepEqual, ok } from "node:assert/strict";
import { CA_NAMESPACE, SYSTEM_NAMESPACE } from "../core/defaults.ts";
import { LocalMesh, reached } from "./support/local-mesh.ts";
import { MeshTraffic } from "./support/mesh-traffic.ts";

const WEB_EAST = "web-east.shop.svc.cluster.local";

interface TrustJson {
  readonly sequence: string;
  readonly roots: readonly { readonly fingerprint: string; readonly state: string }[];
  readonly peers: readonly { readonly cluster: string; readonly acknowledged: string; readonly current: boolean }[];
  readonly rotations: readonly { readonly name: string; readonly phase: string; readonly waitingFor: string[] }[];
}

describe("the trust of two linked clusters", () => {
  const traffic = new MeshTraffic();
  let mesh: LocalMesh;

  before(async () => {
    mesh = await LocalMesh.start();
    await mesh.meshOutput("link", "--context", "east");
    await mesh.meshOutput("export", "shop/web", "--context", "east");
    await mesh.answered("west", WEB_EAST, "east");
  });
  after(async () => {
    await mesh?.stop();
  });

  const trust = async (cluster: string) =>
    JSON.parse(await mesh.meshOutput("trust", "status", "--context", cluster, "-o", "json")) as TrustJson;
  const signing = async (cluster: string) => (await trust(cluster)).roots.find(({ state }) => state === "signs");

  it("has the CA's keys where the gateway's account may not read them", async () => {
    deepEqual((await mesh.names("east", "-n", CA_NAMESPACE, "secrets")).sort(), [
      "secret/causeway-ca",
      "secret/causeway-ca-root",
    ]);
    const others = await mesh.names("east", "-n", SYSTEM_NAMESPACE, "secrets");
    deepEqual(
      others.filter((name) => !/^secret\/causeway-(link|join)-/.test(name)),
      [],
    );
  });

  it("rotates both roots under load: waits for a peer that is away, goes on by itself, restarts nothing", async () => {
    const before = { east: await signing("east"), west: await signing("west") };
    const processes = () => ["east", "west"].flatMap((cluster) => mesh.records(cluster).map(({ pid }) => pid)).sort();
    const running = processes();
    await traffic.start(mesh, "west", [WEB_EAST, "web.shop.svc.clusterset.local"]);
    const away = mesh.record("west", "gateway");
    ok(away !== undefined);
    process.kill(away.pid, "SIGSTOP");
    try {
      const told = await mesh.meshOutput("trust", "rotate", "--context", "east", "--wait", "3s");
      match(told, /Distributed, waiting for west/);
      deepEqual(await signing("east"), before.east);
      const again = await mesh.mesh("trust", "rotate", "--context", "east");
      match(again.stderr, /^ROTATION_UNDER_WAY: /);
    } finally {
      process.kill(away.pid, "SIGCONT");
    }
    await reached("east signs under its new root", async () => (await trust("east")).rotations[0]?.phase === "Active");
    match(await mesh.meshOutput("trust", "rotate", "--context", "west"), /Active/);
    for (const cluster of ["east", "west"] as const) {
      notDeepEqual(await signing(cluster), before[cluster]);
      equal((await trust(cluster)).roots.length, 2);
    }
    deepEqual(processes(), running);
    console.log(`      ${await traffic.stop()}`);
    // A sidecar that starts now has a certificate under the new root.
    const uid = await mesh.kubectl(
      "east",
      "-n",
      "shop",
      "get",
      "pod",
      "-l",
      "app=web",
      "-o",
      "jsonpath={.items[0].metadata.uid}",
    );
    await mesh.restarted("east", await mesh.kill("east", `pod-${uid}-causeway-proxy`));
    await mesh.answered("west", WEB_EAST, "east");
  });

  it("refuses to take back a root that is in use, and does when forced: workloads get new certificates", async () => {
    const refused = await mesh.mesh("trust", "retire", "--context", "west");
    match(refused.stderr, /^ROTATION_UNDER_WAY: .* valid until /);
    await mesh.meshOutput("trust", "retire", "--force", "--context", "west");
    await reached("the old root is gone", async () => (await trust("west")).rotations[0]?.phase === "Retired");
    await reached("east has acknowledged", async () => (await trust("west")).peers[0]?.current === true);
    await mesh.answered("west", WEB_EAST, "east");
    deepEqual(
      (await trust("west")).roots.map(({ state }) => state),
      ["signs"],
    );
  });
});
