import { deepEqual, equal, match, notEqual, ok } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Redis } from "ioredis";
import { packageRoot } from "../clusters/node/images.ts";
import { PORTS } from "../core/defaults.ts";
import { LocalMesh, reached } from "./support/local-mesh.ts";
import { MeshRegistry } from "./support/mesh-registry.ts";
import { MeshTraffic } from "./support/mesh-traffic.ts";
import { registryRules } from "./support/redis-acl.ts";
import { hasRedisServer, writeCertificates } from "./support/redis-server.ts";
import { ClusterTopology, SentinelTopology } from "./support/redis-topology.ts";
import { TinyDisk } from "./support/tiny-disk.ts";

const META = "mesh:{west}:meta";

/** Neither what happens to east's Redis nor to west's may happen to anybody's calls, nor stay in a registry. */
describe("two linked clusters, one on Redis with Sentinels, one on a Redis Cluster", () => {
  const secret = randomBytes(12).toString("hex");
  const traffic = new MeshTraffic();
  let dir = "";
  let sentinel: SentinelTopology | undefined;
  let slots: ClusterTopology | undefined;
  let mesh: LocalMesh;
  let east: MeshRegistry;
  let west: MeshRegistry;
  let pids: string[] = [];
  let services = 0;

  before(async function () {
    this.timeout(120_000);
    if (!(await hasRedisServer())) return this.skip();
    dir = mkdtempSync(join(tmpdir(), "registry-"));
    await writeCertificates(dir);
    writePassword(secret);
    const users = { mesh: registryRules(["east", "west"], secret) };
    const options = { secret, users, certificates: dir };
    [sentinel, slots] = await Promise.all([
      SentinelTopology.start(options),
      ClusterTopology.start({ ...options, replicas: 1, relayed: true }),
    ]);
    writeFileSync(join(dir, "sentinel-password"), secret, { mode: 0o600 });
    const flags = [
      ...["--registry", `east=${sentinel.url}`, "--registry", `west=${slots.url}`, "--registry-user", "mesh"],
      ...["--registry-password-file", join(dir, "password")],
      ...["--registry-sentinel-password-file", join(dir, "sentinel-password")],
      ...["--registry-ca", join(dir, "ca.pem"), "--registry-cert", join(dir, "cert.pem")],
      ...["--registry-key", join(dir, "key.pem")],
    ];
    mesh = await LocalMesh.start({ flags });
    [east, west] = [new MeshRegistry(mesh, "east"), new MeshRegistry(mesh, "west")];
    await mesh.meshOutput("link", "--context", "east");
    const client = join(packageRoot(), "clusters", "manifests", "sample-client.yaml");
    await mesh.kubectlApply("east", readFileSync(client, "utf8"));
    await mesh.answered("west", "web-east.shop.svc.cluster.local", "east");
    await mesh.answered("east", "web-west.shop.svc.cluster.local", "west");
    pids = roles();
  });

  beforeEach(async () => {
    await traffic.start(mesh, "west", ["web.shop.svc.cluster.local", "web-east.shop.svc.cluster.local"]);
    await traffic.start(mesh, "east", ["web-west.shop.svc.cluster.local", "web.shop.svc.clusterset.local"]);
  });

  afterEach(async () => {
    console.log(`      ${await traffic.stop()}`);
  });

  after(async () => {
    await mesh?.stop();
    await sentinel?.stop();
    await slots?.stop();
    if (dir !== "") rmSync(dir, { recursive: true, force: true });
  });

  function writePassword(password: string): void {
    writeFileSync(join(dir, "password"), `${password}\n`, { mode: 0o600 });
  }

  /** Processes of roles, by name and id. */
  function roles(): string[] {
    return ["east", "west"].flatMap((cluster) =>
      ["control", "gateway", "mirror"].map((name) => `${cluster} ${name} ${mesh.record(cluster, name)?.pid}`),
    );
  }

  function redis(): { sentinel: SentinelTopology; slots: ClusterTopology } {
    ok(sentinel !== undefined && slots !== undefined);
    return { sentinel, slots };
  }

  async function onAll(run: (admin: Redis) => Promise<unknown>): Promise<void> {
    for (const topology of [redis().sentinel, redis().slots]) {
      for (const server of topology.servers) await run(topology.admin(server));
    }
  }

  /** A service that is made in one cluster gets to the other. */
  async function makeService(from: "east" | "west"): Promise<() => Promise<void>> {
    services++;
    const [registry, to] = from === "east" ? [east, "west"] : [west, "east"];
    return await registry.makeService(`later-${services}`, 8_200 + services, to);
  }

  /** That news of these clusters gets to the other, and their registries become as they should be. */
  async function whole(...clusters: ("east" | "west")[]): Promise<void> {
    await Promise.all(
      clusters.map(async (cluster) => {
        await (await makeService(cluster))();
        await (cluster === "east" ? east : west).whole();
      }),
    );
  }

  it("goes on through a failover that the Sentinels are asked for", async () => {
    const { sentinel: topology } = redis();
    const before = await topology.masterPort();
    await topology.failover();
    await reached("the replica is the master", async () => (await topology.masterPort()) !== before);
    await whole("east");
  });

  it("goes on while the slot of all its keys moves from node to node, written to after each key", async () => {
    const { slots: topology } = redis();
    const owner = await topology.ownerOf(META);
    const [first, second] = topology.servers;
    ok(first && second);
    const arrivals: (() => Promise<void>)[] = [];
    let keys = 0;
    // In the end it is with the one that has a replica.
    for (const target of owner === second ? [first] : [second, first]) {
      await topology.migrate(META, target, async () => {
        if (keys++ < 3) arrivals.push(await makeService("west"));
      });
    }
    equal(await topology.ownerOf(META), first);
    ok(keys > 5);
    for (const arrives of arrivals) await arrives();
    await whole("west");
  });

  it("works on while Redis is slow, and comes through where it is slower than calls may be", async () => {
    const { relays } = redis().slots;
    const delay = (delayMs: number) => {
      for (const relay of relays) relay.delayMs = delayMs;
    };
    delay(150);
    await (await makeService("west"))();
    await west.up();
    delay(1_500);
    const arrives = await makeService("west");
    await west.degraded();
    delay(0);
    await arrives();
    await whole("west");
  });

  it("goes on while Redis has no room on its disk", async () => {
    const disk = new TinyDisk();
    const admin = redis().slots.admin(await redis().slots.ownerOf(META));
    const [, dirBefore = ""] = (await admin.config("GET", "dir")) as string[];
    const saved = async (how: string) =>
      await reached(`a save is ${how}`, async () => {
        const info = await admin.info("persistence");
        return info.includes("rdb_bgsave_in_progress:0") && info.includes(`rdb_last_bgsave_status:${how}`);
      });
    try {
      await admin.config("SET", "dir", disk.path);
      await admin.config("SET", "save", "3600 1");
      disk.fill();
      await admin.bgsave();
      await saved("err");
      const arrives = await makeService("west");
      await west.degraded("MISCONF");
      disk.free();
      await admin.config("SET", "dir", disk.path);
      await admin.bgsave();
      await saved("ok");
      await arrives();
      await whole("west");
    } finally {
      await admin.config("SET", "save", "");
      await admin.config("SET", "dir", dirBefore);
      disk.stop();
    }
  });

  it("goes on while its user may do nothing, and is gone, and takes up the password with which it comes back", async () => {
    const setUser = (...rules: string[]) => onAll((admin) => admin.call("ACL", "SETUSER", "mesh", ...rules));
    await setUser("-@all");
    const [one, other] = await Promise.all([makeService("east"), makeService("west")]);
    await Promise.all([east.degraded("NOPERM"), west.degraded("NOPERM")]);
    // What is connected is thrown out with the user.
    await onAll((admin) => admin.call("ACL", "DELUSER", "mesh"));
    await Promise.all([east.degraded("WRONGPASS"), west.degraded("WRONGPASS")]);
    const password = randomBytes(12).toString("hex");
    await setUser(...registryRules(["east", "west"], password).split(" "));
    writePassword(password);
    await Promise.all([one(), other()]);
    await whole("east", "west");
  });

  it("is rebuilt where both Redis lost all", async () => {
    await onAll((admin) => admin.flushall().catch(() => {}));
    const rebuild = async (cluster: string) => {
      match(await mesh.meshOutput("registry", "rebuild", "--context", cluster), /^rebuilt in/);
    };
    await Promise.all([rebuild("east"), rebuild("west")]);
    const [one, other] = await Promise.all([makeService("east"), makeService("west")]);
    await Promise.all([one(), other()]);
  });

  it("has one mirror whose writes count, when two lead of which one hung together with the master", async () => {
    const { sentinel: topology } = redis();
    const layout = mesh.layout("east");
    const first = mesh.record("east", "mirror");
    ok(first);
    const command = readFileSync(`/proc/${first.pid}/cmdline`, "utf8").split("\0").slice(0, -1);
    const host = `127.${layout.octet}.0.20`;
    const other = command.map((word, i) => {
      switch (command[i - 1]) {
        case "--replica":
          return "local-1";
        case "--admin-listen":
          return `${host}:${PORTS.admin}`;
        case "--dns-listen":
          return `${host}:${PORTS.dnsUnprivileged}`;
        default:
          return word;
      }
    });
    const [file = "", ...args] = other;
    const second: ChildProcess = spawn(file, args, { cwd: packageRoot(), env: mesh.env, stdio: "ignore" });
    const port = await topology.masterPort();
    const master = topology.servers.find((server) => server.port === port);
    try {
      await mesh.ready(host);
      const leader = async () => (await east.status()).leases.find(({ lease }) => lease === "mirror");
      const before = await leader();
      equal(before?.holder, "mirror-local-0");
      process.kill(first.pid, "SIGSTOP");
      master?.signal("SIGSTOP");
      await reached("the replica is the master", async () => (await topology.masterPort()) !== port);
      await reached("the other mirror leads", async () => (await leader())?.holder === "mirror-local-1");
      await (await makeService("east"))();
      // Until the Sentinels have told the former master, both it and the first mirror believe to be what they were.
      process.kill(first.pid, "SIGCONT");
      master?.signal("SIGCONT");
      await (await makeService("east"))();
      const after = await leader();
      equal(after?.holder, "mirror-local-1", "it stays the leader");
      notEqual(after?.token, before?.token);
      await reached("the first knows that it leads no longer", async () => (await east.leases("mirror")).length === 0);
      // Ended by SIGTERM, it gives its lease up: the first has it long before a TTL is over.
      const exit = once(second, "exit");
      second.kill("SIGTERM");
      await exit;
      const given = await leader();
      ok(given?.ttlMs === 0 || given?.holder === "mirror-local-0");
      await reached("the first leads again", async () => (await leader())?.holder === "mirror-local-0");
      await whole("east");
    } finally {
      process.kill(first.pid, "SIGCONT");
      master?.signal("SIGCONT");
      second.kill("SIGKILL");
    }
  });

  it("goes on through a SIGKILL of both masters, whose replicas take over", async () => {
    const { sentinel: sentinels, slots: topology } = redis();
    const before = await sentinels.masterPort();
    const owner = await topology.ownerOf(META);
    const replica = topology.servers.at(-1);
    ok(replica);
    await Promise.all([sentinels.servers.find(({ port }) => port === before)?.kill(), owner.kill()]);
    await reached("the Sentinels have another master", async () => (await sentinels.masterPort()) !== before);
    await reached("the replica in the Cluster is a master", async () =>
      (await topology.admin(replica).info("replication")).includes("role:master"),
    );
    await whole("east", "west");
  });

  it("no role was started again meanwhile", () => {
    deepEqual(roles(), pids);
  });
});
