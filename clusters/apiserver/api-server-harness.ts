import { mkdtempSync, rmSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { type ApiServerOptions, type RunningApiServer, startApiServer } from "./server.ts";

export interface Reply {
  readonly code: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly body: any;
}

/** An API server of a test, with its own directory, and a plain client for it. */
export interface TestServer {
  readonly directory: string;
  readonly server: RunningApiServer;
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  /** Closes and starts again on the same state. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export async function startTestServer(options: Partial<ApiServerOptions> = {}): Promise<TestServer> {
  const directory = mkdtempSync(path.join(tmpdir(), "apiserver-"));
  const start = () =>
    startApiServer({
      cluster: "test",
      host: "127.0.0.1",
      port: 0,
      stateDir: path.join(directory, "state"),
      serviceCidr: "127.20.128.0/17",
      allowLoopbackEndpoints: true,
      clock: systemClock,
      log: silentLog,
      ...options,
    });
  let server = await start();
  return {
    directory,
    get server() {
      return server;
    },
    call: (method, url, body, headers = {}) => call(server, method, url, body, headers),
    async restart() {
      await server.close();
      server = await start();
    },
    async close() {
      await server.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function call(
  server: RunningApiServer,
  method: string,
  url: string,
  body: unknown,
  headers: Record<string, string>,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
    const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const request = httpsRequest(`${server.url}${url}`, {
      method,
      ca: server.caPem,
      agent: false,
      headers: {
        authorization: `Bearer ${server.admin.token}`,
        "content-type": type,
        "content-length": String(Buffer.byteLength(text)),
        ...headers,
      },
    });
    request.on("response", (response) => {
      let answer = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        answer += chunk;
      });
      response.on("end", () => resolve({ code: response.statusCode ?? 0, body: parse(answer) }));
    });
    request.on("error", reject);
    request.end(text);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
