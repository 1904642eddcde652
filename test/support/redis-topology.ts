import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { eventually } from "./eventually.ts";
import { freePort, RedisServer, type RedisServerOptions, writeCertificates } from "./redis-server.ts";
import { TcpRelay } from "./tcp-relay.ts";

interface TopologyOptions {
  /** TLS with client certificates everywhere, and this password: of user `admin`, and of the Sentinels. */
  readonly secret?: string;
  /** ACL rules by user, besides `admin`. */
  readonly users?: Readonly<Record<string, string>>;
  /** Folder with certificates that others use too. */
  readonly certificates?: string;
}

/** What is common to the servers of one Redis. */
class Common {
  readonly #options: TopologyOptions;
  readonly #servers: RedisServer[] = [];
  readonly #admins = new Map<RedisServer, Redis>();
  certificates = "";

  constructor(options: TopologyOptions) {
    this.#options = options;
  }

  get secret(): string {
    return this.#options.secret ?? "";
  }

  async prepare(): Promise<void> {
    const { secret, certificates } = this.#options;
    if (secret === undefined) return;
    this.certificates = certificates ?? "";
    if (certificates !== undefined) return;
    this.certificates = await mkdtemp(join(tmpdir(), "redis-tls-"));
    await writeCertificates(this.certificates);
  }

  async start(config: readonly string[], sentinel = false): Promise<RedisServer> {
    const { secret, users } = this.#options;
    const options: RedisServerOptions = {
      sentinel,
      config: [
        // Lets a test give a server another directory.
        ...(sentinel ? [] : ["enable-protected-configs local"]),
        ...(secret === undefined ? [] : ["tls-replication yes"]),
        ...(secret === undefined || !sentinel ? [] : [`requirepass ${secret}`]),
        ...config,
      ],
      ...(secret === undefined ? {} : { tls: true, certificates: this.certificates }),
      ...(secret === undefined || sentinel ? {} : { users: { admin: `on >${secret} ~* &* +@all`, ...users } }),
    };
    const server = await RedisServer.start(options);
    this.#servers.push(server);
    return server;
  }

  /** A connection that may do everything. */
  admin(server: RedisServer): Redis {
    const known = this.#admins.get(server);
    if (known !== undefined) return known;
    const { secret } = this.#options;
    const file = (name: string) => readFileSync(join(this.certificates, name));
    const admin = new Redis({
      host: "127.0.0.1",
      port: server.port,
      ...(secret === undefined
        ? {}
        : {
            username: "admin",
            password: secret,
            tls: { ca: file("ca.pem"), cert: file("cert.pem"), key: file("key.pem") },
          }),
    });
    admin.on("error", () => {});
    this.#admins.set(server, admin);
    return admin;
  }

