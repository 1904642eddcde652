import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { errorText, MeshError } from "../../core/errors.ts";

/** What the admin port shows and does. */
export interface AdminPages {
  /** Undefined: ready; else why not. */
  readonly notReady: () => string | undefined;
  /** In Prometheus' text format. */
  readonly metrics: () => string;
  /** What the proxy knows, for people; no key material. */
  readonly config: () => unknown;
  /** Begins to drain. */
  readonly drain: () => void;
}

export interface AdminServer {
  readonly port: number;
  close(): Promise<void>;
}

/** `/live /ready /metrics /config` and `POST /drain`. @throws MeshError PORT_IN_USE */
export async function listenAdmin(host: string, port: number, pages: AdminPages): Promise<AdminServer> {
  const server = createServer(
    { maxHeaderSize: 8_192, requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 5_000 },
    (request, response) => {
      request.resume();
      answer(pages, request, response);
    },
  );
  server.maxConnections = 64;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        new MeshError(
          "PORT_IN_USE",
          `Cannot listen on ${host}:${port}: ${errorText(error)}. Free it or choose another.`,
          { cause: error },
        ),
      ),
    );
    server.listen({ host, port }, resolve);
  });
  return { port: (server.address() as AddressInfo).port, close: () => closed(server) };
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function answer(pages: AdminPages, request: IncomingMessage, response: ServerResponse): void {
  const send = (status: number, type: string, body: string) => {
    response.writeHead(status, { "content-type": type, "cache-control": "no-store" });
    response.end(body);
  };
  const text = (status: number, body: string) => send(status, "text/plain; charset=utf-8", `${body}\n`);
  const path = (request.url ?? "/").split("?", 1)[0];
  if (path === "/drain") {
    if (request.method !== "POST") {
      text(405, "use POST");
      return;
    }
    pages.drain();
    text(202, "draining");
    return;
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    text(405, "use GET");
    return;
  }
  switch (path) {
    case "/live":
      text(200, "live");
      return;
    case "/ready": {
      const reason = pages.notReady();
      reason === undefined ? text(200, "ready") : text(503, reason);
      return;
    }
    case "/metrics":
      send(200, "text/plain; version=0.0.4; charset=utf-8", pages.metrics());
      return;
    case "/config":
      send(200, "application/json", `${JSON.stringify(pages.config(), undefined, 2)}\n`);
      return;
    default:
      text(404, "try /live, /ready, /metrics, /config, POST /drain");
      return;
  }
}
