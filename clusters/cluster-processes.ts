import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PORTS } from "../core/defaults.ts";
import type { ClusterLayout } from "./layout.ts";
import { type LocalState, ownRedis } from "./local-state.ts";
import type { ProcessCommand } from "./node/sidecar-settings.ts";
import type { SupervisedProcess } from "./supervisor.ts";

/** Kubeconfig of one local cluster, for its own processes. */
export function clusterKubeconfig(layout: ClusterLayout): string {
  return join(layout.directory, "kubeconfig");
}

/** Credentials that the API server leaves for `mesh up`. */
export function adminCredentialsPath(layout: ClusterLayout): string {
  return join(layout.directory, "admin.json");
}

/** Whether `redis-server` can be run here. */
export function hasRedis(): boolean {
  try {
    execFileSync("redis-server", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function passwordPath(layout: ClusterLayout): string {
  return join(layout.redisDirectory, "password");
}

/** The registry: one Redis, memory only, since everything in it can be rebuilt. */
function redisProcess(layout: ClusterLayout): SupervisedProcess {
  mkdirSync(layout.redisDirectory, { recursive: true, mode: 0o700 });
  const configPath = join(layout.redisDirectory, "redis.conf");
  if (!existsSync(configPath)) {
    const password = randomBytes(24).toString("base64url");
    writeFileSync(passwordPath(layout), password, { mode: 0o600 });
    const lines = [
      `bind ${layout.redis.host}`,
      `port ${layout.redis.port}`,
      `dir ${layout.redisDirectory}`,
      `requirepass ${password}`,
      'save ""',
      "appendonly no",
      "maxmemory 256mb",
      "maxmemory-policy noeviction",
      "daemonize no",
    ];
    writeFileSync(configPath, `${lines.join("\n")}\n`, { mode: 0o600 });
  }
  return { name: "redis", command: ["redis-server", configPath] };
}

/** Where a pod's sidecar and the roles reach control. */
export function controlAddress(layout: ClusterLayout): string {
  return `${layout.control}:${PORTS.control}`;
}

/** DNS answers on 53 where this user may bind it. */
export function dnsPort(): number {
  return process.getuid?.() === 0 ? PORTS.dns : PORTS.dnsUnprivileged;
}

/** What must run before anything else of the cluster can. */
export function foundationProcesses(
  layout: ClusterLayout,
  state: LocalState,
  mesh: ProcessCommand,
): SupervisedProcess[] {
  const apiServer: SupervisedProcess = {
    name: "apiserver",
    command: [...mesh, "local", "apiserver", "--cluster", layout.cluster],
  };
  const redis = state.registry === "redis" && ownRedis(state, layout.cluster) === undefined;
  return redis ? [apiServer, redisProcess(layout)] : [apiServer];
}

/** Addresses of a cluster's gateways by the names of their processes. */
function gatewayHosts({ gateway, moreGateways }: ClusterLayout, count: number): { name: string; host: string }[] {
  const hosts = [gateway, ...moreGateways].slice(0, count);
  return hosts.map((host, i) => ({ name: i === 0 ? "gateway" : `gateway-${i + 1}`, host }));
}

/** The node agent and the mesh's own roles: apart with Redis, in one process with the embedded registry. */
export function roleProcesses(layout: ClusterLayout, state: LocalState, mesh: ProcessCommand): SupervisedProcess[] {
  const { registry, gateways = 1 } = state;
  const node: SupervisedProcess = { name: "node", command: [...mesh, "local", "node", "--cluster", layout.cluster] };
  const common = [
    "--kubeconfig",
    clusterKubeconfig(layout),
    "--cluster",
    layout.cluster,
    "--control-address",
    controlAddress(layout),
  ];
  // The supervisor runs one process of each name: the next one takes its leases over without waiting for their end.
  const replica = (i: number) => ["--replica", `local-${i}`];
  const listen = {
    control: ["--control-listen", controlAddress(layout)],
    gateway: (host: string) => [
      ...["--federation-listen", `${host}:${PORTS.federation}`, "--relay-listen", `${host}:${PORTS.relay}`],
      ...["--advertise", host],
    ],
    mirror: ["--dns-listen", `${layout.dns}:${dnsPort()}`],
  };
  const serve = (name: string, roles: string, admin: string, args: readonly string[]): SupervisedProcess => ({
    name,
    command: [...mesh, "serve", "--roles", roles, ...common, "--admin-listen", `${admin}:${PORTS.admin}`, ...args],
  });
  if (registry === "embedded") {
    const args = [...replica(0), ...listen.control, ...listen.gateway(layout.gateway), ...listen.mirror];
    return [serve("serve", "control,gateway,mirror", layout.control, args), node];
  }
  const url = ownRedis(state, layout.cluster) ?? [
    "--registry",
    `redis://${layout.redis.host}:${layout.redis.port}`,
    "--registry-password-file",
    passwordPath(layout),
  ];
  return [
    serve("control", "control", layout.control, [...url, ...replica(0), ...listen.control]),
    ...gatewayHosts(layout, gateways).map(({ name, host }, i) =>
      serve(name, "gateway", host, [...url, ...replica(i), ...listen.gateway(host)]),
    ),
    serve("mirror", "mirror", layout.mirror, [...url, ...replica(0), ...listen.mirror]),
    node,
  ];
}

/** Admin addresses whose /ready says that the cluster's roles are up. */
export function roleAdmins(
  layout: ClusterLayout,
  { registry, gateways = 1 }: Pick<LocalState, "registry" | "gateways">,
): { name: string; host: string }[] {
  if (registry === "embedded") return [{ name: "serve", host: layout.control }];
  return [
    { name: "control", host: layout.control },
    ...gatewayHosts(layout, gateways),
    { name: "mirror", host: layout.mirror },
  ];
}
