import { RECONNECT } from "../core/backoff.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { MeshError } from "../core/errors.ts";
import { type Log, silentLog } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import { apiError, statusOf } from "./api-error.ts";
import type {
  ExecResult,
  ExecStreams,
  Informer,
  InformerOptions,
  KubeClient,
  KubeObject,
  ListOptions,
  ResourceType,
  TokenReviewResult,
} from "./client.ts";
import { credentialSource } from "./credentials.ts";
import { type KubeConfigOptions, type LoadedKubeConfig, loadKubeConfig } from "./kubeconfig.ts";
import { runInPod } from "./pod-exec.ts";
import { type ListPage, type ListWatch, listPages, Reflector } from "./reflector.ts";
import { collectionPath, creationPath, describeObject, objectPath } from "./resource-path.ts";
import { apiVersionOf } from "./resources.ts";
import { RestClient, type RestReply, type RestRequest } from "./rest.ts";
import { type WatchEvent, watchEvents } from "./watch-stream.ts";

export interface ConnectOptions extends KubeConfigOptions {
  /** Instead of reading files again. */
  readonly config?: LoadedKubeConfig;
  readonly log?: Log;
  readonly clock?: Clock;
  readonly random?: Random;
  /** For a request with its answer; 10,000 by default, and three times that for a page of a list. */
  readonly requestTimeoutMs?: number;
  /** 64 MiB by default. */
  readonly maxResponseBytes?: number;
  /** How long a watch may be silent before it is opened again; 100,000 by default (bookmarks come each minute). */
  readonly watchIdleMs?: number;
}

const DEFAULTS = { requestTimeoutMs: 10_000, maxResponseBytes: 64 * 1024 * 1024, watchIdleMs: 100_000 };
/** How often a kind that is missing is asked for. */
const ABSENT_MS = 5_000;
const MAX_CONNECTIONS = 16;
const FIELD_MANAGER = "causeway";
const MERGE_PATCH = "application/merge-patch+json";

/**
 * A client of the chosen context's cluster. Sends nothing yet: an unreachable server shows at the first request.
 * @throws MeshError CONTEXT_UNKNOWN, USAGE
 */
export async function connectKube(options: ConnectOptions = {}): Promise<KubeClient> {
  const config = options.config ?? (await loadKubeConfig(options));
  const clock = options.clock ?? systemClock;
  const credentials = credentialSource(config, clock);
  const timeoutMs = options.requestTimeoutMs ?? DEFAULTS.requestTimeoutMs;
  const maxResponseBytes = options.maxResponseBytes ?? DEFAULTS.maxResponseBytes;
  return new ClientNodeAdapter({
    rest: new RestClient({ credentials, clock, timeoutMs, maxResponseBytes, maxConnections: MAX_CONNECTIONS }),
    clock,
    random: options.random ?? Math.random,
    log: options.log ?? silentLog,
    timeoutMs,
    watchIdleMs: options.watchIdleMs ?? DEFAULTS.watchIdleMs,
  });
}

interface AdapterDeps {
  readonly rest: RestClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly timeoutMs: number;
  readonly watchIdleMs: number;
}

/** The port over REST of our own; client-node gives the credentials. */
class ClientNodeAdapter implements KubeClient {
  readonly server: string;
  readonly #deps: AdapterDeps;

  constructor(deps: AdapterDeps) {
    this.#deps = deps;
    this.server = deps.rest.server;
  }

  async get<T extends KubeObject>(type: ResourceType, name: string, namespace?: string): Promise<T | undefined> {
    const doing = `get ${describeObject(type, name, namespace)}`;
    const reply = await this.#deps.rest.send({ method: "GET", path: objectPath(type, name, namespace), doing });
    return isMissingObject(reply) ? undefined : this.#object<T>(reply, doing);
  }

