import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { childAbort } from "../core/abort.ts";
import { type Clock, sleep } from "../core/clock.ts";
import { hasCode, MeshError } from "../core/errors.ts";
import { networkError } from "./api-error.ts";
import type { CredentialSource, Credentials } from "./credentials.ts";

export interface RestOptions {
  readonly credentials: CredentialSource;
  readonly clock: Clock;
  /** For a whole request, answer included. */
  readonly timeoutMs: number;
  readonly maxResponseBytes: number;
  /** Connections for requests; watches have their own. */
  readonly maxConnections: number;
}

export interface RestRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From the server's root, escaped. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
  readonly body?: object;
  readonly contentType?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** For messages: "create Service shop/web". */
  readonly doing: string;
}

export interface RestReply {
  readonly status: number;
  readonly body: Buffer;
}

/** Waits that a server may ask for with Retry-After before its answer counts as an error. */
const MAX_THROTTLED = 3;
const KEEPALIVE_MS = 15_000;

/** HTTP/1.1 to one API server: credentials, keep-alive, deadlines, bounds. Knows no Kubernetes objects. */
export class RestClient {
  readonly server: string;
  readonly #options: RestOptions;
  readonly #base: URL;
  #agents: { key: string; requests: HttpAgent; streams: HttpAgent } | undefined;

  constructor(options: RestOptions) {
    this.#options = options;
    this.server = options.credentials.server;
    this.#base = new URL(this.server);
  }

  /** The whole answer, whatever its status. @throws MeshError CLUSTER_UNREACHABLE, KUBE_DENIED, LIMIT_EXCEEDED, ABORTED */
  async send(request: RestRequest): Promise<RestReply> {
    const { clock } = this.#options;
    const timeoutMs = request.timeoutMs ?? this.#options.timeoutMs;
    const parent = request.signal ?? new AbortController().signal;
    using abort = childAbort(parent);
    let late = false;
    const cancel = clock.after(timeoutMs, () => {
      late = true;
      abort.abort();
    });
    try {
      for (let throttled = 0; ; throttled++) {
        const response = await this.#answer(request, abort.signal, "requests");
        const body = await this.#body(response, request.doing);
        const waitMs = retryAfterMs(response);
        if (waitMs === undefined || throttled >= MAX_THROTTLED || waitMs > timeoutMs) {
          return { status: response.statusCode ?? 0, body };
        }
        await sleep(clock, waitMs, abort.signal);
      }
    } catch (error) {
      if (late) {
        const timeout = new Error(`no answer within ${timeoutMs / 1_000} s`);
        throw networkError(request.doing, this.server, timeout);
      }
      throw parent.aborted ? cancelled(request.doing, parent) : networkError(request.doing, this.server, error);
    } finally {
      cancel();
    }
  }

