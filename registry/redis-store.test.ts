import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
import { systemClock } from "../core/clock.ts";
import { hasCode, type MeshErrorCode } from "../core/errors.ts";
import { seededRandom } from "../core/random.ts";
import { eventually } from "../test/support/eventually.ts";
import { hasRedisServer, RedisServer, type RedisServerOptions } from "../test/support/redis-server.ts";
import { openStore, type StoreOptions } from "./open-store.ts";
import { RedisStore, type RedisStoreOptions } from "./redis-store.ts";
import { type ContractOptions, describeStoreContract } from "./store.contract.ts";
import type { AdministeredStore, RegistryStore } from "./store.ts";

const CLUSTER = "west";
const PASSWORD = randomBytes(12).toString("hex");
const options: StoreOptions = { cluster: CLUSTER, clock: systemClock, random: seededRandom(1) };

function code(...codes: MeshErrorCode[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(hasCode(error, ...codes), `want ${codes.join(" or ")}, got ${String(error)}`);
    assert.ok(!String((error as Error).stack).includes(PASSWORD));
    return true;
  };
}

/** Stores opened by one test, closed after it. */
class Opened {
  readonly #stores: RegistryStore[] = [];

  add<T extends RegistryStore>(store: T): T {
    this.#stores.push(store);
    return store;
  }

