import { createServer } from "node:http";
import type { Socket } from "node:net";
import { asMeshError, MeshError } from "../core/errors.ts";
import type { RegistryAccess } from "./registry/access.ts";

export interface AdminOptions {
  readonly host: string;
  readonly port: number;
  /** Undefined when ready, else what is missing. */
  readonly notReady: () => string | undefined;
  /** Ready, but on its last good state: what is missing. */
  readonly degraded: () => string | undefined;
  readonly metrics: () => string;
  readonly config: () => object;
  readonly drain: () => void;
  /** For `mesh registry`; absent where the process has no registry. */
  readonly registry?: RegistryAccess;
}

export interface AdminServer {
  readonly port: number;
  close(): Promise<void>;
}

const NOT_LOCAL = {
  code: "REGISTRY_DENIED",
  message:
    "Cannot clear the registry: only its own machine or pod may ask for it. Use kubectl port-forward or --registry.",
};

/** Whether a connection comes from the machine, or the pod, that it goes to. */
function isLocal({ remoteAddress = "", localAddress }: Socket): boolean {
  const from = remoteAddress.replace(/^::ffff:/, "");
  return from.startsWith("127.") || from === "::1" || remoteAddress === localAddress;
}

/** `/live /ready /metrics /config /registry` and `POST /drain` of `mesh serve`. @throws MeshError PORT_IN_USE */
export async function startAdminServer(options: AdminOptions): Promise<AdminServer> {
  const server = createServer(
    { maxHeaderSize: 8_192, requestTimeout: 5_000, headersTimeout: 5_000 },
    (request, response) => {
      const answer = (status: number, body: string, type = "text/plain") => {
        response.writeHead(status, { "content-type": type });
        response.end(body);
      };
      request.resume();
      const answerLater = (value: Promise<unknown>) => {
        value.then(
          (body) => answer(200, `${JSON.stringify(body ?? {})}\n`, "application/json"),
          (error: unknown) => {
            const { code, message } = asMeshError(error, "INTERNAL", "answer");
            answer(503, `${JSON.stringify({ error: { code, message } })}\n`, "application/json");
          },
        );
      };
      const { registry } = options;
      switch (`${request.method} ${request.url}`) {
        case "GET /live":
          return answer(200, "live\n");
        case "GET /ready": {
          const missing = options.notReady();
          if (missing !== undefined) return answer(503, `${missing}\n`);
          const without = options.degraded();
          return answer(200, without === undefined ? "ready\n" : `degraded: ${without}\n`);
        }
        case "GET /metrics":
          return answer(200, options.metrics(), "text/plain; version=0.0.4");
        case "GET /config":
          return answer(200, `${JSON.stringify(options.config(), undefined, 2)}\n`, "application/json");
        case "GET /registry":
          return registry === undefined ? answer(404, "no registry here\n") : answerLater(registry.status());
        case "GET /registry/entries":
          return registry === undefined ? answer(404, "no registry here\n") : answerLater(registry.dump());
        case "POST /registry/clear":
          if (registry === undefined) return answer(404, "no registry here\n");
          if (!isLocal(request.socket)) {
            return answer(403, `${JSON.stringify({ error: NOT_LOCAL })}\n`, "application/json");
          }
          return answerLater(registry.clear());
        case "POST /drain":
          options.drain();
          return answer(202, "draining\n");
        default:
          return answer(404, "paths: /live /ready /metrics /config /registry, POST /drain\n");
      }
    },
  );
  server.maxConnections = 64;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(
        new MeshError(
          "PORT_IN_USE",
          `Cannot listen on ${options.host}:${options.port}: ${error.code}. Choose another with --admin-listen.`,
          { cause: error },
        ),
      );
    });
    server.listen(options.port, options.host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : options.port,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
