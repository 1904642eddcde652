import { childAbort } from "../core/abort.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { MeshError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import { ChangeFeed, type ChangeSource } from "./change-feed.ts";
import { type StreamChange, streamChange } from "./redis-changes.ts";
import { modeOf, type RedisClient, type RedisEndpoint, redisError } from "./redis-client.ts";
import { connectBlocking, RedisConnection } from "./redis-connection.ts";
import { nodesOf } from "./redis-nodes.ts";
import { ORIGIN, revisionOf } from "./redis-revision.ts";
import type { AdministeredStore, LeaseStatus, Snapshot, StoreHealth, StoreStatus } from "./store.ts";
import { type Change, checkMutations, type Entry, type Fence, type Mutation } from "./store.ts";

export interface RedisStoreOptions {
  /** The cluster whose state this is: part of every key, and the hash tag that keeps them on one slot. */
  readonly cluster: string;
  readonly endpoint: RedisEndpoint;
  /** Reads the credentials again, which is done from time to time. Absent: `endpoint` is for ever. */
  readonly reread?: () => Promise<RedisEndpoint>;
  readonly random: Random;
  /** Of rereading; the system's without. */
  readonly clock?: Clock;
  /** Changes kept for watches to resume from, roughly. */
  readonly maxChanges?: number;
  /** Bytes of keys and values of the changes kept, roughly. */
  readonly maxChangeBytes?: number;
  /** How long the reader of changes waits in one call; also how soon it notices that the store lost its data. */
  readonly blockMs?: number;
}

const READ_ENTRIES = 256;
const READ_BYTES = 1024 * 1024;
const CHANGES_PER_READ = 500;
const READ_ATTEMPTS = 5;

function fenceText({ token, holder }: Fence): string {
  return `${token} ${holder}`;
}

/**
 * The registry in Redis. Under `mesh:{<cluster>}:` are `data` (hash: key -> `<revision> <value>`), `index` (sorted set of
 * those keys), `changes` (stream), `meta` (hash: revision, tokens) and `lease:<name>`. Two connections, however many
 * watches: one for commands, one on which the reader of changes waits.
 */
export class RedisStore implements AdministeredStore {
  readonly #options: RedisStoreOptions;
  readonly #connection: RedisConnection;
  readonly #name: string;
  readonly #keyPrefix: string;
  readonly #watches = new Set<AbortController>();
  readonly #blockMs: number;
  #feed: ChangeFeed | undefined;
  #closed = false;

  constructor(options: RedisStoreOptions) {
    this.#options = options;
    this.#blockMs = options.blockMs ?? 1_000;
    this.#name = `mesh-${options.cluster}`;
    this.#keyPrefix = `mesh:{${options.cluster}}:`;
    const { endpoint, reread, random, clock = systemClock } = options;
    const more = reread === undefined ? {} : { reread };
    this.#connection = new RedisConnection({ endpoint, name: this.#name, random, clock, ...more });
  }

