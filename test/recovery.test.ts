import { deepEqual, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { ownedProcesses } from "../clusters/process-record.ts";
import { systemClock } from "../core/clock.ts";
import { PORTS } from "../core/defaults.ts";
import { Traffic } from "../drills/traffic.ts";
import { LocalMesh, reached } from "./support/local-mesh.ts";

const WEB_EAST = "web-east.shop.svc.cluster.local";

type Listed = { items: { kind: string; metadata: { name: string; uid: string; resourceVersion: string } }[] };

describe("two linked clusters of which a process is killed", () => {
  let mesh: LocalMesh;
  let services = 0;
  let running: Traffic | undefined;

  before(async () => {
    mesh = await LocalMesh.start();
    await mesh.meshOutput("link", "--context", "east");
    await mesh.meshOutput("export", "shop/web", "--context", "east");
    await mesh.answered("west", WEB_EAST, "east");
  });

  afterEach(async () => {
    await running?.stop();
    running = undefined;
  });

  after(async () => {
    await mesh?.stop();
  });

  /** GETs from west's client, until stopped. */
  async function callSteadily(host: string): Promise<Traffic> {
    const proxy = { host: await mesh.podAddress("west", "client"), port: PORTS.outbound };
    const options = { url: `http://${host}/?whoami`, proxy, perSecond: 20, timeoutMs: 60_000, headers: {} };
    running = new Traffic(options, systemClock);
    running.start();
    const traffic = running;
    await reached(`${host} answers`, () => traffic.samples.some((sample) => sample.error === ""));
    return running;
  }

  /** A service that is made and exported in east gets to west and can be called there. */
  async function changesPropagate(): Promise<void> {
    const name = `later-${++services}`;
    const port = 8_100 + services;
    await mesh.kubectlApply(
      "east",
      `apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop, labels: { causeway.dev/exported: "true" } }
spec:
  selector: { app: web }
  ports: [{ name: http, port: ${port}, targetPort: http, appProtocol: http }]
`,
    );
    await mesh.answered("west", `${name}-east.shop.svc.cluster.local:${port}`, "east");
    await mesh.kubectl("east", "-n", "shop", "delete", "service", name);
    await mesh.serviceThere("west", `${name}-east`, false);
  }

  for (const [cluster, victim] of [
    ["east", "gateway"],
    ["west", "gateway"],
    ["west", "control"],
    ["east", "control"],
    ["west", "mirror"],
    ["east", "mirror"],
    ["west", "redis"],
    ["east", "redis"],
    ["west", "apiserver"],
    ["east", "apiserver"],
  ] as const) {
    it(`goes on without ${cluster}'s ${victim}, and is whole again when it is back`, async () => {
      const local = await callSteadily("web.shop.svc.cluster.local");
      const killed = await mesh.kill(cluster, victim);
      // While it is away, or just back, west's client still reaches its own cluster, and soon the other one too.
      await mesh.answered("west", WEB_EAST, "east");
      await mesh.restarted(cluster, killed);
      await mesh.linkActive("west", "east");
      await changesPropagate();
      await local.stop();
      const failures = local.samples.filter((sample) => sample.error !== "");
      deepEqual(failures, [], "calls within west do not notice");
    });
  }

  it("needs neither registry, mirror nor control for calls that know their way", async () => {
    await mesh.whoami("west", WEB_EAST);
    const local = await callSteadily("web.shop.svc.cluster.local");
    // All at once, and again as soon as the supervisor has brought them back.
    for (let round = 0; round < 2; round++) {
      const killed = await Promise.all(["redis", "mirror", "control"].map((name) => mesh.kill("west", name)));
      deepEqual((await mesh.whoami("west", WEB_EAST)).cluster, "east");
      for (const record of killed) await mesh.restarted("west", record);
    }
    await mesh.linkActive("west", "east");
    await changesPropagate();
    await local.stop();
    deepEqual(
      local.samples.filter((sample) => sample.error !== ""),
      [],
    );
  });

  it("keeps every object over a restart of the API server, and counts on from where it was", async () => {
    const kinds = "namespaces,services,deployments,pods,serviceexports,links,configmaps,serviceaccounts";
    const identities = async () => {
      const { items } = await mesh.json<Listed>("east", kinds, "-A");
      return items.map(({ kind, metadata }) => `${kind} ${metadata.name} ${metadata.uid}`).sort();
    };
    const versionOf = async (name: string) => {
      await mesh.kubectl("east", "-n", "shop", "create", "configmap", name);
      const path = "jsonpath={.metadata.resourceVersion}";
      return Number(await mesh.kubectl("east", "-n", "shop", "get", "configmap", name, "-o", path));
    };
    const first = await versionOf("first");
    const before = await identities();
    await mesh.restarted("east", await mesh.kill("east", "apiserver"));
    const after = await reached("the API server answers again", identities);
    deepEqual(after, before);
    ok((await versionOf("second")) > first);
    await mesh.kubectl("east", "-n", "shop", "delete", "configmap", "first", "second");
  });

  it("starts a killed sidecar again, that of a caller and that of a server", async () => {
    const uidOf = async (cluster: string, selector: string) =>
      (await mesh.json<Listed>(cluster, "-n", "shop", "pods", ...selector.split(" "))).items[0]?.metadata.uid ?? "";
    const client = `pod-${await uidOf("west", "--field-selector metadata.name=client")}-causeway-proxy`;
    await mesh.restarted("west", await mesh.kill("west", client));
    await mesh.answered("west", WEB_EAST, "east");
    const server = `pod-${await uidOf("east", "-l app=web")}-causeway-proxy`;
    const calls = await callSteadily(WEB_EAST);
    const killed = await mesh.kill("east", server);
    await mesh.restarted("east", killed);
    await reached("both pods of east's web are ready", async () => {
      return (await mesh.kubectl("east", "-n", "shop", "get", "deployment", "web")).includes("2/2");
    });
    await calls.stop();
    // The other replica took over: a GET that was under way on the killed one may be sent again.
    deepEqual(
      calls.samples.filter((sample) => sample.error !== ""),
      [],
    );
  });

  it("takes over from a killed node agent: pods run once, and can be called", async () => {
    await mesh.restarted("east", await mesh.kill("east", "node"));
    await reached("east's web is whole", async () => {
      const path = "jsonpath={.status.readyReplicas}";
      return (await mesh.kubectl("east", "-n", "shop", "get", "deployment", "web", "-o", path)) === "2";
    });
    await mesh.answered("west", WEB_EAST, "east");
    await changesPropagate();
    await reached("web runs twice in east, and no more often", () => {
      const commands = ownedProcesses(mesh.layout("east").directory).map(({ pid }) => {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      });
      const apps = commands.filter((words) => words.some((word) => word.endsWith("/apps/web.js")));
      const sidecars = commands.filter((words) => words.includes("proxy"));
      return apps.length === 2 && sidecars.length === 2;
    });
  });
});