  async stop(): Promise<void> {
    for (const admin of this.#admins.values()) admin.disconnect();
    await Promise.all(this.#servers.map((server) => server.stop()));
    if (this.certificates !== (this.#options.certificates ?? ""))
      await rm(this.certificates, { recursive: true, force: true });
  }
}

const MASTER = "registry";

/** A master, a replica and three Sentinels, of which two must agree. */
export class SentinelTopology {
  readonly #common: Common;
  readonly servers: readonly RedisServer[];
  readonly sentinels: readonly RedisServer[];

  private constructor(common: Common, servers: readonly RedisServer[], sentinels: readonly RedisServer[]) {
    this.#common = common;
    this.servers = servers;
    this.sentinels = sentinels;
  }

  static async start(options: TopologyOptions = {}): Promise<SentinelTopology> {
    const { secret } = options;
    const common = new Common(options);
    await common.prepare();
    const login = secret === undefined ? [] : ["masteruser admin", `masterauth ${secret}`];
    const master = await common.start(login);
    const replica = await common.start([...login, `replicaof 127.0.0.1 ${master.port}`]);
    const synced = async () => (await common.admin(replica).info("replication")).includes("master_link_status:up");
    await eventually(synced);
    const watched = [
      `sentinel monitor ${MASTER} 127.0.0.1 ${master.port} 2`,
      `sentinel down-after-milliseconds ${MASTER} 500`,
      `sentinel failover-timeout ${MASTER} 3000`,
      ...(secret === undefined
        ? []
        : [
            `sentinel auth-user ${MASTER} admin`,
            `sentinel auth-pass ${MASTER} ${secret}`,
            `sentinel sentinel-pass ${secret}`,
          ]),
    ];
    const sentinels = await Promise.all([1, 2, 3].map(() => common.start(watched, true)));
    const topology = new SentinelTopology(common, [master, replica], sentinels);
    // Without having found each other and the replica they cannot agree on a failover.
    await eventually(async () => {
      const known = await Promise.all(sentinels.map((sentinel) => topology.#told(sentinel)));
      return known.every((told) => told.get("num-slaves") === "1" && told.get("num-other-sentinels") === "2");
    });
    return topology;
  }

  get url(): string {
    const scheme = this.#common.certificates === "" ? "redis+sentinel" : "rediss+sentinel";
    return `${scheme}://${this.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(",")}/${MASTER}`;
  }

  get certificates(): string {
    return this.#common.certificates;
  }

  admin(server: RedisServer): Redis {
    return this.#common.admin(server);
  }

  /** Port of the master as a Sentinel tells it. */
  async masterPort(): Promise<number> {
    const [sentinel] = this.sentinels;
    return sentinel === undefined ? 0 : Number((await this.#told(sentinel)).get("port"));
  }

  /** Has the Sentinels make the replica the master; resolves when they have begun. */
  async failover(): Promise<void> {
    const [sentinel] = this.sentinels;
    if (sentinel === undefined) throw new Error("there are Sentinels");
    await this.#ask(sentinel, (client) => client.call("SENTINEL", "FAILOVER", MASTER));
  }

  async stop(): Promise<void> {
    await this.#common.stop();
  }

  async #told(sentinel: RedisServer): Promise<Map<string, string>> {
    const reply = (await this.#ask(sentinel, (client) => client.call("SENTINEL", "MASTER", MASTER))) as string[];
    return new Map(reply.flatMap((text, i) => (i % 2 === 0 ? [[text, reply[i + 1] ?? ""] as const] : [])));
  }

  async #ask<T>(sentinel: RedisServer, ask: (client: Redis) => Promise<T>): Promise<T> {
    const { secret } = this.#common;
    const file = (name: string) => readFileSync(join(this.certificates, name));
    const client = new Redis({
      host: "127.0.0.1",
      port: sentinel.port,
      ...(secret === ""
        ? {}
        : { password: secret, tls: { ca: file("ca.pem"), cert: file("cert.pem"), key: file("key.pem") } }),
      enableReadyCheck: false,
      retryStrategy: () => null,
    });
    client.on("error", () => {});
    try {
      return await ask(client);
    } finally {
      client.disconnect();
    }
  }
}

interface ClusterOptions extends TopologyOptions {
  /** This many servers more, each of which follows the master of a slot that nobody else follows. */
  readonly replicas?: number;
  /** Clients, and replicas, come to each server through a relay. */
  readonly relayed?: boolean;
}

const MASTERS = 3;

/** Masters that share the slots. */
export class ClusterTopology {
  readonly #common: Common;
  readonly servers: readonly RedisServer[];
  /** In front of each server, where asked for. */
  readonly relays: readonly TcpRelay[];

  private constructor(common: Common, servers: readonly RedisServer[], relays: readonly TcpRelay[]) {
    this.#common = common;
    this.servers = servers;
    this.relays = relays;
  }

  static async start(options: ClusterOptions = {}): Promise<ClusterTopology> {
    const { replicas = 0, relayed = false, secret } = options;
    const nodes = MASTERS + replicas;
    const common = new Common(options);
    await common.prepare();
    const busPorts: number[] = [];
    const servers: RedisServer[] = [];
    const relays: TcpRelay[] = [];
    for (let i = 0; i < nodes; i++) {
      const busPort = await freePort();
      busPorts.push(busPort);
      const secure = secret === undefined ? [] : ["tls-cluster yes", "masteruser admin", `masterauth ${secret}`];
      const relay = relayed ? await TcpRelay.start(0) : undefined;
      const port = secret === undefined ? "cluster-announce-port" : "cluster-announce-tls-port";
      const announced = relay === undefined ? [] : [`${port} ${relay.port}`, `cluster-announce-bus-port ${busPort}`];
      const lines = ["cluster-enabled yes", `cluster-port ${busPort}`, "cluster-node-timeout 1500"];
      const server = await common.start([...lines, ...announced, ...secure]);
      servers.push(server);
      if (relay !== undefined) relays.push(relay);
      relay?.lead(server.port);
    }
    const masters = servers.slice(0, MASTERS);
    for (const [i, server] of masters.entries()) {
      const admin = common.admin(server);
      const from = Math.floor((16_384 * i) / MASTERS);
      const to = Math.floor((16_384 * (i + 1)) / MASTERS) - 1;
      await admin.call("CLUSTER", "SET-CONFIG-EPOCH", String(i + 1));
      await admin.call("CLUSTER", "ADDSLOTSRANGE", String(from), String(to));
    }
    const [first] = servers;
    if (first === undefined) throw new Error("a cluster has nodes");
    for (const [i, server] of servers.entries()) {
      if (server === first) continue;
      await common.admin(first).call("CLUSTER", "MEET", "127.0.0.1", String(server.port), String(busPorts[i]));
    }
    await eventually(async () => {
      const infos = await Promise.all(servers.map((server) => common.admin(server).call("CLUSTER", "INFO")));
      return infos.every(
        (info) => String(info).includes("cluster_state:ok") && String(info).includes(`cluster_known_nodes:${nodes}`),
      );
    });
    const topology = new ClusterTopology(common, servers, relays);
    for (const [i, replica] of servers.slice(MASTERS).entries()) await topology.#follow(replica, masters[i]);
    return topology;
  }

  get url(): string {
    const scheme = this.#common.certificates === "" ? "redis+cluster" : "rediss+cluster";
    const ports = (this.relays.length > 0 ? this.relays : this.servers).map(({ port }) => port);
    return `${scheme}://${ports.map((port) => `127.0.0.1:${port}`).join(",")}`;
  }

  get certificates(): string {
    return this.#common.certificates;
  }

  admin(server: RedisServer): Redis {
    return this.#common.admin(server);
  }

  /** The server that has the key's slot. */
  async ownerOf(key: string): Promise<RedisServer> {
    for (const server of this.servers) {
      const answer = await this.admin(server)
        .get(key)
        .then(
          () => true,
          (error: Error) => error.message.startsWith("WRONGTYPE"),
        );
      if (answer) return server;
    }
    throw new Error(`no server has the slot of ${key}`);
  }

  /** Moves the key's slot to `target` as `redis-cli --cluster reshard` does; `between` runs after each key. */
  async migrate(key: string, target: RedisServer, between: () => Promise<void> = async () => {}): Promise<void> {
    const source = await this.ownerOf(key);
    const [from, to] = [this.admin(source), this.admin(target)];
    const slot = String(await from.call("CLUSTER", "KEYSLOT", key));
    const [fromId, toId] = [String(await from.call("CLUSTER", "MYID")), String(await to.call("CLUSTER", "MYID"))];
    await to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", fromId);
    await from.call("CLUSTER", "SETSLOT", slot, "MIGRATING", toId);
    await between();
    const login = this.#common.secret === "" ? [] : ["AUTH2", "admin", this.#common.secret];
    for (;;) {
      const keys = (await from.call("CLUSTER", "GETKEYSINSLOT", slot, "1")) as string[];
      if (keys.length === 0) break;
      const args = ["127.0.0.1", String(target.port), "", "0", "10000", ...login, "KEYS", ...keys];
      await from.call("MIGRATE", ...args);
      await between();
    }
    await to.call("CLUSTER", "SETSLOT", slot, "NODE", toId);
    await from.call("CLUSTER", "SETSLOT", slot, "NODE", toId);
    for (const server of this.servers.slice(0, MASTERS)) {
      await this.admin(server).call("CLUSTER", "SETSLOT", slot, "NODE", toId);
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.relays.map((relay) => relay.stop()));
    await this.#common.stop();
  }

  async #follow(replica: RedisServer, master: RedisServer | undefined): Promise<void> {
    if (master === undefined) throw new Error("each replica has a master of its own");
    const id = String(await this.admin(master).call("CLUSTER", "MYID"));
    const admin = this.admin(replica);
    // Refused until the replica has heard of its master.
    await eventually(() =>
      admin.call("CLUSTER", "REPLICATE", id).then(
        () => true,
        () => false,
      ),
    );
    await eventually(async () => (await admin.info("replication")).includes("master_link_status:up"));
  }
}
