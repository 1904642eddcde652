import { deepEqual, equal, match, notEqual, ok } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { packageRoot } from "../clusters/node/images.ts";
import { systemClock } from "../core/clock.ts";
import { PORTS } from "../core/defaults.ts";
import { Traffic } from "../drills/traffic.ts";
import { LocalMesh, reached } from "./support/local-mesh.ts";
import { hasRedisServer, RedisServer } from "./support/redis-server.ts";

const WEB = "web.shop.svc.cluster.local";
const WEB_EAST = "web-east.shop.svc.cluster.local";

interface Status {
  readonly mode: string;
  readonly entries: number;
  readonly leases: readonly { lease: string; holder: string | null; token: string; ttlMs: number }[];
  readonly nodes: readonly { role: string; version: string; memoryBytes: number }[];
}

interface Verified {
  readonly entries: number;
  readonly differences: readonly { key: string; problem: string; detail: string }[];
}

/** What happens to west's Redis must not happen to its callers, nor stay in its registry. */
describe("two linked clusters, one with a Redis that fails", () => {
  let mesh: LocalMesh;
  let redis: Redis;
  let password = "";
  let services = 0;
  const running: Traffic[] = [];

  before(async function () {
    this.timeout(120_000);
    if (!(await hasRedisServer())) return this.skip();
    mesh = await LocalMesh.start();
    await mesh.meshOutput("link", "--context", "east");
    await mesh.meshOutput("export", "shop/web", "--context", "east");
    await mesh.answered("west", WEB_EAST, "east");
    password = readFileSync(join(mesh.layout("west").redisDirectory, "password"), "utf8");
    redis = new Redis({ ...mesh.layout("west").redis, password, enableReadyCheck: false });
    redis.on("error", () => {});
  });

  beforeEach(async () => {
    const proxy = { host: await mesh.podAddress("west", "client"), port: PORTS.outbound };
    for (const host of [WEB, WEB_EAST]) {
      const url = `http://${host}/?whoami`;
      const traffic = new Traffic({ url, proxy, perSecond: 20, timeoutMs: 60_000, headers: {} }, systemClock);
      running.push(traffic);
      traffic.start();
    }
  });

  afterEach(async () => {
    for (const traffic of running) await traffic.stop();
    const all = running.splice(0).flatMap(({ samples }) => samples);
    deepEqual(
      all.filter(({ error }) => error !== ""),
      [],
      "no request failed",
    );
    ok(all.length > 0);
  });

  after(async () => {
    redis?.disconnect();
    await mesh?.stop();
  });

  async function verify(settle = "30s"): Promise<{ code: number; verified: Verified; stderr: string }> {
    const args = ["registry", "verify", "--context", "west", "--settle", settle, "-o", "json"];
    const { code, stdout, stderr } = await mesh.mesh(...args);
    return {
      code,
      stderr,
      verified: stdout === "" ? { entries: 0, differences: [] } : (JSON.parse(stdout) as Verified),
    };
  }

  async function whole(): Promise<Verified> {
    const { code, verified, stderr } = await verify();
    deepEqual(verified.differences, [], stderr);
    equal(code, 0, stderr);
    return verified;
  }

  const status = () => mesh.meshJson<Status>("registry", "status", "--context", "west");

  /** A service that is made in east gets to west. */
  async function makeService(): Promise<{ name: string; arrives: () => Promise<void> }> {
    const name = `later-${++services}`;
    const port = 8_200 + services;
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
    const arrives = async () => {
      await mesh.answered("west", `${name}-east.shop.svc.cluster.local:${port}`, "east");
    };
    return { name, arrives };
  }

  /** Whether each role of west says on /ready that it is without its registry. */
  async function degraded(): Promise<void> {
    const { control, gateway, mirror } = mesh.layout("west");
    for (const host of [control, gateway, mirror]) {
      await reached(`${host} is degraded`, async () => {
        const response = await fetch(`http://${host}:${PORTS.admin}/ready`);
        return response.ok && (await response.text()).startsWith("degraded: the registry is away");
      });
    }
  }

  it("says what the registry holds, who leads, and that it is as it should be", async () => {
    const verified = await whole();
    const told = await status();
    equal(told.mode, "single");
    equal(told.nodes[0]?.role, "master");
    for (const role of ["control", "gateway", "mirror"]) {
      equal(told.leases.find(({ lease }) => lease === role)?.holder, `${role}-local-0`);
    }
    const dump = await mesh.meshOutput("registry", "dump", "--context", "west", "-o", "yaml");
    match(dump, /key: peer\/endpoints\/east\/shop\/web/);
    ok(!/routeName|[a-z2-7]{26}\.east\.mesh/.test(dump), "no route name is shown");
    match(await mesh.meshOutput("registry", "status", "--context", "west"), /LEASE +LEADER/);
    const { host, port } = mesh.layout("west").redis;
    const direct = ["--registry", `redis://${host}:${port}`, "--context", "west", "-o", "json"];
    const env = { MESH_REGISTRY_PASSWORD: password };
    const asked = await mesh.meshWith({ env }, "registry", "verify", ...direct);
    equal(asked.code, 0, asked.stderr);
    equal((JSON.parse(asked.stdout) as Verified).entries, verified.entries);
    const config = await fetch(`http://${mesh.layout("west").mirror}:${PORTS.admin}/config`);
    const { leases } = (await config.json()) as { leases: { lease: string; token: string }[] };
    deepEqual(
      leases.map(({ lease, token }) => [lease, token]),
      told.leases.filter(({ lease }) => lease === "mirror").map(({ lease, token }) => [lease, token]),
    );
  });

  it("goes on through a SIGKILL of Redis, which comes back empty", async () => {
    const killed = await mesh.kill("west", "redis");
    const later = await makeService();
    await mesh.restarted("west", killed);
    await later.arrives();
    await whole();
  });

  it("goes on through FLUSHALL", async () => {
    await redis.flushall();
    await whole();
    await (await makeService()).arrives();
  });

  it("goes on through CLIENT PAUSE, degraded meanwhile", async () => {
    // Longer than leases last.
    const { gateway } = mesh.layout("west");
    const leases = async () => {
      const config = await fetch(`http://${gateway}:${PORTS.admin}/config`);
      return ((await config.json()) as { leases: unknown[] }).leases.length;
    };
    await redis.client("PAUSE", 13_000, "ALL");
    const later = await makeService();
    await degraded();
    await reached("the gateway's lease has run out", async () => (await leases()) === 0);
    const health = () => mesh.kubectl("east", "get", "link", "west", "-o", "jsonpath={.status.health}");
    equal(await health(), "alive", "east's side of the link stays");
    await later.arrives();
    await whole();
  });

  it("goes on without memory for writes, and takes what is new when there is some", async () => {
    const before = await status();
    const [, maxMemory = "0"] = (await redis.config("GET", "maxmemory")) as string[];
    await redis.config("SET", "maxmemory", "1");
    const later = await makeService();
    await reached("the gateway cannot write", async () => {
      const ready = await fetch(`http://${mesh.layout("west").gateway}:${PORTS.admin}/ready`);
      return (await ready.text()).includes("OOM");
    });
    await redis.config("SET", "maxmemory", maxMemory);
    await later.arrives();
    await whole();
    const tokens = ({ leases }: Status) => leases.map(({ token }) => token);
    deepEqual(tokens(await status()), tokens(before), "leases are renewed without memory");
  });

  it("goes on while the password is another", async () => {
    await redis.config("SET", "requirepass", `${password}x`);
    await redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    const later = await makeService();
    await degraded();
    await redis.config("SET", "requirepass", password);
    await later.arrives();
    await whole();
  });

  it("finds that a stale copy of Redis was promoted, and writes what that lacks", async () => {
    const stale = await RedisServer.start({ config: [`masterauth ${password}`] });
    const admin = new Redis({ host: "127.0.0.1", port: stale.port });
    try {
      const { host, port } = mesh.layout("west").redis;
      await admin.replicaof(host, String(port));
      await reached("the copy is whole", async () =>
        (await admin.info("replication")).includes("master_link_status:up"),
      );
      await admin.replicaof("NO", "ONE");
      await (await makeService()).arrives();
      await redis.replicaof("127.0.0.1", String(stale.port));
      await reached("Redis has the old state", async () =>
        (await redis.info("replication")).includes("master_link_status:up"),
      );
      await redis.replicaof("NO", "ONE");
      await whole();
      await (await makeService()).arrives();
    } finally {
      admin.disconnect();
      await stale.stop();
    }
  });

  it("finds what is missing behind its owners' backs, and mesh registry rebuild mends it", async () => {
    const key = "local/service/shop/web";
    await whole();
    await redis.hdel("mesh:{west}:data", key);
    await redis.zrem("mesh:{west}:index", key);
    const found = await verify("0s");
    equal(found.code, 1);
    deepEqual(
      found.verified.differences.map((difference) => [difference.key, difference.problem]),
      [[key, "missing"]],
    );
    match(await mesh.meshOutput("registry", "rebuild", "--context", "west"), /^rebuilt in/);
    await whole();
  });

  it("is rebuilt where its data are no data", async () => {
    await redis.del("mesh:{west}:data");
    await redis.set("mesh:{west}:data", "garbage");
    equal((await verify("0s")).code, 1);
    match(await mesh.meshOutput("registry", "rebuild", "--context", "west"), /^rebuilt in/);
    await (await makeService()).arrives();
    await whole();
  });

  it("has one mirror that writes, also after the one that hung comes back", async () => {
    const layout = mesh.layout("west");
    const first = mesh.record("west", "mirror");
    ok(first);
    const command = readFileSync(`/proc/${first.pid}/cmdline`, "utf8").split("\0").slice(0, -1);
    const other = command.map((word, i) => {
      switch (command[i - 1]) {
        case "--replica":
          return "local-1";
        case "--admin-listen":
          return `127.${layout.octet}.0.20:${PORTS.admin}`;
        case "--dns-listen":
          return `127.${layout.octet}.0.20:${PORTS.dnsUnprivileged}`;
        default:
          return word;
      }
    });
    const [file = "", ...args] = other;
    const second: ChildProcess = spawn(file, args, { cwd: packageRoot(), env: mesh.env, stdio: "ignore" });
    try {
      await mesh.ready(`127.${layout.octet}.0.20`);
      const leader = async () => (await status()).leases.find(({ lease }) => lease === "mirror");
      const before = await leader();
      equal(before?.holder, "mirror-local-0");
      process.kill(first.pid, "SIGSTOP");
      await reached("the other mirror leads", async () => (await leader())?.holder === "mirror-local-1");
      await (await makeService()).arrives();
      process.kill(first.pid, "SIGCONT");
      await (await makeService()).arrives();
      const after = await leader();
      equal(after?.holder, "mirror-local-1", "it stays the leader");
      notEqual(after?.token, before?.token);
      await reached("the first knows that it leads no longer", async () => {
        const config = await fetch(`http://${layout.mirror}:${PORTS.admin}/config`);
        return ((await config.json()) as { leases: unknown[] }).leases.length === 0;
      });
      // Ended by SIGTERM, it gives its lease up: the first has it long before a TTL is over.
      const exit = once(second, "exit");
      second.kill("SIGTERM");
      await exit;
      equal((await leader())?.ttlMs === 0 || (await leader())?.holder === "mirror-local-0", true);
      await reached("the first leads again", async () => (await leader())?.holder === "mirror-local-0");
      await whole();
    } finally {
      process.kill(first.pid, "SIGCONT");
      second.kill("SIGKILL");
    }
  });
});
