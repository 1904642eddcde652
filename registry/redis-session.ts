import { backoffMs, RECONNECT } from "../core/backoff.ts";
import { hasCode, type MeshError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import { createRedisClient, type RedisClient, type RedisEndpoint, redisError } from "./redis-client.ts";

interface SessionEvents {
  /** Connected, and let in. */
  onReady(): void;
  /** Redis does not take these credentials. */
  onDenied(): void;
}

/** A client under one set of credentials: connects again for ever with jitter. Calls fail fast while it cannot. */
export class RedisSession {
  readonly endpoint: RedisEndpoint;
  readonly client: RedisClient;
  /** Resolves with the end of the first attempt, whatever that was. */
  readonly first: Promise<void>;
  #ready = false;
  #failure: MeshError | undefined;

  constructor(endpoint: RedisEndpoint, name: string, random: Random, { onReady, onDenied }: SessionEvents) {
    const client = createRedisClient(endpoint, {
      name,
      commandTimeoutMs: endpoint.timeoutMs,
      silenceMs: endpoint.timeoutMs * 2,
      retryMs: (attempt) => Math.ceil(backoffMs(attempt - 1, RECONNECT, random)),
    });
    this.endpoint = endpoint;
    this.client = client;
    const failed = (error: unknown) => {
      this.#failure = redisError(error, "reach the registry");
      if (hasCode(this.#failure, "REGISTRY_DENIED")) onDenied();
    };
    client.on("ready", () => {
      this.#ready = true;
      this.#failure = undefined;
      onReady();
    });
    client.on("error", failed);
    // Of a Redis Cluster: one node's. It counts as long as no other node lets us in.
    client.on("node error", (error) => {
      if (!this.#ready) failed(error);
    });
    client.on("close", () => {
      this.#ready = false;
      this.#failure ??= redisError(new Error("the connection was closed"), "reach the registry");
    });
    this.first = new Promise((resolve) => {
      client.on("ready", resolve);
      // Without a Sentinel that answers, no attempt ends; the first error tells as much.
      client.on("error", () => resolve());
      client.on("close", resolve);
    });
    client.connect().catch(() => {
      // Told by the events above.
    });
  }

  get ready(): boolean {
    return this.#ready;
  }

  /** Why it is not ready; undefined as long as nothing is known. */
  get failure(): MeshError | undefined {
    return this.#ready ? undefined : this.#failure;
  }

  close(): void {
    this.client.disconnect();
  }
}
