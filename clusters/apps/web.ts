import { rmSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";

/**
 * The sample web service. `GET /` names the pod that answers; `?whoami` shows the caller's identity as the sidecar
 * authenticated it; `?slow=<ms>` waits (at most 10 s), `SLOW_MS` does so for every GET, and SIGUSR2 turns on and off that
 * every GET takes 2 s; any other method echoes up to 1 MiB.
 */
const {
  HOST = "127.0.0.1",
  PORT = "8080",
  POD_NAME = "web",
  CLUSTER = "local",
  APP_SOCKET,
  SLOW_MS = "0",
} = process.env;

const SLOWED_MS = 2_000;
let usualMs = Number(SLOW_MS) || 0;
process.on("SIGUSR2", () => {
  usualMs = usualMs === SLOWED_MS ? Number(SLOW_MS) || 0 : SLOWED_MS;
});

const serve: RequestListener = (request, response) => {
  const url = new URL(request.url ?? "/", "http://web");
  if (url.pathname === "/ready") {
    response.end("ok\n");
    return;
  }
  const answer = () => {
    const client = request.headers["x-causeway-client-id"];
    const body = url.searchParams.has("whoami")
      ? { cluster: CLUSTER, pod: POD_NAME, client: client ?? null }
      : { cluster: CLUSTER, pod: POD_NAME, path: url.pathname };
    response.setHeader("content-type", "application/json");
    response.end(`${JSON.stringify(body)}\n`);
  };
  if (request.method === "GET" || request.method === "HEAD") {
    const slowMs = Math.min(10_000, Number(url.searchParams.get("slow") ?? usualMs) || 0);
    if (slowMs > 0) setTimeout(answer, slowMs);
    else answer();
    return;
  }
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > 1024 * 1024) {
      response.statusCode = 413;
      response.end("over 1 MiB\n");
      request.destroy();
      return;
    }
    response.write(chunk);
  });
  request.on("end", () => response.end());
};

// By TCP for probes and whoever calls without the mesh; by a unix socket for the sidecar, where the pod says so.
if (APP_SOCKET !== undefined) rmSync(APP_SOCKET, { force: true });
const places = [{ host: HOST, port: Number(PORT) }, ...(APP_SOCKET === undefined ? [] : [{ path: APP_SOCKET }])];
const servers = places.map((place) => {
  const server = createServer(serve);
  server.keepAliveTimeout = 75_000;
  server.listen({ ...place, backlog: 1024 }, () => {
    console.log(`${POD_NAME} of ${CLUSTER} serves on ${"path" in place ? place.path : `${HOST}:${PORT}`}`);
  });
  return server;
});
process.once("SIGTERM", () => {
  void Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve)))).then(() =>
    process.exit(0),
  );
  for (const server of servers) server.closeIdleConnections();
});