  async close(): Promise<void> {
    for (const store of this.#stores.splice(0)) await store.close();
  }
}

function plain(server: RedisServer, more: Partial<RedisStoreOptions> = {}): RedisStore {
  const endpoint = { server: { host: "127.0.0.1", port: server.port }, timeoutMs: 2_000 };
  return new RedisStore({ cluster: CLUSTER, endpoint, random: seededRandom(1), blockMs: 50, ...more });
}

/** The contract on a server of its own. */
function contract(
  name: string,
  serverOptions: RedisServerOptions,
  open: (server: RedisServer, options: ContractOptions) => Promise<AdministeredStore>,
  flush: (server: RedisServer) => Redis,
): void {
  describe(name, () => {
    let server: RedisServer | undefined;
    let admin: Redis | undefined;
    const opened = new Opened();
    before(async function () {
      if (!(await hasRedisServer())) return this.skip();
      server = await RedisServer.start(serverOptions);
      admin = flush(server);
      admin.on("error", () => {});
    });
    after(async () => {
      admin?.disconnect();
      await server?.stop();
    });
    describeStoreContract(name, {
      async open(more = {}) {
        assert.ok(server);
        return opened.add(await open(server, more));
      },
      elapse: () => new Promise((resolve) => setTimeout(resolve, 10)),
      async reset() {
        await opened.close();
        await admin?.flushall();
      },
    });
  });
}

contract(
  "redis",
  {},
  async (server, more) => plain(server, more),
  (server) => new Redis({ host: "127.0.0.1", port: server.port }),
);

// The contract's own keys only: what a deployment grants, plus nothing dangerous.
const RULES = `on >${PASSWORD} ~mesh:{${CLUSTER}}:* +@all -@dangerous`;

contract(
  "redis with TLS, client certificates and an ACL user",
  { tls: true, users: { mesh: RULES, admin: `on >${PASSWORD} ~* +@all` } },
  async (server, more) => {
    const file = (name: string) => join(server.dir, name);
    if (more.maxChanges !== undefined) {
      const tls = clientFiles(server);
      const login = { username: "mesh", password: PASSWORD };
      const endpoint = { server: { host: "127.0.0.1", port: server.port, tls, ...login }, timeoutMs: 2_000 };
      return new RedisStore({ cluster: CLUSTER, endpoint, random: seededRandom(1), ...more });
    }
    await writeFile(file("password"), `${PASSWORD}\n`, { mode: 0o600 });
    return openStore(`rediss://127.0.0.1:${server.port}`, {
      ...options,
      username: "mesh",
      passwordFile: file("password"),
      caFile: file("ca.pem"),
      certFile: file("cert.pem"),
      keyFile: file("key.pem"),
    });
  },
  (server) =>
    new Redis({
      host: "127.0.0.1",
      port: server.port,
      username: "admin",
      password: PASSWORD,
      tls: clientFiles(server),
    }),
);

function clientFiles(server: RedisServer): { ca: Buffer; cert: Buffer; key: Buffer } {
  const file = (name: string) => readFileSync(join(server.dir, name));
  return { ca: file("ca.pem"), cert: file("cert.pem"), key: file("key.pem") };
}

describe("RedisStore", () => {
  let servers: RedisServer[] = [];
  const opened = new Opened();
  const start = async (serverOptions: RedisServerOptions = {}) => {
    const server = await RedisServer.start(serverOptions);
    servers.push(server);
    return server;
  };
  before(async function () {
    if (!(await hasRedisServer())) this.skip();
  });
  afterEach(async () => {
    await opened.close();
    for (const server of servers) await server.stop();
    servers = [];
  });

  /** Follows the store as a view would, resuming after interruptions; what a COMPACTED stream says is kept. */
  function follow(store: RegistryStore, after: bigint) {
    const stop = new AbortController();
    const seen: string[] = [];
    let compacted = false;
    const ended = (async () => {
      let cursor = after;
      while (!stop.signal.aborted && !compacted) {
        try {
          for await (const change of store.watch("", cursor, stop.signal)) {
            cursor = change.revision;
            seen.push(`${change.key}=${change.value}`);
          }
        } catch (error) {
          compacted = hasCode(error, "REGISTRY_COMPACTED");
          if (!compacted) code("REGISTRY_UNAVAILABLE")(error);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    })();
    return {
      seen,
      get compacted() {
        return compacted;
      },
      async stop() {
        stop.abort();
        await ended;
      },
    };
  }

  async function up(store: RegistryStore): Promise<void> {
    await eventually(() => store.health().state === "up");
  }

  it("goes on where it was after a SIGKILL of a Redis that keeps its data", async () => {
    const server = await start({ persistent: true });
    const store = opened.add(plain(server));
    const fence = await store.acquire("mirror", "a", 60_000);
    assert.ok(fence);
    const revision = await store.write([{ key: "a", value: "1" }], fence);
    const follower = follow(store, revision);
    await store.write([{ key: "a", value: "2" }], fence);
    await eventually(() => follower.seen.length === 1);
    await server.kill();
    await eventually(() => store.health().state === "degraded");
    await assert.rejects(store.read(""), code("REGISTRY_UNAVAILABLE"));
    await assert.rejects(store.write([{ key: "a", value: "3" }], fence), code("REGISTRY_UNAVAILABLE"));
    await server.run();
    await up(store);
    await store.write([{ key: "a", value: "3" }], fence);
    await eventually(() => follower.seen.length === 2);
    await follower.stop();
    assert.deepEqual(follower.seen, ["a=2", "a=3"]);
    assert.equal(follower.compacted, false);
  });

  it("says COMPACTED and fences the leader after a SIGKILL of a Redis that keeps nothing", async () => {
    const server = await start();
    const store = opened.add(plain(server));
    const fence = await store.acquire("mirror", "a", 60_000);
    assert.ok(fence);
    const revision = await store.write([{ key: "a", value: "1" }], fence);
    const follower = follow(store, revision);
    await server.kill();
    await server.run();
    await up(store);
    await eventually(() => follower.compacted);
    await follower.stop();
    await assert.rejects(store.write([{ key: "a", value: "2" }], fence), code("REGISTRY_FENCED"));
    const next = await store.acquire("mirror", "b", 60_000);
    assert.ok(next !== undefined && next.token > fence.token, "tokens rise across the loss");
    assert.ok((await store.write([{ key: "a", value: "1" }], next)) > revision, "revisions rise across the loss");
  });

  it("watch() says COMPACTED after FLUSHALL, with and without writes after it", async () => {
    const server = await start();
    const store = opened.add(plain(server));
    const admin = new Redis({ host: "127.0.0.1", port: server.port });
    try {
      for (const writesAfter of [false, true]) {
        const fence = await store.acquire("mirror", "a", 60_000);
        assert.ok(fence);
        const follower = follow(store, await store.write([{ key: "a", value: `${writesAfter}` }], fence));
        await admin.flushall();
        if (writesAfter) {
          const again = await store.acquire("mirror", "a", 60_000);
          assert.ok(again);
          for (let i = 0; i < 10; i++) await store.write([{ key: `k${i}`, value: "1" }], again);
        }
        await eventually(() => follower.compacted);
        await follower.stop();
        assert.deepEqual(follower.seen, []);
      }
    } finally {
      admin.disconnect();
    }
  });

  it("watch() says COMPACTED when a replica that lacks the last changes has been promoted and written to", async () => {
    const [master, replica] = [await start(), await start()];
    const [admin, replicaAdmin] = [
      new Redis({ host: "127.0.0.1", port: master.port }),
      new Redis({ host: "127.0.0.1", port: replica.port }),
    ];
    try {
      const before = opened.add(plain(master));
      const fence = await before.acquire("mirror", "a", 60_000);
      assert.ok(fence);
      await before.write([{ key: "a", value: "1" }], fence);
      await replicaAdmin.replicaof("127.0.0.1", String(master.port));
      const synced = async () => (await replicaAdmin.info("replication")).includes("master_link_status:up");
      await eventually(synced);
      await replicaAdmin.replicaof("NO", "ONE");
      const lost = await before.write([{ key: "a", value: "lost" }], fence);
      const promoted = opened.add(plain(replica));
      // As many changes as were lost, so that a counter would look right.
      await promoted.write([{ key: "b", value: "1" }], fence);
      const follower = follow(promoted, lost);
      await promoted.write([{ key: "b", value: "2" }], fence);
      await eventually(() => follower.compacted);
      await follower.stop();
      assert.deepEqual(follower.seen, []);
    } finally {
      admin.disconnect();
      replicaAdmin.disconnect();
    }
  });

  it("takes two connections, however many watches there are, and none for watches when they have ended", async () => {
    const server = await start();
    const store = opened.add(plain(server));
    const { revision } = await store.read("");
    const admin = new Redis({ host: "127.0.0.1", port: server.port });
    const connections = async () => String(await admin.call("CLIENT", "LIST")).match(/name=mesh-west/g)?.length ?? 0;
    try {
      const stop = new AbortController();
      const watches = Array.from({ length: 20 }, async () => {
        for await (const _ of store.watch("", revision, stop.signal)) assert.fail("nothing changed");
      });
      await eventually(async () => (await connections()) === 2);
      stop.abort();
      await Promise.all(watches);
      await eventually(async () => (await connections()) === 1);
    } finally {
      admin.disconnect();
    }
  });

  it("keeps its change stream within the bytes that it may take", async () => {
    const server = await start();
    const store = opened.add(plain(server, { maxChangeBytes: 200_000 }));
    const fence = await store.acquire("mirror", "a", 60_000);
    assert.ok(fence);
    const admin = new Redis({ host: "127.0.0.1", port: server.port });
    try {
      for (let i = 0; i < 100; i++) await store.write([{ key: "a", value: `${i}`.repeat(10_000) }], fence);
      const length = await admin.xlen(`mesh:{${CLUSTER}}:changes`);
      assert.ok(length >= 5 && length <= 20, `${length} changes of 20 kB for 200 kB`);
      const keys = (await admin.keys("*")).sort();
      assert.deepEqual(
        keys,
        ["changes", "data", "index", "lease:mirror", "meta"].map((key) => `mesh:{${CLUSTER}}:${key}`),
      );
    } finally {
      admin.disconnect();
    }
  });

  it("fails calls in time and says degraded while Redis hangs, and recovers", async () => {
    const server = await start();
    const endpoint = { server: { host: "127.0.0.1", port: server.port }, timeoutMs: 300 };
    const store = opened.add(plain(server, { endpoint }));
    await store.read("");
    server.signal("SIGSTOP");
    await assert.rejects(store.read(""), code("REGISTRY_UNAVAILABLE"));
    assert.equal(store.health().state, "degraded");
    server.signal("SIGCONT");
    await eventually(async () => (await store.read("")).entries.length === 0);
    await up(store);
  });

  it("fails with REGISTRY_DENIED for a wrong password, a missing one, and keys of another cluster", async () => {
    const server = await start({ users: { mesh: RULES } });
    const url = `redis://127.0.0.1:${server.port}`;
    const open = async (more: Partial<StoreOptions>) => opened.add(await openStore(url, { ...options, ...more }));
    const wrong = await open({ username: "mesh", password: `${PASSWORD}x` });
    await assert.rejects(wrong.read(""), code("REGISTRY_DENIED"));
    await assert.rejects(wrong.read(""), code("REGISTRY_DENIED", "REGISTRY_UNAVAILABLE"));
    assert.equal(wrong.health().state, "degraded");
    const watching = wrong.watch("", 0n, new AbortController().signal)[Symbol.asyncIterator]();
    await assert.rejects(watching.next(), code("REGISTRY_DENIED"));
    await assert.rejects((await open({})).read(""), code("REGISTRY_DENIED"));
    const other = await open({ username: "mesh", password: PASSWORD, cluster: "east" });
    await assert.rejects(other.read(""), code("REGISTRY_DENIED"));
    await assert.rejects(other.acquire("mirror", "a", 1_000), code("REGISTRY_DENIED"));
    await (await open({ username: "mesh", password: PASSWORD })).read("");
  });

  it("fails with REGISTRY_UNAVAILABLE where the server's certificate does not chain to the CA", async () => {
    const server = await start({ tls: true });
    const file = (name: string) => join(server.dir, name);
    const client = { certFile: file("cert.pem"), keyFile: file("key.pem") };
    const url = `rediss://127.0.0.1:${server.port}`;
    const store = opened.add(await openStore(url, { ...options, ...client }));
    await assert.rejects(store.read(""), code("REGISTRY_UNAVAILABLE"));
    const good = opened.add(await openStore(url, { ...options, ...client, caFile: file("ca.pem") }));
    assert.deepEqual((await good.read("")).entries, []);
  });

  it("fails fast while nothing listens, and works once something does", async () => {
    const server = await start();
    await server.kill();
    const store = opened.add(await openStore(`redis://127.0.0.1:${server.port}`, options));
    await assert.rejects(store.read(""), code("REGISTRY_UNAVAILABLE"));
    assert.equal(store.health().state, "degraded");
    await server.run();
    await up(store);
    assert.deepEqual((await store.read("")).entries, []);
  });
});