  /**
   * An answer whose body is read as it comes, on a connection of its own; `signal` ends it. The body must be
   * iterated. The timeout holds for its head only. A status other than 200 comes back whole.
   */
  async stream(request: RestRequest, signal: AbortSignal): Promise<{ body: AsyncIterable<Buffer> } | RestReply> {
    const stop = new AbortController();
    const onAbort = () => stop.abort();
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    const release = () => signal.removeEventListener("abort", onAbort);
    let late = false;
    const cancel = this.#options.clock.after(this.#options.timeoutMs, () => {
      late = true;
      stop.abort();
    });
    try {
      const response = await this.#answer(request, stop.signal, "streams");
      if (response.statusCode === 200) return { body: bodyOf(response, release) };
      const body = await this.#body(response, request.doing);
      release();
      return { status: response.statusCode ?? 0, body };
    } catch (error) {
      release();
      const reason = late ? new Error(`no answer within ${this.#options.timeoutMs / 1_000} s`) : error;
      throw signal.aborted ? cancelled(request.doing, signal) : networkError(request.doing, this.server, reason);
    } finally {
      cancel();
    }
  }

  /** Address, headers, TLS and agent for a WebSocket to `path`. */
  async socketOptions(path: string, query: RestRequest["query"]): Promise<{ url: string; options: RequestOptions }> {
    const credentials = await this.#options.credentials.current();
    const url = `${this.server.replace(/^http/, "ws")}${path}${search(query)}`;
    return { url, options: { ...secured(credentials), headers: { ...credentials.headers } } };
  }

  /** The response's head; asks again once where credentials had expired or an idle connection had just been closed. */
  async #answer(request: RestRequest, signal: AbortSignal, pool: "requests" | "streams"): Promise<IncomingMessage> {
    for (let attempt = 0; ; attempt++) {
      const credentials = await this.#options.credentials.current();
      const sent = await this.#once(request, credentials, signal, pool);
      if (attempt === 0 && sent === "stale") continue;
      if (sent === "stale") throw Object.assign(new Error("connection reset"), { code: "ECONNRESET" });
      if (sent.statusCode !== 401 || attempt > 0) return sent;
      sent.destroy();
      this.#options.credentials.forget(credentials);
    }
  }

  #once(
    request: RestRequest,
    credentials: Credentials,
    signal: AbortSignal,
    pool: "requests" | "streams",
  ): Promise<IncomingMessage | "stale"> {
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    const secure = this.#base.protocol === "https:";
    const options: RequestOptions = {
      method: request.method,
      host: this.#base.hostname.replace(/^\[|\]$/g, ""),
      port: this.#base.port || (secure ? 443 : 80),
      path: `${this.#base.pathname.replace(/\/$/, "")}${request.path}${search(request.query)}`,
      headers: {
        accept: "application/json",
        "user-agent": "causeway",
        ...(body === undefined
          ? {}
          : { "content-type": request.contentType ?? "application/json", "content-length": body.length }),
        ...credentials.headers,
      },
      agent: credentials.proxy ?? this.#pool(credentials, pool),
      signal,
      ...(secure ? secured(credentials) : {}),
    };
    return new Promise((resolve, reject) => {
      const outgoing = (secure ? httpsRequest : httpRequest)(options, resolve);
      outgoing.on("socket", (socket) => socket.setKeepAlive(true, KEEPALIVE_MS));
      outgoing.on("error", (error: NodeJS.ErrnoException) => {
        // The server closed an idle connection as we wrote to it: it did not read the request.
        const stale = outgoing.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
        if (stale && request.method !== "POST" && !signal.aborted) resolve("stale");
        else reject(error);
      });
      outgoing.end(body);
    });
  }

  #pool(credentials: Credentials, pool: "requests" | "streams"): HttpAgent {
    const { ca, cert, key, servername, rejectUnauthorized } = credentials.tls;
    const identity = [ca, cert, key, servername, rejectUnauthorized].map(String).join("\n");
    if (this.#agents?.key !== identity) {
      // Connections of the former identity end by themselves: requests with their answer, idle ones by the server.
      const make = (options: object) =>
        this.#base.protocol === "https:" ? new HttpsAgent(options) : new HttpAgent(options);
      this.#agents = {
        key: identity,
        requests: make({ keepAlive: true, maxSockets: this.#options.maxConnections, maxFreeSockets: 4 }),
        streams: make({ keepAlive: false }),
      };
    }
    return this.#agents[pool];
  }

  async #body(response: IncomingMessage, doing: string): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > this.#options.maxResponseBytes) {
        response.destroy();
        throw new MeshError(
          "LIMIT_EXCEEDED",
          `Cannot ${doing}: the answer of ${this.server} is larger than ${this.#options.maxResponseBytes} bytes. Narrow the request.`,
        );
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }
}

function secured({ tls, proxy }: Credentials): RequestOptions & Record<string, unknown> {
  const { ca, cert, key, servername, rejectUnauthorized } = tls;
  return {
    rejectUnauthorized,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(servername === undefined ? {} : { servername }),
    ...(proxy === undefined ? {} : { agent: proxy }),
  };
}

async function* bodyOf(response: IncomingMessage, release: () => void): AsyncGenerator<Buffer> {
  try {
    yield* response as AsyncIterable<Buffer>;
  } finally {
    release();
    response.destroy();
  }
}

function search(query: RestRequest["query"] = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const item of Array.isArray(value) ? value : [value]) parameters.append(name, String(item));
  }
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}

/** How long a server that is too busy (429, 503) asks to wait; undefined where it does not ask. */
function retryAfterMs(response: IncomingMessage): number | undefined {
  if (response.statusCode !== 429 && response.statusCode !== 503) return undefined;
  const header = response.headers["retry-after"];
  return header !== undefined && /^\d{1,4}$/.test(header) ? Number(header) * 1_000 : undefined;
}

function cancelled(doing: string, signal: AbortSignal): MeshError {
  const reason: unknown = signal.reason;
  return hasCode(reason, "ABORTED")
    ? reason
    : new MeshError("ABORTED", `Cannot ${doing}: cancelled.`, { cause: reason });
}
