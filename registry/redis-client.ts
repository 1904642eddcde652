import { Cluster, Redis, type RedisOptions } from "ioredis";
import { errorText, MeshError } from "../core/errors.ts";
import { type RegistryCommands, SCRIPTS } from "./redis-scripts.ts";

/** ioredis's options, without the one that its constructor's types choke on. */
export type ServerOptions = Omit<RedisOptions, "replyMapping">;

export interface RedisNode {
  readonly host: string;
  readonly port: number;
}

/** Where Redis is and how to get in. */
export interface RedisEndpoint {
  /** Of each node. With `sentinels` and `name`, Sentinel is asked for the master. */
  readonly server: ServerOptions;
  /** A Redis Cluster, known from any of these; `server` then names no host. */
  readonly clusterNodes?: readonly RedisNode[];
  /** For one answer, and for a connection to be made. */
  readonly timeoutMs: number;
}

export type RedisMode = "single" | "sentinel" | "cluster";

export function modeOf({ server, clusterNodes }: RedisEndpoint): RedisMode {
  if (clusterNodes !== undefined) return "cluster";
  return server.sentinels === undefined ? "single" : "sentinel";
}

/** A client of one Redis, however many nodes that has. Its scripts are sent by their hash, in full where unknown. */
export interface RedisClient extends RegistryCommands {
  connect(): Promise<void>;
  disconnect(): void;
  /** Of a Redis Cluster. */
  nodes?(role: "all"): { readonly options: { host?: string; port?: number }; info(): Promise<string> }[];
  on(event: "ready" | "close" | "end", listener: () => void): unknown;
  on(event: "error" | "node error", listener: (error: unknown) => void): unknown;
}

interface ClientOptions {
  readonly name: string;
  /** For one answer. */
  readonly commandTimeoutMs: number;
  /** A connection that has been silent for so long while an answer was due is dead. */
  readonly silenceMs: number;
  /** Delay before the n-th attempt to connect again, from 1; absent: none. */
  readonly retryMs?: (attempt: number) => number;
}

/** More would only repeat what the next attempt of the caller does. */
const MAX_REDIRECTIONS = 12;

/** A client that is not connected yet. */
export function createRedisClient(endpoint: RedisEndpoint, options: ClientOptions): RedisClient {
  const { server, clusterNodes, timeoutMs } = endpoint;
  const { name, commandTimeoutMs, silenceMs, retryMs } = options;
  const retry = retryMs ?? (() => null);
  const node: ServerOptions = {
    ...server,
    protocol: 2,
    connectionName: name,
    connectTimeout: timeoutMs,
    commandTimeout: commandTimeoutMs,
    // Without this a silent connection would be kept until TCP gives up, minutes later.
    socketTimeout: silenceMs,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // INFO is refused to users without @dangerous; a loading server answers LOADING anyway.
    enableReadyCheck: false,
    disableClientInfo: true,
  };
  const client =
    clusterNodes === undefined
      ? new Redis({
          ...node,
          lazyConnect: true,
          // Nothing waits for a connection: callers keep their work and retry.
          enableOfflineQueue: false,
          retryStrategy: retry,
          sentinelRetryStrategy: retry,
          sentinelCommandTimeout: timeoutMs,
          // A demoted master: connect again, to find the new one.
          reconnectOnError: (error) => retryMs !== undefined && error.message.startsWith("READONLY"),
        })
      : new Cluster(
          clusterNodes.map(({ host, port }) => ({ host, port })),
          {
            lazyConnect: true,
            enableOfflineQueue: false,
            enableReadyCheck: false,
            maxRedirections: MAX_REDIRECTIONS,
            slotsRefreshTimeout: timeoutMs,
            clusterRetryStrategy: retry,
            // Certificates speak of the names that nodes go by, not of what these resolve to.
            dnsLookup: (address, done) => done(null, address),
            redisOptions: node,
          },
        );
  for (const [script, definition] of Object.entries(SCRIPTS)) client.defineCommand(script, definition);
  return client as unknown as RedisClient;
}

/** An error's own words, or those of the node on which all of a Redis Cluster failed. */
function redisText(error: unknown): string {
  const { lastNodeError } = error as { lastNodeError?: unknown };
  return errorText(lastNodeError ?? error);
}

/**
 * What went wrong as a MeshError. Without the cause: ioredis hangs the command's arguments on its errors, and
 * those hold the password or the values.
 */
export function redisError(error: unknown, doing: string): MeshError {
  if (error instanceof MeshError) return error;
  const text = redisText(error);
  if (/^FENCED/.test(text)) {
    return new MeshError("REGISTRY_FENCED", `Cannot ${doing}: another holder has the lease.`);
  }
  if (/\b(NOAUTH|WRONGPASS|NOPERM|DENIED)\b|invalid password|ACL failure|executing the script can't/.test(text)) {
    return new MeshError("REGISTRY_DENIED", `Cannot ${doing}: Redis says ${text} Check user, password and ACL.`);
  }
  return new MeshError("REGISTRY_UNAVAILABLE", `Cannot ${doing}: ${text || "no connection"}.`);
}
