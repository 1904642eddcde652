import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { type ApiObject, listAt, textAt } from "../object.ts";
import { badRequest, StatusError } from "../status.ts";

const CONNECT_MS = 5_000;
const FLUSH_MS = 10_000;

function away(): StatusError {
  return new StatusError(502, "BadGateway", "the node agent cannot be reached: logs and exec need it running");
}

/** The container that a request for logs or exec means. @throws StatusError 400 */
function containerOf(pod: ApiObject, query: URLSearchParams): string {
  const { name } = pod.metadata;
  const names = [...listAt(pod, "spec", "containers"), ...listAt(pod, "spec", "initContainers")].map((one) =>
    textAt(one, "name"),
  );
  const asked = query.get("container") ?? "";
  if (asked !== "") {
    if (names.includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${name}`);
  }
  const marked = pod.metadata.annotations?.["kubectl.kubernetes.io/default-container"];
  if (marked !== undefined && names.includes(marked)) return marked;
  const containers = listAt(pod, "spec", "containers").map((one) => textAt(one, "name"));
  if (containers.length === 1) return containers[0] ?? "";
  throw badRequest(`a container name must be specified for pod ${name}, choose one of: [${containers.join(" ")}]`);
}

/** The kubelet's path for a pod's logs or exec; the query goes on as it came, without the container. */
export function kubeletPath(kind: "containerLogs" | "exec", pod: ApiObject, query: URLSearchParams): string {
  const container = containerOf(pod, query);
  const rest = new URLSearchParams(query);
  rest.delete("container");
  const parts = [pod.metadata.namespace ?? "", pod.metadata.name, container].map(encodeURIComponent);
  const text = rest.toString();
  return `/${kind}/${parts.join("/")}${text === "" ? "" : `?${text}`}`;
}

/** Passes logs through as they come. Rejects with 502 while nothing was answered yet. */
export function proxyLogs(socketPath: string, path: string, response: ServerResponse): Promise<void> {
  return new Promise((resolve, reject) => {
    const upstream = httpRequest({ socketPath, path, method: "GET" }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, { "content-type": answer.headers["content-type"] ?? "text/plain" });
      response.flushHeaders();
      answer.pipe(response);
      answer.on("error", () => response.destroy());
      answer.on("close", resolve);
    });
    const timer = setTimeout(() => upstream.destroy(away()), CONNECT_MS);
    upstream.on("response", () => clearTimeout(timer));
    upstream.on("error", () => {
      clearTimeout(timer);
      if (response.headersSent) response.destroy();
      reject(away());
    });
    response.on("close", () => {
      clearTimeout(timer);
      upstream.destroy();
    });
    upstream.end();
  });
}

/**
 * Hands an upgraded connection to the node agent, byte for byte: the agent answers the handshake itself. The
 * credentials stay here. Rejects with 502 when the agent is away.
 */
export function proxyUpgrade(
  socketPath: string,
  path: string,
  request: IncomingMessage,
  client: Duplex,
  head: Buffer,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const upstream = connect(socketPath);
    const timer = setTimeout(() => upstream.destroy(new Error("timeout")), CONNECT_MS);
    let connected = false;
    upstream.once("connect", () => {
      connected = true;
      clearTimeout(timer);
      const lines = [`${request.method ?? "GET"} ${path} HTTP/1.1`];
      for (let i = 0; i + 1 < request.rawHeaders.length; i += 2) {
        const name = request.rawHeaders[i] ?? "";
        if (name.toLowerCase() !== "authorization") lines.push(`${name}: ${request.rawHeaders[i + 1] ?? ""}`);
      }
      upstream.write(`${lines.join("\r\n")}\r\n\r\n`);
      if (head.length > 0) upstream.write(head);
      upstream.pipe(client);
      client.pipe(upstream);
    });
    let finishing: NodeJS.Timeout | undefined;
    // The agent's last bytes (exec's exit status) may still be on their way to the client: end, do not destroy.
    const agentClosed = () => {
      clearTimeout(timer);
      if (!connected) return;
      client.end();
      finishing ??= setTimeout(() => client.destroy(), FLUSH_MS);
      resolve();
    };
    const clientClosed = () => {
      clearTimeout(timer);
      clearTimeout(finishing);
      upstream.destroy();
      resolve();
    };
    upstream.on("error", () => {
      clearTimeout(timer);
      if (!connected) reject(away());
    });
    upstream.on("close", agentClosed);
    client.on("close", clientClosed);
  });
}
