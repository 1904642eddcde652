import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { ManualClock } from "../core/clock.ts";
import { hasCode } from "../core/errors.ts";
import { seededRandom } from "../core/random.ts";
import { eventually } from "../test/support/eventually.ts";
import { registryRules } from "../test/support/redis-acl.ts";
import { hasRedisServer, RedisServer, writeCertificates } from "../test/support/redis-server.ts";
import { openStore } from "./open-store.ts";
import type { RegistryStore } from "./store.ts";

function secret(): string {
  return randomBytes(12).toString("hex");
}

/** Credentials are read again while a watch goes on, whose end would be an error of its own. */
describe("RedisConnection whose credentials change", () => {
  const adminSecret = secret();
  const undo: (() => Promise<unknown> | undefined)[] = [];
  const clock = new ManualClock();
  let dir = "";
  let first = "";

  before(async function () {
    if (!(await hasRedisServer())) this.skip();
  });
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "credentials-"));
    undo.push(() => rm(dir, { recursive: true, force: true }));
    first = secret();
    await password(first);
  });
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });

  async function password(text: string): Promise<void> {
    await writeFile(join(dir, "password"), `${text}\n`, { mode: 0o600 });
  }

  /** A server with the user `mesh`, and one who may do everything there. */
  async function start(): Promise<{
    server: RedisServer;
    admin: Redis;
    mesh: (...rules: string[]) => Promise<unknown>;
  }> {
    const users = { admin: `on >${adminSecret} ~* &* +@all`, mesh: registryRules(["west"], first) };
    const server = await RedisServer.start({ users });
    const admin = new Redis({ port: server.port, host: "127.0.0.1", username: "admin", password: adminSecret });
    admin.on("error", () => {});
    undo.push(
      () => server.stop(),
      async () => admin.disconnect(),
    );
    return { server, admin, mesh: (...rules) => admin.call("ACL", "SETUSER", "mesh", ...rules) };
  }

  async function open(url: string, more: object): Promise<RegistryStore> {
    const store = await openStore(url, { cluster: "west", clock, random: seededRandom(1), timeoutMs: 1_000, ...more });
    undo.push(() => store.close());
    return store;
  }

  const login = () => ({ username: "mesh", passwordFile: join(dir, "password") });

  /** What a watch ended with, as long as that is nothing: undefined. */
  function watch(store: RegistryStore): { failure: () => unknown } {
    const stop = new AbortController();
    let failure: unknown;
    const run = async () => {
      for await (const _ of store.watch("", 0n, stop.signal));
    };
    run().catch((error: unknown) => {
      failure = error;
    });
    undo.push(async () => stop.abort());
    return { failure: () => failure };
  }

  const ids = async (admin: Redis) =>
    [...String(await admin.client("LIST")).matchAll(/^id=(\d+) .*\bname=(\S+) .*\buser=mesh\b/gm)].map(
      ([, id = "", name = ""]) => `${name} ${id}`,
    );

  it("moves to the new ones while the former hold, and then needs those no longer", async () => {
    const { server, admin, mesh } = await start();
    const store = await open(`redis://127.0.0.1:${server.port}`, login());
    await store.read("");
    const { failure } = watch(store);
    const before = await eventually(async () => ((await ids(admin)).length === 2 ? ids(admin) : undefined));
    const second = secret();
    await mesh(`>${second}`);
    await password(second);
    // Read every few seconds, not with each call.
    await store.read("");
    assert.deepEqual(await ids(admin), before);
    await clock.advance(5_000);
    await eventually(async () => {
      await clock.advance(1_000);
      const now = await ids(admin);
      return now.length === 2 && now.every((each) => !before.includes(each));
    });
    await mesh(`<${first}`);
    assert.equal(failure(), undefined, "the watch goes on");
    await store.read("");
    assert.equal(store.health().state, "up");
  });

  it("finds them in their file when Redis refuses the former", async () => {
    const { server, admin, mesh } = await start();
    const store = await open(`redis://127.0.0.1:${server.port}`, login());
    await store.read("");
    const second = secret();
    await mesh("resetpass", `>${second}`);
    await admin.client("KILL", "USER", "mesh");
    await eventually(() => {
      const health = store.health();
      return health.state === "degraded" && health.reason.includes("WRONGPASS");
    });
    await assert.rejects(store.read(""), (error) => hasCode(error, "REGISTRY_DENIED"));
    await password(second);
    await clock.advance(600);
    await eventually(async () => {
      await store.read("").catch(() => {});
      return store.health().state === "up";
    });
  });

  it("keeps what holds while a file is gone, or holds what Redis refuses", async () => {
    const { server, admin, mesh } = await start();
    const store = await open(`redis://127.0.0.1:${server.port}`, login());
    await store.read("");
    const before = await ids(admin);
    await rm(join(dir, "password"));
    await clock.advance(5_000);
    await password("half of a passw");
    await clock.advance(5_000);
    await eventually(async () => String(await admin.call("ACL", "LOG")).includes("mesh"));
    await store.read("");
    assert.equal(store.health().state, "up");
    assert.deepEqual(await ids(admin), before);
    const second = secret();
    await mesh(`>${second}`);
    await password(second);
    await clock.advance(5_000);
    await eventually(async () => {
      await clock.advance(1_000);
      const now = await ids(admin);
      return now.length === 1 && now[0] !== before[0];
    });
  });

  it("takes up another client certificate and another root", async () => {
    await writeCertificates(dir);
    const server = await RedisServer.start({ tls: true, certificates: dir });
    undo.push(() => server.stop());
    const mine = await mkdtemp(join(tmpdir(), "client-"));
    undo.push(() => rm(mine, { recursive: true, force: true }));
    const names = ["ca.pem", "cert.pem", "key.pem"];
    const copy = async () => {
      for (const name of names) await copyFile(join(dir, name), join(mine, name));
    };
    await copy();
    const files = { caFile: join(mine, "ca.pem"), certFile: join(mine, "cert.pem"), keyFile: join(mine, "key.pem") };
    const store = await open(`rediss://127.0.0.1:${server.port}`, files);
    await store.read("");
    await server.kill();
    await writeCertificates(dir);
    await server.run();
    await eventually(() => store.health().state === "degraded");
    // A certificate whose key is not there yet breaks nothing.
    await copyFile(join(dir, "cert.pem"), join(mine, "cert.pem"));
    await clock.advance(5_000);
    await copy();
    await eventually(async () => {
      await clock.advance(5_000);
      await store.read("").catch(() => {});
      return store.health().state === "up";
    });
  }).timeout(20_000);

  it("tells as long as writes fail that they do, however well it reads", async () => {
    const { server, mesh } = await start();
    const store = await open(`redis://127.0.0.1:${server.port}`, login());
    const fence = await store.acquire("mirror", "a", 60_000);
    assert.ok(fence);
    const value = { key: "local/x", value: "1" };
    await mesh("-xadd");
    await assert.rejects(store.write([value], fence), (error) => hasCode(error, "REGISTRY_DENIED"));
    await store.read("");
    const health = store.health();
    assert.ok(health.state === "degraded" && health.reason.includes("write to the registry"));
    await mesh("+xadd");
    await store.write([value], fence);
    assert.equal(store.health().state, "up");
  });
});
