import { deepEqual, equal, match, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { PORTS } from "../core/defaults.ts";
import { LocalMesh, reached } from "./support/local-mesh.ts";
import { MeshRegistry } from "./support/mesh-registry.ts";
import { MeshTraffic } from "./support/mesh-traffic.ts";
import { hasRedisServer, RedisServer } from "./support/redis-server.ts";

const WEB = "web.shop.svc.cluster.local";
const WEB_EAST = "web-east.shop.svc.cluster.local";

/** What happens to west's Redis must not happen to its callers, nor stay in its registry. */
describe("two linked clusters, one with a Redis that fails", () => {
  let mesh: LocalMesh;
  let redis: Redis;
  let password = "";
  let services = 0;
  let west: MeshRegistry;
  const traffic = new MeshTraffic();

  before(async function () {
    this.timeout(120_000);
    if (!(await hasRedisServer())) return this.skip();
    mesh = await LocalMesh.start();
    west = new MeshRegistry(mesh, "west");
    await mesh.meshOutput("link", "--context", "east");
    await mesh.meshOutput("export", "shop/web", "--context", "east");
    await mesh.answered("west", WEB_EAST, "east");
    password = readFileSync(join(mesh.layout("west").redisDirectory, "password"), "utf8");
    redis = new Redis({ ...mesh.layout("west").redis, password, enableReadyCheck: false });
    redis.on("error", () => {});
  });

  beforeEach(async () => {
    await traffic.start(mesh, "west", [WEB, WEB_EAST]);
  });

  afterEach(async () => {
    console.log(`      ${await traffic.stop()}`);
  });

  after(async () => {
    redis?.disconnect();
    await mesh?.stop();
  });

  /** A service that is made in east gets to west. */
  function makeService(): Promise<() => Promise<void>> {
    services++;
    return new MeshRegistry(mesh, "east").makeService(`later-${services}`, 8_200 + services, "west");
  }

  it("says what the registry holds, who leads, and that it is as it should be", async () => {
    const verified = await west.whole();
    const told = await west.status();
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
    equal((JSON.parse(asked.stdout) as typeof verified).entries, verified.entries);
    deepEqual(
      (await west.leases("mirror")).map(({ lease, token }) => [lease, token]),
      told.leases.filter(({ lease }) => lease === "mirror").map(({ lease, token }) => [lease, token]),
    );
  });

  it("goes on through a SIGKILL of Redis, which comes back empty", async () => {
    const killed = await mesh.kill("west", "redis");
    const later = await makeService();
    await mesh.restarted("west", killed);
    await later();
    await west.whole();
  });

  it("goes on through FLUSHALL", async () => {
    await redis.flushall();
    await west.whole();
    await (await makeService())();
  });

  it("goes on through CLIENT PAUSE, degraded meanwhile", async () => {
    // Longer than leases last.
    await redis.client("PAUSE", 13_000, "ALL");
    const later = await makeService();
    await west.degraded();
    await reached("the gateway's lease has run out", async () => (await west.leases("gateway")).length === 0);
    const health = () => mesh.kubectl("east", "get", "link", "west", "-o", "jsonpath={.status.health}");
    equal(await health(), "alive", "east's side of the link stays");
    await later();
    await west.whole();
  });

  it("goes on without memory for writes, and takes what is new when there is some", async () => {
    const before = await west.status();
    const [, maxMemory = "0"] = (await redis.config("GET", "maxmemory")) as string[];
    await redis.config("SET", "maxmemory", "1");
    const later = await makeService();
    await reached("the gateway cannot write", async () => {
      const ready = await fetch(`http://${mesh.layout("west").gateway}:${PORTS.admin}/ready`);
      return (await ready.text()).includes("OOM");
    });
    await redis.config("SET", "maxmemory", maxMemory);
    await later();
    await west.whole();
    // One that was about to be taken when this began may have come since.
    const held = new Map((await west.status()).leases.map(({ lease, token }) => [lease, token]));
    for (const { lease, token } of before.leases) equal(held.get(lease), token, `${lease} is renewed without memory`);
    ok(before.leases.length > 0);
  });

  it("goes on while the password is another", async () => {
    await redis.config("SET", "requirepass", `${password}x`);
    await redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    const later = await makeService();
    await west.degraded();
    await redis.config("SET", "requirepass", password);
    await later();
    await west.whole();
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
      await (await makeService())();
      await redis.replicaof("127.0.0.1", String(stale.port));
      await reached("Redis has the old state", async () =>
        (await redis.info("replication")).includes("master_link_status:up"),
      );
      await redis.replicaof("NO", "ONE");
      await west.whole();
      await (await makeService())();
    } finally {
      admin.disconnect();
      await stale.stop();
    }
  });

  it("finds what is missing behind its owners' backs, and mesh registry rebuild mends it", async () => {
    const key = "local/service/shop/web";
    await west.whole();
    await redis.hdel("mesh:{west}:data", key);
    await redis.zrem("mesh:{west}:index", key);
    const found = await west.verify("0s");
    equal(found.code, 1);
    deepEqual(
      found.verified.differences.map((difference) => [difference.key, difference.problem]),
      [[key, "missing"]],
    );
    match(await mesh.meshOutput("registry", "rebuild", "--context", "west"), /^rebuilt in/);
    await west.whole();
  });

  it("is rebuilt where its data are no data", async () => {
    await redis.del("mesh:{west}:data");
    await redis.set("mesh:{west}:data", "garbage");
    equal((await west.verify("0s")).code, 1);
    match(await mesh.meshOutput("registry", "rebuild", "--context", "west"), /^rebuilt in/);
    await (await makeService())();
    await west.whole();
  });
});