  async list<T extends KubeObject>(type: ResourceType, options: ListOptions = {}): Promise<T[]> {
    const { items } = await listPages(this.#listWatch<T>(type, options), new AbortController().signal);
    return items;
  }

  create<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    const { name, namespace } = object.metadata;
    return this.#write<T>({
      method: "POST",
      path: creationPath(type, namespace),
      body: object,
      doing: `create ${describeObject(type, name, namespace)}`,
    });
  }

  replace<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    return this.#replace(type, object, "");
  }

  replaceStatus<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    return this.#replace(type, object, "/status");
  }

  mergePatch<T extends KubeObject>(
    type: ResourceType,
    name: string,
    namespace: string | undefined,
    patch: object,
  ): Promise<T> {
    return this.#patch(type, name, namespace, patch, "");
  }

  mergePatchStatus<T extends KubeObject>(
    type: ResourceType,
    name: string,
    namespace: string | undefined,
    patch: object,
  ): Promise<T> {
    return this.#patch(type, name, namespace, patch, "/status");
  }

  async delete(
    type: ResourceType,
    name: string,
    namespace?: string,
    options: { uid?: string; gracePeriodSeconds?: number } = {},
  ): Promise<boolean> {
    const { uid, gracePeriodSeconds } = options;
    const doing = `delete ${describeObject(type, name, namespace)}`;
    const body = {
      apiVersion: "v1",
      kind: "DeleteOptions",
      ...(uid === undefined ? {} : { preconditions: { uid } }),
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    };
    const reply = await this.#deps.rest.send({
      method: "DELETE",
      path: objectPath(type, name, namespace),
      body,
      doing,
    });
    if (isMissingObject(reply)) return false;
    if (reply.status === 409 && uid !== undefined) {
      const present = await this.get(type, name, namespace);
      if (present?.metadata.uid !== uid) return false;
    }
    if (reply.status >= 300) throw apiError(doing, this.server, reply.status, reply.body);
    return true;
  }

  informer<T extends KubeObject>(type: ResourceType, options: InformerOptions = {}): Informer<T> {
    const { clock, random, log, watchIdleMs } = this.#deps;
    return new Reflector<T>(this.#listWatch<T>(type, options), {
      clock,
      random,
      log,
      backoff: RECONNECT,
      idleMs: watchIdleMs,
      ...(options.optional === true ? { absentMs: ABSENT_MS } : {}),
    });
  }

  async reviewToken(token: string, audiences: readonly string[]): Promise<TokenReviewResult> {
    const doing = "review a token";
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token, audiences } };
    const path = "/apis/authentication.k8s.io/v1/tokenreviews";
    const { status = {} } = this.#json<TokenReviewReply>(
      await this.#deps.rest.send({ method: "POST", path, body, doing }),
      doing,
    );
    return {
      authenticated: status.authenticated === true,
      username: status.user?.username ?? "",
      audiences: status.audiences ?? [],
      error: status.error ?? "",
    };
  }

  async requestToken(
    namespace: string,
    serviceAccount: string,
    audiences: readonly string[],
    ttlSeconds: number,
  ): Promise<{ token: string; expiresAtMs: number }> {
    const doing = `request a token of ServiceAccount ${namespace}/${serviceAccount}`;
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/serviceaccounts/${encodeURIComponent(serviceAccount)}/token`;
    const body = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { audiences, expirationSeconds: ttlSeconds },
    };
    const { status } = this.#json<TokenRequestReply>(
      await this.#deps.rest.send({ method: "POST", path, body, doing }),
      doing,
    );
    const expiresAtMs = Date.parse(status?.expirationTimestamp ?? "");
    if (typeof status?.token === "string" && !Number.isNaN(expiresAtMs)) return { token: status.token, expiresAtMs };
    throw new MeshError(
      "KUBE_FAILED",
      `Cannot ${doing}: the answer of ${this.server} holds none. Check the server's version.`,
    );
  }

  async version(): Promise<string> {
    const doing = "ask for the version";
    const reply = await this.#deps.rest.send({ method: "GET", path: "/version", doing });
    return this.#json<{ gitVersion?: string }>(reply, doing).gitVersion ?? "unknown";
  }

  async exec(
    namespace: string,
    pod: string,
    container: string | undefined,
    command: readonly string[],
    streams: ExecStreams,
    signal: AbortSignal,
  ): Promise<ExecResult> {
    const { clock, rest, timeoutMs } = this.#deps;
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}/exec`;
    const query = { container, command, stdin: streams.stdin !== undefined, stdout: true, stderr: true, tty: false };
    const { url, options } = await rest.socketOptions(path, query);
    const target = { url, options, server: this.server, doing: `run a command in Pod ${namespace}/${pod}` };
    return runInPod(target, streams, clock, timeoutMs, signal);
  }

  #replace<T extends KubeObject>(type: ResourceType, object: T, subresource: string): Promise<T> {
    const { name, namespace } = object.metadata;
    return this.#write<T>({
      method: "PUT",
      path: objectPath(type, name, namespace) + subresource,
      body: object,
      doing: `replace ${describeObject(type, name, namespace)}`,
    });
  }

  #patch<T extends KubeObject>(
    type: ResourceType,
    name: string,
    namespace: string | undefined,
    patch: object,
    subresource: string,
  ): Promise<T> {
    return this.#write<T>({
      method: "PATCH",
      path: objectPath(type, name, namespace) + subresource,
      body: patch,
      contentType: MERGE_PATCH,
      doing: `patch ${describeObject(type, name, namespace)}`,
    });
  }

  async #write<T extends KubeObject>(request: RestRequest): Promise<T> {
    const reply = await this.#deps.rest.send({ ...request, query: { fieldManager: FIELD_MANAGER } });
    return this.#object<T>(reply, request.doing);
  }

  #object<T extends KubeObject>(reply: RestReply, doing: string): T {
    const object = this.#json<T>(reply, doing);
    if (typeof object.metadata === "object" && object.metadata !== null) return object;
    throw new MeshError(
      "KUBE_FAILED",
      `Cannot ${doing}: ${this.server} answered with what is no object. Check the address.`,
    );
  }

  #json<T>(reply: RestReply, doing: string): T {
    if (reply.status < 200 || reply.status >= 300) throw apiError(doing, this.server, reply.status, reply.body);
    let parsed: unknown;
    try {
      parsed = JSON.parse(reply.body.toString("utf8"));
    } catch (error) {
      throw new MeshError(
        "KUBE_FAILED",
        `Cannot ${doing}: ${this.server} answered with what is not JSON. Check the address.`,
        {
          cause: error,
        },
      );
    }
    if (typeof parsed === "object" && parsed !== null) return parsed as T;
    throw new MeshError(
      "KUBE_FAILED",
      `Cannot ${doing}: ${this.server} answered with what is no object. Check the address.`,
    );
  }

  #listWatch<T extends KubeObject>(type: ResourceType, options: ListOptions): ListWatch<T> {
    const { rest, timeoutMs } = this.#deps;
    const path = collectionPath(type, options.namespace);
    const { labelSelector, fieldSelector } = options;
    const selectors = { labelSelector, fieldSelector };
    const apiVersion = apiVersionOf(type);
    return {
      what: type.plural,
      list: async (limit, next, signal): Promise<ListPage<T> | "expired"> => {
        const doing = `list ${type.plural}`;
        const page = { limit: limit === 0 ? undefined : limit, continue: next === "" ? undefined : next };
        const query = { ...selectors, ...page };
        const reply = await rest.send({ method: "GET", path, query, timeoutMs: timeoutMs * 3, signal, doing });
        if (reply.status === 410) return "expired";
        const { items, metadata } = this.#json<ListReply<T>>(reply, doing);
        if (typeof metadata?.resourceVersion !== "string" || ((items ?? null) !== null && !Array.isArray(items))) {
          throw new MeshError(
            "KUBE_FAILED",
            `Cannot ${doing}: ${this.server} answered with what is no list. Check the address.`,
          );
        }
        // Items of built-in lists bear neither; readers count on both.
        const complete = (items ?? []).map((item) => ({
          ...item,
          apiVersion: item.apiVersion ?? apiVersion,
          kind: item.kind ?? type.kind,
        }));
        return { items: complete, resourceVersion: metadata.resourceVersion, next: metadata.continue ?? "" };
      },
      watch: async (resourceVersion, timeoutSeconds, signal): Promise<AsyncIterable<WatchEvent<T>> | "expired"> => {
        const doing = `watch ${type.plural}`;
        const query = { ...selectors, watch: true, allowWatchBookmarks: true, resourceVersion, timeoutSeconds };
        const opened = await rest.stream({ method: "GET", path, query, doing }, signal);
        if ("body" in opened && !("status" in opened)) return watchEvents<T>(opened.body);
        if (opened.status === 410) return "expired";
        throw apiError(doing, this.server, opened.status, opened.body);
      },
    };
  }
}

interface ListReply<T> {
  readonly items?: T[] | null;
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

interface TokenReviewReply {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly user?: { readonly username?: string };
    readonly audiences?: readonly string[];
    readonly error?: string;
  };
}

interface TokenRequestReply {
  readonly status?: { readonly token?: string; readonly expirationTimestamp?: string };
}

/** Whether the object is missing, rather than its kind: only then does the server name it. */
function isMissingObject({ status, body }: RestReply): boolean {
  return status === 404 && (statusOf(body)?.details?.name ?? "") !== "";
}
