import { deepEqual, equal, match, ok } from "node:assert/strict";
import type { FailoverView } from "../cli/failover-view.ts";
import { systemClock } from "../core/clock.ts";
import { PORTS } from "../core/defaults.ts";
import { type Sample, Traffic } from "../drills/traffic.ts";
import type { Link } from "../kube/resources.ts";
import { LocalMesh, reached } from "./support/local-mesh.ts";

const CLUSTERSET = "web.shop.svc.clusterset.local";
const WEB_EAST = "web-east.shop.svc.cluster.local";
const SERVICE = ["--service", "shop/web"] as const;

describe("a federated service of two clusters", () => {
  let mesh: LocalMesh;
  let running: Traffic | undefined;

  before(async () => {
    mesh = await LocalMesh.start();
    await mesh.meshOutput("link", "--context", "east");
    await mesh.linkActive("east", "west");
    for (const cluster of mesh.clusters) await mesh.meshOutput("export", "shop/web", "--context", cluster);
    await mesh.answered("west", WEB_EAST, "east");
  });

  afterEach(async () => {
    const samples = await stopped();
    deepEqual(failuresOf(samples), []);
  });

  after(async () => {
    await mesh?.stop();
  });

  /** GETs from the client of `cluster` to the federated name, until stopped. */
  async function callSteadily(cluster: string): Promise<Traffic> {
    const proxy = { host: await mesh.podAddress(cluster, "client"), port: PORTS.outbound };
    const url = `http://${CLUSTERSET}/?whoami`;
    running = new Traffic({ url, proxy, perSecond: 100, timeoutMs: 20_000, headers: {} }, systemClock);
    running.start();
    return running;
  }

  async function stopped(): Promise<readonly Sample[]> {
    const traffic = running;
    running = undefined;
    await traffic?.stop();
    return traffic?.samples ?? [];
  }

  function failuresOf(samples: readonly Sample[]): string[] {
    return samples.filter(({ error }) => error !== "").map(({ error }) => error);
  }

  /** Waits until east answers a share of the newest requests that is within these bounds. */
  async function eastAnswers(traffic: Traffic, from: number, to: number): Promise<void> {
    const since = traffic.samples.length;
    await reached(`east answers ${from} to ${to} of the requests`, () => {
      const newest = traffic.samples.slice(since).slice(-150);
      const share = newest.filter(({ cluster }) => cluster === "east").length / newest.length;
      return newest.length === 150 && share >= from && share <= to;
    });
  }

  async function view(cluster = "west"): Promise<FailoverView> {
    const [found] = await mesh.meshJson<FailoverView[]>("failover", "status", ...SERVICE, "--context", cluster);
    ok(found !== undefined);
    return found;
  }

  const sharesOf = ({ groups }: FailoverView) => groups.map(({ cluster, share }) => `${cluster} ${share}`);
  const set = (...args: string[]) => mesh.mesh("failover", "set", ...SERVICE, ...args);

  it("is shared as mesh failover set says, in each mode", async () => {
    const traffic = await callSteadily("west");
    await eastAnswers(traffic, 0, 0);
    await reached("endpoints are counted", async () => (await view()).groups.every(({ ready }) => ready === 2));
    deepEqual(sharesOf(await view()), ["west 1", "east 0"]);

    equal((await set("--prefer", "east,west", "--mode", "priority")).code, 0);
    await eastAnswers(traffic, 1, 1);
    deepEqual(sharesOf(await view()), ["east 1", "west 0"]);

    equal((await set("--mode", "weighted", "--weights", "east=70,west=30")).code, 0);
    await eastAnswers(traffic, 0.55, 0.85);
    deepEqual(sharesOf(await view()), ["west 0.3", "east 0.7"]);

    equal((await set("--mode", "active-active")).code, 0);
    await eastAnswers(traffic, 0.35, 0.65);

    equal((await set("--mode", "locality", "--prefer", "east")).code, 0);
    await eastAnswers(traffic, 0, 0);
    match(await mesh.kubectl("west", "-n", "shop", "get", "failoverpolicies"), /web\s+locality\s+True/);
    equal((await set("--clear")).code, 0);
    deepEqual(await mesh.names("west", "-n", "shop", "failoverpolicies"), []);
  });

  it("refuses a policy that means nothing, and says on one that kubectl wrote what is wrong", async () => {
    for (const [args, text] of [
      [["--mode", "weighted", "--weights", "east=70,west=20"], /add up to 90; want 100/],
      [["--prefer", "north"], /cluster "north" is not linked; there are west, east/],
      [["--mode", "sideways"], /mode "sideways" is unknown/],
      [["--mode", "locality", "--weights", "east=100"], /weights mean nothing/],
    ] as const) {
      const refused = await set(...args);
      equal(refused.code === 0, false);
      match(refused.stderr, text);
    }
    await mesh.kubectlApply(
      "west",
      `apiVersion: causeway.dev/v1alpha1
kind: FailoverPolicy
metadata: { name: web, namespace: shop }
spec: { mode: weighted, weights: { east: 10, north: 80 } }
`,
    );
    const condition = (type: string) =>
      mesh.kubectl(
        "west",
        "-n",
        "shop",
        "get",
        "failoverpolicy",
        "web",
        "-o",
        `jsonpath={.status.conditions[?(@.type=="${type}")].message}`,
      );
    await reached("the policy is refused", async () => (await condition("Accepted")).includes("add up to 90"));
    match(await condition("ClustersKnown"), /Not linked: north/);
    deepEqual(sharesOf(await view()), ["west 1", "east 0"]);
    match((await view()).problems.join(), /not applied: the weights add up to 90/);
    equal((await set("--clear")).code, 0);
  });

  it("leaves a cluster that is evacuated without a failed request, also over a restart, and comes back", async () => {
    equal((await set("--prefer", "east,west", "--mode", "priority")).code, 0);
    const traffic = await callSteadily("west");
    await eastAnswers(traffic, 1, 1);
    const out = await mesh.mesh("evacuate", "east", "--over", "2s");
    equal(out.code, 0, out.stderr);
    match(out.stdout, /recorded in west, east/);
    await eastAnswers(traffic, 0, 0);
    match(await mesh.meshOutput("links"), /east: evacuated, 100 % of its federated traffic/);
    match(await mesh.meshOutput("links", "--context", "east"), /east itself: evacuated, 100 %/);
    deepEqual(sharesOf(await view()), ["east 0", "west 1"]);
    match((await view()).groups[0]?.why ?? "", /evacuated/);
    deepEqual(sharesOf(await view("east")), ["east 0", "west 1"]);
    // Its mirror's name still leads there.
    equal((await mesh.whoami("west", WEB_EAST)).cluster, "east");

    for (const cluster of mesh.clusters) await mesh.restarted(cluster, await mesh.kill(cluster, "gateway"));
    await mesh.linkActive("east", "west");
    await eastAnswers(traffic, 0, 0);

    const refused = await mesh.mesh("evacuate", "west", "--context", "west");
    match(refused.stderr, /nobody else serves shop\/web/);
    equal(refused.code === 0, false);

    const back = await mesh.mesh("evacuate", "east", "--undo", "--over", "2s");
    equal(back.code, 0, back.stderr);
    await eastAnswers(traffic, 1, 1);
    for (const cluster of mesh.clusters) {
      await reached("the intent is gone", async () => (await mesh.names(cluster, "evacuations")).length === 0);
    }
    match((await mesh.mesh("evacuate", "east", "--undo")).stderr, /east is not being evacuated/);
    // None of the answers before the first from west came later than it should have: the share only moved.
    ok(traffic.samples.some(({ cluster }) => cluster === "west"));
  });

  it("goes on when the gateway hangs, and lets a link that flaps wait longer each time", async () => {
    const traffic = await callSteadily("west");
    await eastAnswers(traffic, 1, 1);
    const gateway = mesh.record("east", "gateway");
    ok(gateway !== undefined);
    const health = async () => (await mesh.json<Link>("west", "link", "east")).status?.health;
    try {
      for (let flap = 0; flap < 2; flap++) {
        process.kill(gateway.pid, "SIGSTOP");
        await reached("the link is dead", async () => (await health()) === "dead");
        process.kill(gateway.pid, "SIGCONT");
        await reached("the link recovers", async () => (await health()) === "recovering");
      }
      process.kill(gateway.pid, "SIGSTOP");
      const reason = async () =>
        (await mesh.json<Link>("west", "link", "east")).status?.conditions?.find(({ type }) => type === "Active")
          ?.message ?? "";
      await reached("the link is held down", async () =>
        /lost 3 times of late: held down for at least 4 s/.test(await reason()),
      );
    } finally {
      process.kill(gateway.pid, "SIGCONT");
    }
    await eastAnswers(traffic, 0, 0);
    await eastAnswers(traffic, 1, 1);
    const slowest = Math.max(...traffic.samples.map(({ dueMs, endMs }) => endMs - dueMs));
    ok(slowest < 5_000, `slowest ${slowest} ms`);
  });
});
