import { Redis, type RedisOptions } from "ioredis";
import { backoffMs, RECONNECT } from "../core/backoff.ts";
import { errorText, hasCode, MeshError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import { type ScriptedRedis, withScripts } from "./redis-scripts.ts";
import type { StoreHealth } from "./store.ts";

/** ioredis's options, without the one that its constructor's types choke on. */
export type ServerOptions = Omit<RedisOptions, "replyMapping">;

/** Where Redis is and how to get in. Sentinel's options are ioredis's own and pass through `server`. */
export interface RedisEndpoint {
  readonly server: ServerOptions;
  /** For one answer, and for a connection to be made. */
  readonly timeoutMs: number;
}

/**
 * What went wrong as a MeshError. Without the cause: ioredis hangs the command's arguments on its errors, and
 * those hold the password or the values.
 */
export function redisError(error: unknown, doing: string): MeshError {
  if (error instanceof MeshError) return error;
  const text = errorText(error);
  if (/^FENCED/.test(text)) {
    return new MeshError("REGISTRY_FENCED", `Cannot ${doing}: another holder has the lease.`);
  }
  if (/^(NOAUTH|WRONGPASS|NOPERM|DENIED)|invalid password/.test(text)) {
    return new MeshError("REGISTRY_DENIED", `Cannot ${doing}: Redis says ${text} Check user, password and ACL.`);
  }
  return new MeshError("REGISTRY_UNAVAILABLE", `Cannot ${doing}: ${text || "no connection"}.`);
}

function options({ server, timeoutMs }: RedisEndpoint, name: string): ServerOptions {
  return {
    ...server,
    protocol: 2,
    connectionName: name,
    lazyConnect: true,
    connectTimeout: timeoutMs,
    // Nothing waits for a connection: callers keep their work and retry.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // INFO is refused to users without @dangerous; a loading server answers LOADING anyway.
    enableReadyCheck: false,
    disableClientInfo: true,
  };
}

/** The connection for commands: reconnects for ever with jitter; calls fail fast while there is none. */
export class RedisConnection {
  readonly #redis: ScriptedRedis;
  readonly #first: Promise<void>;
  #ready = false;
  #failure: MeshError | undefined;
  #stalled: string | undefined;
  #closed = false;

  constructor(endpoint: RedisEndpoint, name: string, random: Random) {
    const redis = new Redis({
      ...options(endpoint, name),
      commandTimeout: endpoint.timeoutMs,
      // A silent connection is dead; without this it would be kept until TCP gives up, minutes later.
      socketTimeout: endpoint.timeoutMs * 2,
      retryStrategy: (times) => Math.ceil(backoffMs(times - 1, RECONNECT, random)),
      // A demoted master: connect again, to find the new one.
      reconnectOnError: (error) => error.message.startsWith("READONLY"),
    });
    this.#redis = withScripts(redis);
    this.#first = new Promise((resolve) => {
      redis.once("ready", resolve);
      redis.once("close", resolve);
    });
    redis.on("ready", () => {
      this.#ready = true;
      this.#failure = undefined;
      this.#stalled = undefined;
    });
    redis.on("error", (error: unknown) => {
      this.#failure = redisError(error, "reach the registry");
    });
    redis.on("close", () => {
      this.#ready = false;
      this.#failure ??= redisError(new Error("the connection was closed"), "reach the registry");
    });
    redis.connect().catch(() => {
      // Told by the events above.
    });
  }

  /** Runs `command`; waits only for the very first connection attempt. */
  async call<T>(doing: string, command: (redis: ScriptedRedis) => Promise<T>): Promise<T> {
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
): Promise<Redis> {
  const timeoutMs = blockMs + endpoint.timeoutMs;
  const redis = new Redis({
    ...options(endpoint, name),
    commandTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    retryStrategy: () => null,
  });
  let failure: unknown;
  redis.on("error", (error: unknown) => {
    failure = error;
  });
  signal.addEventListener("abort", () => redis.disconnect(), { once: true });
  try {
    await redis.connect();
    return redis;
  } catch (error) {
    redis.disconnect();
    throw redisError(failure ?? error, "watch the registry");
  }
}
