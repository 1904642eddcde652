import type { Redis } from "ioredis";
import { childAbort } from "../core/abort.ts";
import { MeshError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import { connectBlocking, RedisConnection, type RedisEndpoint, redisError } from "./redis-connection.ts";
import { ORIGIN, revisionOf, streamId } from "./redis-revision.ts";
import type { RegistryStore, Snapshot, StoreHealth } from "./store.ts";
import { type Change, checkMutations, type Entry, type Fence, type Mutation } from "./store.ts";

export interface RedisStoreOptions {
  /** The cluster whose state this is: part of every key, and the hash tag that keeps them on one slot. */
  readonly cluster: string;
  readonly endpoint: RedisEndpoint;
  readonly random: Random;
  /** Changes kept for watches to resume from, roughly. */
  readonly maxChanges?: number;
  /** Bytes of keys and values of the changes kept, roughly. */
  readonly maxChangeBytes?: number;
  /** How long a watch waits in one call; also how soon it notices that the store lost its data. */
  readonly blockMs?: number;
}

type StreamEntry = [id: string, fields: string[]];

interface StreamChange {
  readonly id: string;
  /** Id of the change before. */
  readonly previous: string;
  readonly change: Change;
}

const SCAN_COUNT = 256;
const CHANGES_PER_READ = 500;
const READ_ATTEMPTS = 5;

function streamChange([id, fields]: StreamEntry): StreamChange {
  const field = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) field.set(fields[i] ?? "", fields[i + 1] ?? "");
  const key = field.get("k") ?? "";
  const value = field.get("v");
  const revision = revisionOf(id);
  return {
    id,
    previous: field.get("p") ?? "",
    change: value === undefined ? { key, revision } : { key, value, revision },
  };
}

function compacted(after: string): MeshError {
  return new MeshError("REGISTRY_COMPACTED", `Cannot watch after revision ${after}: it is not kept. Read again.`);
}

function fenceText({ token, holder }: Fence): string {
  return `${token} ${holder}`;
}

/**
 * The registry in Redis. Under `mesh:{<cluster>}:` are `data` (hash: key -> `<revision> <value>`), `changes` (stream),
 * `meta` (hash: revision, tokens) and `lease:<name>`.
 *
 * Every change in the stream names the one before it. A reader that finds a gap in that chain (trimmed, flushed, a
 * replica promoted that lacks what the reader saw) knows that it must read everything again.
 */
export class RedisStore implements RegistryStore {
  readonly #options: RedisStoreOptions;
  readonly #connection: RedisConnection;
  readonly #name: string;
  readonly #keyPrefix: string;
  readonly #watches = new Set<AbortController>();
  readonly #blockMs: number;
  #closed = false;

  constructor(options: RedisStoreOptions) {
    this.#options = options;
    this.#blockMs = options.blockMs ?? 1_000;
    this.#name = `mesh-${options.cluster}`;
    this.#keyPrefix = `mesh:{${options.cluster}}:`;
    this.#connection = new RedisConnection(options.endpoint, this.#name, options.random);
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
      redis.meshWrite(this.#key("data"), this.#key("changes"), this.#key("meta"), this.#leaseKey(fence.lease), ...args),
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
      const redis = await connectBlocking(this.#options.endpoint, `${this.#name}-watch`, this.#blockMs, ended);
      let cursor = streamId(after);
      let behind = false;
      while (!ended.aborted) {
        const tip = await this.#tip(redis);
        // Behind the tip and yet nothing was found to read: the stream is gone.
        if (revisionOf(tip) < revisionOf(cursor) || (behind && tip !== cursor)) throw compacted(cursor);
        const batch = await this.#next(redis, cursor);
        behind = batch.length === 0 && tip !== cursor;
        for (const { id, previous, change } of batch) {
          if (previous !== cursor) throw compacted(cursor);
          cursor = id;
          if (change.key.startsWith(prefix)) yield change;
          if (ended.aborted) return;
        }
      }
    } catch (error) {
      if (!ended.aborted) throw redisError(error, "watch the registry");
    } finally {
      // Leaving the scope aborts `stop`, which drops the connection.
      this.#watches.delete(stop);
    }
  }

  async acquire(lease: string, holder: string, ttlMs: number): Promise<Fence | undefined> {
    const token = await this.#connection.call("acquire a lease", (redis) =>
      redis.meshAcquire(this.#leaseKey(lease), this.#key("meta"), lease, holder, String(ttlMs)),
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
      redis.meshRelease(this.#leaseKey(fence.lease), fenceText(fence)),
    );
  }

  health(): StoreHealth {
    return this.#connection.health();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#connection.close();
    for (const stop of this.#watches) stop.abort();
  }

  #key(name: "data" | "changes" | "meta"): string {
    return this.#keyPrefix + name;
  }

  #leaseKey(lease: string): string {
    return `${this.#keyPrefix}lease:${lease}`;
  }

  async #tip(redis: Redis): Promise<string> {
    return (await redis.hget(this.#key("meta"), "revision")) ?? ORIGIN;
  }

  async #next(redis: Redis, cursor: string): Promise<StreamChange[]> {
    const reply = await redis.xread(
      "COUNT",
      CHANGES_PER_READ,
      "BLOCK",
      this.#blockMs,
      "STREAMS",
      this.#key("changes"),
      cursor,
    );
    return (reply?.[0]?.[1] ?? []).map(streamChange);
  }

  /**
   * Scans in chunks, so that a large registry never holds Redis up, then applies what changed meanwhile: the result
   * is the state at the revision after the scan. Undefined where those changes are no longer known.
   */
  async #readOnce(prefix: string): Promise<Snapshot | undefined> {
    const call = <T>(command: (redis: Redis) => Promise<T>) => this.#connection.call("read the registry", command);
    let cursor = await call((redis) => this.#tip(redis));
    const entries = new Map<string, Entry>();
    const pattern = `${prefix.replace(/[\\*?[\]]/g, "\\$&")}*`;
    let scan = "0";
    do {
      const [next, fields] = await call((redis) =>
        redis.hscan(this.#key("data"), scan, "MATCH", pattern, "COUNT", SCAN_COUNT),
      );
      for (let i = 0; i + 1 < fields.length; i += 2) {
        const key = fields[i] ?? "";
        const stored = fields[i + 1] ?? "";
        const space = stored.indexOf(" ");
        entries.set(key, { key, value: stored.slice(space + 1), revision: revisionOf(stored.slice(0, space)) });
      }
      scan = next;
    } while (scan !== "0");
    const end = await call((redis) => this.#tip(redis));
    while (cursor !== end) {
      const from = cursor;
      const batch = await call((redis) =>
        redis.xrange(this.#key("changes"), `(${from}`, end, "COUNT", CHANGES_PER_READ),
      );
      if (batch.length === 0) return undefined;
      for (const { id, previous, change } of batch.map(streamChange)) {
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
