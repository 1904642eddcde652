// HAProxy and nginx as plain reverse proxies: what they make of a request is held against what we make of it.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./eventually.ts";

/** Ways through the peer, each to a server of its own, so that many cases can run at once. */
interface Lane {
  readonly from: number;
  readonly to: number;
}

export interface Peer {
  close(): Promise<void>;
}

export type PeerName = "haproxy" | "nginx";

const TIMEOUT_MS = 400;

function haproxyConfig(lanes: readonly Lane[], directory: string): string {
  const sections = lanes.map(
    ({ from, to }, i) => `
frontend in${i}
  bind 127.0.0.1:${from}
  default_backend out${i}
backend out${i}
  server s 127.0.0.1:${to}`,
  );
  return `global
  maxconn 500
  tune.bufsize 131072
  tune.http.maxhdr 201
  stats socket ${join(directory, "stats")}
defaults
  mode http
  timeout connect 2s
  timeout client ${TIMEOUT_MS}ms
  timeout http-request ${TIMEOUT_MS}ms
  timeout server 2s
  http-reuse never
${sections.join("\n")}
`;
}

function nginxConfig(lanes: readonly Lane[], directory: string): string {
  const servers = lanes.map(
    ({ from, to }) => `
  server {
    listen 127.0.0.1:${from};
    location / { proxy_pass http://127.0.0.1:${to}; }
  }`,
  );
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `  ${name}_temp_path ${join(directory, name)};`)
    .join("\n");
  return `daemon off;
worker_processes 1;
pid ${join(directory, "pid")};
error_log ${join(directory, "error.log")} crit;
events { worker_connections 512; }
http {
  access_log off;
${temporary}
  client_header_timeout ${TIMEOUT_MS}ms;
  client_body_timeout ${TIMEOUT_MS}ms;
  client_header_buffer_size 64k;
  large_client_header_buffers 8 128k;
  client_max_body_size 0;
  ignore_invalid_headers off;
  lingering_close off;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
${servers.join("\n")}
}
`;
}

export function peerInstalled(name: PeerName): boolean {
  return spawnSync(name, ["-v"], { env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` } }).status === 0;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer();
          server.listen({ host: "127.0.0.1", port: 0 }, () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

/** Starts `name` with a way to each of `servers`; returns the ports that lead there. */
export async function startPeer(name: PeerName, servers: readonly number[]): Promise<Peer & { ports: number[] }> {
  const directory = mkdtempSync(join(tmpdir(), `causeway-${name}-`));
  const ports = await freePorts(servers.length);
  const lanes = servers.map((to, i) => ({ from: ports[i] ?? 0, to }));
  const file = join(directory, "config");
  writeFileSync(file, name === "haproxy" ? haproxyConfig(lanes, directory) : nginxConfig(lanes, directory));
  const args =
    name === "haproxy" ? ["-db", "-f", file] : ["-p", directory, "-e", join(directory, "error.log"), "-c", file];
  let said = "";
  const child: ChildProcess = spawn(name, args, {
    env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` },
    stdio: ["ignore", "ignore", "pipe"],
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const close = async () => {
    child.kill("SIGTERM");
    await exited;
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await eventually(async () => {
      if (child.exitCode !== null) throw new Error(`${name} ended: ${said}`);
      return await accepts(ports.at(-1) ?? 0);
    }, 5_000);
  } catch (error) {
    await close();
    throw error;
  }
  return { ports, close };
}
