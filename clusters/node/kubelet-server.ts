import { spawn } from "node:child_process";
import { createReadStream, rmSync } from "node:fs";
import { open, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createInterface } from "node:readline";
import { type WebSocket, WebSocketServer } from "ws";
import { errorText } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { OWNER_VARIABLE } from "../process-record.ts";
import { shownLine } from "./log-file.ts";

/** What the server asks of the node about one container. */
export interface ContainerAccess {
  readonly logPath: string;
  readonly env: Readonly<Record<string, string>>;
  readonly directory: string;
  readonly running: boolean;
}

export interface KubeletServerOptions {
  readonly socket: string;
  readonly owner: string;
  readonly find: (namespace: string, pod: string, container: string) => ContainerAccess | undefined;
  readonly log: Log;
}

/** Channels of `v4.channel.k8s.io` and `v5.channel.k8s.io`; v5 adds 255, which closes another. */
const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const STATUS = 3;
const CLOSE = 255;
const PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const MAX_EXEC = 64;

/** Serves `/containerLogs/…` and `/exec/…` as a kubelet does, on a unix socket that only its owner may open. */
export async function startKubeletServer(options: KubeletServerOptions): Promise<{ close(): Promise<void> }> {
  rmSync(options.socket, { force: true });
  const upgrades = new WebSocketServer({
    noServer: true,
    maxPayload: 1024 * 1024,
    handleProtocols: (offered) => PROTOCOLS.find((p) => offered.has(p)) ?? false,
  });
  let running = 0;
  const server: Server = createServer((request, response) => {
    serveLogs(request, response, options).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500, { "content-type": "text/plain" });
      response.end(errorText(error));
    });
  });
  server.on("upgrade", (request, socket, head) => {
    const url = new URL(request.url ?? "/", "http://node");
    const [, kind, namespace = "", pod = "", container = ""] = url.pathname.split("/").map(decodeURIComponent);
    const access = kind === "exec" ? options.find(namespace, pod, container) : undefined;
    const refuse = (line: string) => socket.end(`HTTP/1.1 ${line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
    if (access === undefined) return void refuse("404 Not Found");
    if (!access.running) return void refuse("409 Conflict");
    if (running >= MAX_EXEC) return void refuse("429 Too Many Requests");
    upgrades.handleUpgrade(request, socket, head, (ws) => {
      running++;
      ws.once("close", () => running--);
      execute(ws, url.searchParams, access, options);
    });
  });
  await new Promise<void>((resolve, reject) => {
    const previous = process.umask(0o077);
    server.once("error", reject);
    server.listen(options.socket, () => resolve());
    process.umask(previous);
  });
  return {
    async close() {
      for (const ws of upgrades.clients) ws.terminate();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function execute(ws: WebSocket, query: URLSearchParams, access: ContainerAccess, options: KubeletServerOptions): void {
  const send = (channel: number, bytes: Uint8Array) => ws.send(Buffer.concat([Buffer.from([channel]), bytes]));
  const finish = (status: object) => {
    if (ws.readyState !== ws.OPEN) return;
    send(STATUS, Buffer.from(JSON.stringify({ metadata: {}, ...status })));
    ws.close(1000);
  };
  const [file, ...args] = query.getAll("command");
  if (file === undefined) {
    finish({ status: "Failure", reason: "BadRequest", message: "no command", code: 400 });
    return;
  }
  const env = { ...access.env, [OWNER_VARIABLE]: options.owner };
  const child = spawn(file, args, { env, cwd: access.directory, detached: true, stdio: ["pipe", "pipe", "pipe"] });
  const end = () => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch (error) {
      options.log.debug("node.exec.kill", { error: errorText(error) });
    }
  };
  child.stdin.on("error", () => {});
  if (query.get("stdin") !== "true" && query.get("stdin") !== "1") child.stdin.end();
  const copy = (channel: number, name: "stdout" | "stderr") => {
    child[name].on("data", (chunk: Buffer) => {
      if (ws.readyState !== ws.OPEN) return;
      send(channel, chunk);
      // A slow reader slows the command instead of filling our memory.
      if (ws.bufferedAmount > 1024 * 1024) {
        child[name].pause();
        const timer = setInterval(() => {
          if (ws.bufferedAmount > 256 * 1024 && ws.readyState === ws.OPEN) return;
          clearInterval(timer);
          child[name].resume();
        }, 10);
      }
    });
  };
  copy(STDOUT, "stdout");
  copy(STDERR, "stderr");
  ws.on("message", (data: Buffer) => {
    if (data[0] === STDIN && data.length > 1) child.stdin.write(data.subarray(1));
    else if (data[0] === CLOSE && data[1] === STDIN) child.stdin.end();
  });
  ws.once("close", end);
  ws.once("error", end);
  child.once("error", (error) => {
    finish({
      status: "Failure",
      reason: "InternalError",
      message: `error executing command in container: ${error.message}`,
      code: 500,
    });
  });
  child.once("close", (code, signal) => {
    const exitCode = code ?? 137;
    if (exitCode === 0) {
      finish({ status: "Success" });
      return;
    }
    finish({
      status: "Failure",
      reason: "NonZeroExitCode",
      message: `command terminated with ${signal === null ? `exit code ${exitCode}` : signal}`,
      details: { causes: [{ reason: "ExitCode", message: String(exitCode) }] },
    });
  });
}

async function serveLogs(
  request: IncomingMessage,
  response: ServerResponse,
  options: KubeletServerOptions,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://node");
  const [, kind, namespace = "", pod = "", container = ""] = url.pathname.split("/").map(decodeURIComponent);
  const access = kind === "containerLogs" ? options.find(namespace, pod, container) : undefined;
  if (access === undefined) {
    response.writeHead(404, { "content-type": "text/plain" });
    response.end(`container "${container}" in pod "${pod}" is not found`);
    return;
  }
  const timestamps = url.searchParams.get("timestamps") === "true";
  const follow = url.searchParams.get("follow") === "true";
  const tail = url.searchParams.get("tailLines");
  const since = sinceMs(url.searchParams);
  const limit = Number(url.searchParams.get("limitBytes") ?? Number.POSITIVE_INFINITY);
  response.writeHead(200, { "content-type": "text/plain" });
  let sent = 0;
  const show = (line: string): boolean => {
    if (since !== undefined && Date.parse(line.slice(0, line.indexOf(" "))) < since) return true;
    const text = `${shownLine(line, timestamps)}\n`;
    sent += text.length;
    if (sent > limit) return false;
    response.write(text);
    return true;
  };
  const { size } = await stat(access.logPath);
  const lines: string[] = [];
  const keep = tail === null ? Number.POSITIVE_INFINITY : Number(tail);
  if (size > 0) {
    for await (const line of createInterface({ input: createReadStream(access.logPath, { end: size - 1 }) })) {
      lines.push(line);
      if (lines.length > keep) lines.shift();
    }
  }
  for (const line of lines) if (!show(line)) break;
  if (follow && sent <= limit) await followLog(access.logPath, size, request, show);
  response.end();
}

function sinceMs(query: URLSearchParams): number | undefined {
  const seconds = query.get("sinceSeconds");
  if (seconds !== null) return Date.now() - Number(seconds) * 1000;
  const time = query.get("sinceTime");
  return time === null ? undefined : Date.parse(time);
}

/** Sends on what is appended after `offset`, until the caller goes. */
async function followLog(
  path: string,
  offset: number,
  request: IncomingMessage,
  show: (line: string) => boolean,
): Promise<void> {
  const file = await open(path, "r");
  const buffer = Buffer.alloc(64 * 1024);
  let position = offset;
  let rest = "";
  try {
    while (!request.destroyed && !request.socket.destroyed) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        continue;
      }
      position += bytesRead;
      const lines = (rest + buffer.toString("utf8", 0, bytesRead)).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (!show(line)) return;
    }
  } finally {
    await file.close();
  }
}