  async read(prefix: string): Promise<Snapshot> {
    for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
      const snapshot = await this.#readOnce(prefix);
      if (snapshot !== undefined) return snapshot;
    }
    throw new MeshError(
      "REGISTRY_UNAVAILABLE",
      "Cannot read the registry: it changes faster than it can be read. Retry.",
    );
  }

  async write(mutations: readonly Mutation[], fence: Fence): Promise<bigint> {
    checkMutations(mutations);
    const args = [
      fenceText(fence),
      String(this.#options.maxChanges ?? 20_000),
      String(this.#options.maxChangeBytes ?? 64 * 1024 * 1024),
    ];
    for (const { key, value } of mutations) args.push(key, value === undefined ? "0" : "1", value ?? "");
    const id = await this.#connection.call("write to the registry", (redis) =>
      redis.meshWrite(
        this.#key("data"),
        this.#key("changes"),
        this.#key("meta"),
        this.#leaseKey(fence.lease),
        this.#key("index"),
        ...args,
      ),
    );
    return revisionOf(id);
  }

  async *watch(prefix: string, after: bigint, signal: AbortSignal): AsyncGenerator<Change, void, undefined> {
    using stop = childAbort(signal);
    if (this.#closed) stop.abort();
    const ended = stop.signal;
    if (ended.aborted) return;
    this.#watches.add(stop);
    try {
      if (this.#feed === undefined || this.#feed.over) this.#feed = new ChangeFeed(this.#source());
      yield* this.#feed.watch(prefix, after, ended);
    } catch (error) {
      if (!ended.aborted) throw redisError(error, "watch the registry");
    } finally {
      this.#watches.delete(stop);
    }
  }

  async acquire(lease: string, holder: string, ttlMs: number, from = ""): Promise<Fence | undefined> {
    const token = await this.#connection.call("acquire a lease", (redis) =>
      redis.meshAcquire(this.#leaseKey(lease), this.#key("meta"), lease, holder, String(ttlMs), from),
    );
    return token === null ? undefined : { lease, holder, token: BigInt(token) };
  }

  async renew(fence: Fence, ttlMs: number): Promise<boolean> {
    const renewed = await this.#connection.call("renew a lease", (redis) =>
      redis.meshRenew(this.#leaseKey(fence.lease), fenceText(fence), String(ttlMs)),
    );
    return renewed === 1;
  }

  async release(fence: Fence): Promise<void> {
    await this.#connection.call("release a lease", (redis) =>
      redis.meshRelease(this.#leaseKey(fence.lease), this.#key("meta"), fenceText(fence), fence.lease),
    );
  }

  health(): StoreHealth {
    return this.#connection.health();
  }

  async status(): Promise<StoreStatus> {
    const call = <T>(command: (redis: RedisClient) => Promise<T>) => this.#connection.call("ask the registry", command);
    const meta = await call((redis) => redis.hgetall(this.#key("meta")));
    const [entries, indexed, changes] = await Promise.all([
      call((redis) => redis.hlen(this.#key("data"))),
      call((redis) => redis.zcard(this.#key("index"))),
      call((redis) => redis.xlen(this.#key("changes"))),
    ]);
    const leases: LeaseStatus[] = [];
    for (const [field, token] of Object.entries(meta)) {
      if (!field.startsWith("token:")) continue;
      const lease = field.slice("token:".length);
      const [held, ttlMs] = await Promise.all([
        call((redis) => redis.get(this.#leaseKey(lease))),
        call((redis) => redis.pttl(this.#leaseKey(lease))),
      ]);
      const holder = held === null ? undefined : held.slice(held.indexOf(" ") + 1);
      leases.push({ lease, holder, token: BigInt(token), ttlMs: Math.max(0, ttlMs) });
    }
    const nodes = await call((redis) => nodesOf(redis, this.#options.endpoint));
    const revision = revisionOf(meta["revision"] ?? ORIGIN);
    const lost = Math.abs(entries - indexed);
    return { mode: modeOf(this.#options.endpoint), revision, entries, lost, changes, leases, nodes };
  }

  async clear(): Promise<void> {
    const keys = [this.#key("data"), this.#key("changes"), this.#key("meta"), this.#key("index")] as const;
    await this.#connection.call("clear the registry", (redis) => redis.meshClear(...keys));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#connection.close();
    for (const stop of this.#watches) stop.abort();
    this.#feed?.close();
  }

  #key(name: "data" | "index" | "changes" | "meta"): string {
    return this.#keyPrefix + name;
  }

  #leaseKey(lease: string): string {
    return `${this.#keyPrefix}lease:${lease}`;
  }

  #source(): ChangeSource {
    const call = <T>(command: (redis: RedisClient) => Promise<T>) =>
      this.#connection.call("watch the registry", command);
    return {
      tip: () => call(async (redis) => (await redis.hget(this.#key("meta"), "revision")) ?? ORIGIN),
      range: (after) => this.#range(after, "+"),
      open: async (signal) => {
        let endpoint = this.#connection.endpoint;
        const connect = () => connectBlocking(endpoint, `${this.#name}-watch`, this.#blockMs, signal);
        let redis = await connect();
        const changes = this.#key("changes");
        return async (after) => {
          if (endpoint !== this.#connection.endpoint) {
            // Other credentials are in use by now: whose time is over may be taken away.
            redis.disconnect();
            endpoint = this.#connection.endpoint;
            redis = await connect();
          }
          const read = ["COUNT", CHANGES_PER_READ, "BLOCK", this.#blockMs, "STREAMS", changes, after] as const;
          return ((await redis.xread(...read))?.[0]?.[1] ?? []).map(streamChange);
        };
      },
    };
  }

  /** The changes after `after` up to and with `to`, some at a time. */
  async #range(after: string, to: string): Promise<StreamChange[]> {
    const batch = await this.#connection.call("read the registry", (redis) =>
      redis.xrange(this.#key("changes"), `(${after}`, to, "COUNT", CHANGES_PER_READ),
    );
    return batch.map(streamChange);
  }

  /**
   * Reads in chunks, so that a large registry never holds Redis up, then applies what changed meanwhile: the result
   * is the state at the revision after the last chunk. Undefined where those changes are no longer known.
   */
  async #readOnce(prefix: string): Promise<Snapshot | undefined> {
    const keys = [this.#key("data"), this.#key("index"), this.#key("meta")] as const;
    const limits = [String(READ_ENTRIES), String(READ_BYTES)] as const;
    const entries = new Map<string, Entry>();
    let cursor: string | undefined;
    let end = ORIGIN;
    let from = "";
    do {
      const [tip, last, ...pairs] = await this.#connection.call("read the registry", (redis) =>
        redis.meshRead(...keys, prefix, from, ...limits),
      );
      for (let i = 0; i + 1 < pairs.length; i += 2) {
        const key = pairs[i] ?? "";
        const stored = pairs[i + 1] ?? "";
        const space = stored.indexOf(" ");
        entries.set(key, { key, value: stored.slice(space + 1), revision: revisionOf(stored.slice(0, space)) });
      }
      cursor ??= tip;
      end = tip;
      from = last;
    } while (from !== "");
    while (cursor !== end) {
      const batch: StreamChange[] = await this.#range(cursor, end);
      if (batch.length === 0) return undefined;
      for (const { id, previous, change } of batch) {
        if (previous !== cursor) return undefined;
        cursor = id;
        const { key, value, revision } = change;
        if (!key.startsWith(prefix)) continue;
        if (value === undefined) entries.delete(key);
        else entries.set(key, { key, value, revision });
      }
    }
    return { revision: revisionOf(end), entries: [...entries.values()] };
  }
}
