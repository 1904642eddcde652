import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { ManualClock, systemClock } from "../core/clock.ts";
import { hasCode } from "../core/errors.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import { eventually } from "../test/support/eventually.ts";
import { hasRedisServer, RedisServer, type RedisServerOptions } from "../test/support/redis-server.ts";
import { ClusterTopology, SentinelTopology } from "../test/support/redis-topology.ts";
import { RegistryPair, type RegistryPairOptions } from "../test/support/registry-pair.ts";
import { TcpRelay } from "../test/support/tcp-relay.ts";
import { openStore, type StoreOptions } from "./open-store.ts";
import { RegistryWriter } from "./registry-writer.ts";
import type { RegistryStore } from "./store.ts";

const PASSWORD = randomBytes(12).toString("hex");
const LEASE_KEY = "mesh:{west}:lease:mirror";

/** A writer and a view must come through whatever happens to Redis without a value missing at any time. */
describe("a registry whose Redis fails", () => {
  const undo: (() => Promise<unknown>)[] = [];

  before(async function () {
    if (!(await hasRedisServer())) this.skip();
  });
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });

  function opener(url: string, more: Partial<StoreOptions> = {}): () => Promise<RegistryStore> {
    const options = { cluster: "west", clock: systemClock, random: seededRandom(1), timeoutMs: 1_000, ...more };
    return () => openStore(url, options);
  }

  async function start(options: RedisServerOptions = {}): Promise<{ server: RedisServer; admin: Redis; url: string }> {
    const server = await RedisServer.start(options);
    undo.push(() => server.stop());
    const login = options.users === undefined ? {} : { username: "admin", password: PASSWORD };
    const admin = new Redis({ host: "127.0.0.1", port: server.port, ...login });
    admin.on("error", () => {});
    undo.push(async () => admin.disconnect());
    return { server, admin, url: `redis://127.0.0.1:${server.port}` };
  }

  async function pair(options: RegistryPairOptions): Promise<RegistryPair> {
    const started = await RegistryPair.start(options);
    undo.push(() => started.close());
    return started;
  }

  async function degraded({ store }: RegistryPair, reason: RegExp): Promise<void> {
    await eventually(() => {
      const health = store.health();
      return health.state === "degraded" && reason.test(health.reason);
    });
  }

  it("survives a Sentinel failover after a SIGKILL of the master", async () => {
    const topology = await SentinelTopology.start();
    undo.push(() => topology.stop());
    const registry = await pair({ open: opener(topology.url), ttlMs: 10_000 });
    const before = await topology.masterPort();
    const [master] = topology.servers;
    await master?.kill();
    await registry.settle(2);
    assert.notEqual(await topology.masterPort(), before);
    registry.assertNeverLacked();
  }).timeout(60_000);

  it("survives the migration of its slot to another node of a Redis Cluster, written to after each key", async () => {
    const topology = await ClusterTopology.start();
    undo.push(() => topology.stop());
    const registry = await pair({ open: opener(topology.url) });
    const key = "mesh:{west}:meta";
    const owner = await topology.ownerOf(key);
    const target = topology.servers.find((server) => server !== owner);
    assert.ok(target);
    let value = 1;
    await topology.migrate(key, target, async () => registry.want(++value));
    await registry.settle(++value);
    assert.equal(await topology.ownerOf(key), target);
    registry.assertNeverLacked();
  }).timeout(60_000);

  it("survives a master of a Redis Cluster that hangs until its replica has taken over, and then comes back", async () => {
    const topology = await ClusterTopology.start({ replicas: 1 });
    undo.push(() => topology.stop());
    const registry = await pair({ open: opener(topology.url), ttlMs: 10_000 });
    const [master] = topology.servers;
    const replica = topology.servers.at(-1);
    assert.ok(master !== undefined && replica !== undefined);
    assert.equal(await topology.ownerOf("mesh:{west}:meta"), master);
    master.signal("SIGSTOP");
    registry.want(2);
    await eventually(async () => (await topology.admin(replica).info("replication")).includes("role:master"));
    await registry.settle(2);
    master.signal("SIGCONT");
    await eventually(async () => (await topology.admin(master).info("replication")).includes("role:slave"));
    await registry.settle(3);
    registry.assertNeverLacked();
  }).timeout(60_000);

  it("survives CLIENT PAUSE, and its leader stays", async () => {
    const { admin, url } = await start();
    const registry = await pair({ open: opener(url, { timeoutMs: 300 }), ttlMs: 10_000 });
    await admin.client("PAUSE", 1_500, "ALL");
    registry.want(2);
    await degraded(registry, /timed out|timeout|closed/i);
    assert.equal(registry.writer.leading, true);
    await registry.settle(2);
    // What failed meanwhile is told until the same has succeeded.
    await eventually(() => registry.store.health().state === "up");
    registry.assertNeverLacked();
  });

  it("works on over a connection that is slow, and its leader stays", async () => {
    const { server } = await start();
    const relay = await TcpRelay.start(server.port);
    undo.push(() => relay.stop());
    const registry = await pair({ open: opener(`redis://127.0.0.1:${relay.port}`), ttlMs: 3_000 });
    relay.delayMs = 200;
    await registry.settle(2);
    assert.equal(registry.store.health().state, "up");
    assert.equal(registry.writer.leading, true);
    // Slower than a call may be: nothing gets through, nothing is lost.
    relay.delayMs = 1_500;
    registry.want(3);
    await degraded(registry, /./);
    relay.delayMs = 0;
    await registry.settle(3);
    registry.assertNeverLacked();
  });

  it("waits with writes while Redis is out of memory, keeps its lease, and writes them when there is room", async () => {
    const { admin, url } = await start();
    const registry = await pair({ open: opener(url), ttlMs: 1_500 });
    await admin.config("SET", "maxmemory-policy", "noeviction");
    await admin.config("SET", "maxmemory", "1");
    registry.want(2);
    await degraded(registry, /OOM/);
    const left = await admin.pttl(LEASE_KEY);
    await eventually(async () => (await admin.pttl(LEASE_KEY)) > left);
    assert.equal(registry.writer.leading, true);
    await registry.seen(1);
    await admin.config("SET", "maxmemory", "0");
    await registry.settle(2);
    registry.assertNeverLacked();
  });

  it("finds that a stale replica was promoted, and writes what that lacks", async () => {
    const [master, replica] = [await start(), await start()];
    const relay = await TcpRelay.start(master.server.port);
    undo.push(() => relay.stop());
    const registry = await pair({ open: opener(`redis://127.0.0.1:${relay.port}`), ttlMs: 2_000 });
    await replica.admin.replicaof("127.0.0.1", String(master.server.port));
    await eventually(async () => (await replica.admin.info("replication")).includes("master_link_status:up"));
    const count = async ({ admin }: typeof master) => (await admin.hget("mesh:{west}:meta", "revision")) ?? "";
    await eventually(async () => (await count(replica)) === (await count(master)));
    await replica.admin.replicaof("NO", "ONE");
    await registry.settle(2);
    relay.lead(replica.server.port);
    const stored = async () => (await registry.viewStore.read("")).entries.filter(({ value }) => value === "2").length;
    await eventually(async () => (await stored()) === 500);
    await registry.seen(2);
    await registry.settle(3);
    registry.assertNeverLacked();
  });

  it("waits while the user may do nothing or its password is another, and goes on when that is mended", async () => {
    const rules = (password: string) => `on resetpass >${password} ~mesh:{west}:* +@all -@dangerous`;
    const users = { mesh: rules(PASSWORD), admin: `on >${PASSWORD} ~* &* +@all` };
    const { admin, url } = await start({ users });
    const open = opener(url, { username: "mesh", password: PASSWORD });
    const registry = await pair({ open, ttlMs: 2_000 });
    const setUser = (text: string) => admin.call("ACL", "SETUSER", "mesh", ...text.split(" "));
    await setUser("-@all");
    registry.want(2);
    await degraded(registry, /NOPERM|permissions/);
    await registry.seen(1);
    await setUser("+@all -@dangerous");
    await registry.settle(2);
    await setUser(rules(`${PASSWORD}x`));
    await admin.client("KILL", "USER", "mesh");
    registry.want(3);
    await degraded(registry, /WRONGPASS/);
    await registry.seen(2);
    await setUser(rules(PASSWORD));
    await registry.settle(3);
    await eventually(() => registry.store.health().state === "up");
    registry.assertNeverLacked();
  });

  it("refuses the writes of a leader that believes in a lease which another holds by now", async () => {
    const { url } = await start();
    const registry = await pair({ open: opener(url), ttlMs: 5_000 });
    const [store, other] = [await opener(url)(), await opener(url)()];
    undo.push(
      () => store.close(),
      () => other.close(),
    );
    // Its time stands still, as that of a process which hangs: it neither renews nor finds that its term is over.
    const clock = new ManualClock();
    const stop = new AbortController();
    const ttlMs = 300;
    const deposed = new RegistryWriter({
      store,
      lease: "gateway",
      holder: "old",
      ttlMs,
      clock,
      random: seededRandom(1),
      log: silentLog,
    });
    deposed.start(stop.signal);
    deposed.set("peer/x", "old 1");
    await deposed.settled();
    const fence = await eventually(() => other.acquire("gateway", "new", 60_000));
    await other.write([{ key: "peer/x", value: "new" }], fence);
    assert.equal(deposed.leading, true, "it does not know");
    deposed.set("peer/x", "old 2");
    await eventually(() => !deposed.leading);
    assert.deepEqual(
      (await other.read("peer/")).entries.map(({ value }) => value),
      ["new"],
    );
    stop.abort();
    await deposed.ended;
    assert.equal(await other.renew(fence, 60_000), true, "its late release takes nothing from the new leader");
    await assert.rejects(store.write([{ key: "peer/x", value: "old 3" }], { ...fence, holder: "old" }), (error) =>
      hasCode(error, "REGISTRY_FENCED"),
    );
    registry.assertNeverLacked();
  });
});
