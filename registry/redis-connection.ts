import { backoffMs, RECONNECT } from "../core/backoff.ts";
import { hasCode, MeshError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import { createRedisClient, type RedisClient, type RedisEndpoint, redisError } from "./redis-client.ts";
import type { StoreHealth } from "./store.ts";

/** The connection for commands: reconnects for ever with jitter; calls fail fast while there is none. */
export class RedisConnection {
  readonly #redis: RedisClient;
  readonly #first: Promise<void>;
  #ready = false;
  #failure: MeshError | undefined;
  #stalled: string | undefined;
  #closed = false;

  constructor(endpoint: RedisEndpoint, name: string, random: Random) {
    const redis = createRedisClient(endpoint, {
      name,
      commandTimeoutMs: endpoint.timeoutMs,
      silenceMs: endpoint.timeoutMs * 2,
      retryMs: (attempt) => Math.ceil(backoffMs(attempt - 1, RECONNECT, random)),
    });
    this.#redis = redis;
    const failed = (error: unknown) => {
      this.#failure = redisError(error, "reach the registry");
    };
    redis.on("ready", () => {
      this.#ready = true;
      this.#failure = undefined;
      this.#stalled = undefined;
    });
    redis.on("error", failed);
    // Of a Redis Cluster: one node's. It counts as long as no other node lets us in.
    redis.on("node error", (error) => {
      if (!this.#ready) failed(error);
    });
    redis.on("close", () => {
      this.#ready = false;
      this.#failure ??= redisError(new Error("the connection was closed"), "reach the registry");
    });
    this.#first = new Promise((resolve) => {
      redis.on("ready", resolve);
      // Without a Sentinel that answers, no attempt ends; the first error tells as much.
      redis.on("error", () => resolve());
      redis.on("close", resolve);
    });
    redis.connect().catch(() => {
      // Told by the events above.
    });
  }

  /** Runs `command`; waits only for the very first connection attempt. */
  async call<T>(doing: string, command: (redis: RedisClient) => Promise<T>): Promise<T> {
    if (!this.#ready && !this.#closed) await this.#first;
    if (this.#closed) throw new MeshError("REGISTRY_UNAVAILABLE", `Cannot ${doing}: the registry is closed.`);
    if (!this.#ready) throw this.#failure ?? redisError(new Error("no connection"), doing);
    try {
      const result = await command(this.#redis);
      this.#stalled = undefined;
      return result;
    } catch (error) {
      // The connection's own failure says more than that the command was dropped with it.
      const failure = this.#ready ? redisError(error, doing) : (this.#failure ?? redisError(error, doing));
      if (hasCode(failure, "REGISTRY_UNAVAILABLE", "REGISTRY_DENIED")) this.#stalled = failure.message;
      throw failure;
    }
  }

  health(): StoreHealth {
    if (this.#closed) return { state: "degraded", reason: "closed" };
    const reason = this.#ready ? this.#stalled : (this.#failure?.message ?? "connecting");
    return reason === undefined ? { state: "up" } : { state: "degraded", reason };
  }

  close(): void {
    this.#closed = true;
    this.#redis.disconnect();
  }
}

/**
 * A connection of its own for reads that block for up to `blockMs`; dropped when `signal` aborts. It is not made
 * again when it fails.
 * @throws MeshError REGISTRY_UNAVAILABLE, REGISTRY_DENIED
 */
export async function connectBlocking(
  endpoint: RedisEndpoint,
  name: string,
  blockMs: number,
  signal: AbortSignal,
): Promise<RedisClient> {
  const commandTimeoutMs = blockMs + endpoint.timeoutMs;
  const redis = createRedisClient(endpoint, { name, commandTimeoutMs, silenceMs: commandTimeoutMs });
  let failure: unknown;
  const failed = (error: unknown) => {
    failure = error;
  };
  redis.on("error", failed);
  redis.on("node error", failed);
  signal.addEventListener("abort", () => redis.disconnect(), { once: true });
  try {
    await redis.connect();
    return redis;
  } catch (error) {
    redis.disconnect();
    throw redisError(failure ?? error, "watch the registry");
  }
}
