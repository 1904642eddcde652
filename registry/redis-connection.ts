import { type Clock, every } from "../core/clock.ts";
import { hasCode, MeshError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import { createRedisClient, type RedisClient, type RedisEndpoint, redisError } from "./redis-client.ts";
import { RedisSession } from "./redis-session.ts";
import type { StoreHealth } from "./store.ts";

export interface RedisConnectionOptions {
  readonly endpoint: RedisEndpoint;
  /** Reads the credentials again. Absent: they are for ever. */
  readonly reread?: () => Promise<RedisEndpoint>;
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
}

/** How often credentials are read again, and how soon after each other where Redis refuses them. */
const REREAD_MS = 5_000;
const REREAD_DENIED_MS = 500;

/** What is done in a call: its failure is told as long as the same did not succeed. */
type Doing =
  | "read the registry"
  | "watch the registry"
  | "write to the registry"
  | "acquire a lease"
  | "renew a lease"
  | "release a lease"
  | "ask the registry"
  | "clear the registry";

/** What is repeated until it succeeds; the failure of anything else says nothing of later. */
const REPEATED: readonly Doing[] = [
  "read the registry",
  "watch the registry",
  "write to the registry",
  "acquire a lease",
  "renew a lease",
];

/**
 * The connection for commands. Credentials that change are tried on a session of their own, which takes the place of
 * the former once Redis lets it in: neither order of changing them, in Redis or in the files, costs a call more than
 * Redis itself refuses.
 */
export class RedisConnection {
  readonly #options: RedisConnectionOptions;
  readonly #stalled = new Map<Doing, string>();
  #session: RedisSession;
  /** With newer credentials, not let in yet. */
  #next: RedisSession | undefined;
  #reading = false;
  #readMs: number;
  readonly #stopReading: () => void;
  #cancelClose: () => void = () => {};
  #closed = false;

  constructor(options: RedisConnectionOptions) {
    const { endpoint, reread, clock } = options;
    this.#options = options;
    this.#readMs = clock.nowMs();
    this.#session = this.#open(endpoint);
    this.#stopReading = reread === undefined ? () => {} : every(clock, REREAD_MS, () => this.#reread());
  }

  /** The credentials that are in use. */
  get endpoint(): RedisEndpoint {
    return this.#session.endpoint;
  }

  /** Runs `command`; waits only for the very first connection attempt. */
  async call<T>(doing: Doing, command: (redis: RedisClient) => Promise<T>): Promise<T> {
    if (!this.#session.ready && !this.#closed) await this.#session.first;
    const session = this.#session;
    if (this.#closed) throw new MeshError("REGISTRY_UNAVAILABLE", `Cannot ${doing}: the registry is closed.`);
    if (!session.ready) throw session.failure ?? redisError(new Error("no connection"), doing);
    try {
      const result = await command(session.client);
      this.#succeeded(doing);
      return result;
    } catch (error) {
      // The connection's own failure says more than that the command was dropped with it.
      const failure = session.failure ?? redisError(error, doing);
      if (hasCode(failure, "REGISTRY_DENIED")) this.#denied();
      if (hasCode(failure, "REGISTRY_UNAVAILABLE", "REGISTRY_DENIED")) {
        if (REPEATED.includes(doing)) this.#stalled.set(doing, failure.message);
      } else {
        this.#succeeded(doing);
      }
      throw failure;
    }
  }

  health(): StoreHealth {
    if (this.#closed) return { state: "degraded", reason: "closed" };
    const { ready, failure } = this.#session;
    const [stalled] = this.#stalled.values();
    const reason = ready ? stalled : (failure?.message ?? "connecting");
    return reason === undefined ? { state: "up" } : { state: "degraded", reason };
  }

  close(): void {
    this.#closed = true;
    this.#stopReading();
    this.#cancelClose();
    this.#session.close();
    this.#next?.close();
  }

  #open(endpoint: RedisEndpoint): RedisSession {
    const { name, random } = this.#options;
    const session: RedisSession = new RedisSession(endpoint, name, random, {
      onReady: () => {
        if (session === this.#next) this.#take(session);
        if (session === this.#session) this.#stalled.clear();
      },
      onDenied: () => this.#denied(),
    });
    return session;
  }

  /** It answered. A lease that is asked for anew also ends what its former term left undone. */
  #succeeded(doing: Doing): void {
    if (this.#stalled.size === 0) return;
    this.#stalled.delete(doing);
    if (doing !== "acquire a lease") return;
    this.#stalled.delete("renew a lease");
    this.#stalled.delete("write to the registry");
  }

  #denied(): void {
    if (this.#options.clock.nowMs() - this.#readMs >= REREAD_DENIED_MS) this.#reread();
  }

  #reread(): void {
    const { reread, clock } = this.#options;
    if (reread === undefined || this.#reading || this.#closed) return;
    this.#reading = true;
    this.#readMs = clock.nowMs();
    reread()
      .then(
        (endpoint) => this.#offer(endpoint),
        () => {
          // Files that are being replaced: what was read before holds until they are there.
        },
      )
      .finally(() => {
        this.#reading = false;
      });
  }

  #offer(endpoint: RedisEndpoint): void {
    if (this.#closed || same(endpoint, (this.#next ?? this.#session).endpoint)) return;
    this.#next?.close();
    this.#next = same(endpoint, this.#session.endpoint) ? undefined : this.#open(endpoint);
  }

  #take(session: RedisSession): void {
    const former = this.#session;
    this.#session = session;
    this.#next = undefined;
    // What is under way there has its time to end.
    this.#cancelClose();
    const close = () => former.close();
    const cancel = this.#options.clock.after(former.endpoint.timeoutMs, close);
    this.#cancelClose = () => {
      cancel();
      close();
    };
  }
}

function same(one: RedisEndpoint, other: RedisEndpoint): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
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
