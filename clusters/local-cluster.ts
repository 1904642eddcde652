import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { type Clock, sleep } from "../core/clock.ts";
import { PORTS } from "../core/defaults.ts";
import { errorText, hasCode, MeshError } from "../core/errors.ts";
import type { KubeClient, KubeObject } from "../kube/client.ts";
import { type KubeConfigEntry, removeFromKubeconfig, writeKubeconfig } from "../kube/kubeconfig-file.ts";
import {
  DEPLOYMENTS,
  type Deployment,
  NAMESPACES,
  PODS,
  type Pod,
  SERVICE_ACCOUNTS,
  SERVICE_EXPORTS,
  SERVICES,
} from "../kube/resources.ts";
import { adminCredentialsPath, roleAdmins } from "./cluster-processes.ts";
import { type ClusterLayout, localKubeconfig } from "./layout.ts";
import { type LocalState, removeLocalState, SUPERVISOR, supervisorOf } from "./local-state.ts";
import { passes } from "./node/probe.ts";
import type { ProcessCommand } from "./node/sidecar-settings.ts";
import { isRunning, ownedProcesses, runningRecords, signalRecord, spawnRecorded } from "./process-record.ts";

const POLL_MS = 50;

/** Polls `check` until it holds. @throws MeshError LOCAL_START with what `explain` says, ABORTED */
async function until(
  check: () => Promise<boolean>,
  limitMs: number,
  explain: () => string,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const deadlineMs = clock.nowMs() + limitMs;
  while (!(await check())) {
    if (clock.nowMs() > deadlineMs) throw new MeshError("LOCAL_START", explain());
    await sleep(clock, POLL_MS, signal);
  }
}

/** The last lines of a process's log, for an error message. */
function lastWords(layout: ClusterLayout, name: string): string {
  try {
    const lines = readFileSync(join(layout.logDirectory, `${name}.log`), "utf8")
      .trim()
      .split("\n");
    return lines.at(-1)?.slice(0, 300) ?? "";
  } catch {
    return "";
  }
}

function listens(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/**
 * Starts the supervisor of a cluster, which starts all else; false where it runs already.
 * @throws MeshError PORT_IN_USE when somebody else has the cluster's addresses
 */
export async function startSupervisor(layout: ClusterLayout, mesh: ProcessCommand): Promise<boolean> {
  if (supervisorOf(layout) !== undefined) return false;
  killProcesses(layout);
  const { host, port } = layout.apiServer;
  if (await listens(host, port)) {
    throw new MeshError(
      "PORT_IN_USE",
      `Cannot start cluster "${layout.cluster}": another process listens on ${host}:${port}. Stop it, or choose other addresses with mesh up --octet.`,
    );
  }
  mkdirSync(layout.logDirectory, { recursive: true, mode: 0o700 });
  const out = openSync(join(layout.logDirectory, "supervisor.log"), "a", 0o600);
  const command: ProcessCommand = [...mesh, "local", "supervisor", "--cluster", layout.cluster];
  const child = spawnRecorded(layout.runDirectory, SUPERVISOR, command, {
    owner: layout.directory,
    stdio: ["ignore", out, out],
  });
  child.unref();
  closeSync(out);
  return true;
}

/** Waits until the API server answers and has left its credentials. */
export async function apiServerReady(
  layout: ClusterLayout,
  clock: Clock,
  signal: AbortSignal,
): Promise<KubeConfigEntry> {
  const path = adminCredentialsPath(layout);
  const { host, port } = layout.apiServer;
  const check = async () => {
    if (supervisorOf(layout) === undefined) {
      throw new MeshError(
        "LOCAL_START",
        `Cannot start cluster "${layout.cluster}": its supervisor ended. ${lastWords(layout, SUPERVISOR)}`,
      );
    }
    return existsSync(path) && (await listens(host, port));
  };
  await until(
    check,
    30_000,
    () =>
      `Cannot start the API server of "${layout.cluster}": ${lastWords(layout, "apiserver")} See ${layout.logDirectory}.`,
    clock,
    signal,
  );
  return JSON.parse(readFileSync(path, "utf8")) as KubeConfigEntry;
}

/** Writes the contexts of all clusters to the local kubeconfig. */
export async function publishContexts(
  home: string,
  entries: readonly KubeConfigEntry[],
  current: string,
): Promise<void> {
  await writeKubeconfig(localKubeconfig(home), entries, current);
}

/** Waits until every role answers /ready. */
export async function rolesReady(
  layout: ClusterLayout,
  state: Pick<LocalState, "registry" | "gateways">,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for (const { name, host } of roleAdmins(layout, state)) {
    const check = () => passes({ kind: "http", host, port: PORTS.admin, path: "/ready" });
    const explain = () =>
      `Cannot start ${name} of "${layout.cluster}": not ready after 60 s. ${lastWords(layout, name)} See ${layout.logDirectory}.`;
    await until(check, 60_000, explain, clock, signal);
  }
}

/** Waits until all pods of the Deployments and of themselves are ready. */
export async function workloadsReady(
  kube: KubeClient,
  namespace: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<number> {
  let waiting = "";
  let count = 0;
  const check = async () => {
    try {
      const deployments = await kube.list<Deployment>(DEPLOYMENTS, { namespace });
      const pods = await kube.list<Pod>(PODS, { namespace });
      count = pods.length;
      const wanted = deployments
        .filter((d) => (d.status?.readyReplicas ?? 0) < (d.spec?.replicas ?? 1))
        .map((d) => d.metadata.name);
      const unready = pods
        .filter((p) => p.status?.conditions?.find((c) => c.type === "Ready")?.status !== "True")
        .map((p) => p.metadata.name);
      waiting = [...wanted, ...unready].join(", ");
      return waiting === "" && pods.length > 0;
    } catch (error) {
      if (!hasCode(error, "CLUSTER_UNREACHABLE", "KUBE_FAILED")) throw error;
      waiting = errorText(error);
      return false;
    }
  };
  await until(
    check,
    60_000,
    () =>
      `Cannot start the sample apps: still waiting for ${waiting}. Look with kubectl describe pods -n ${namespace}.`,
    clock,
    signal,
  );
  return count;
}

/** SIGKILL to everything of the cluster, recorded or marked; returns how many there were. */
export function killProcesses(layout: ClusterLayout): number {
  // The supervisor first, or it would start the others again.
  const records = runningRecords(layout.runDirectory).sort(
    (a, b) => Number(b.name === SUPERVISOR) - Number(a.name === SUPERVISOR),
  );
  for (const record of records) signalRecord(record, "SIGKILL");
  const rest = ownedProcesses(layout.directory).filter(isRunning);
  for (const record of rest) signalRecord(record, "SIGKILL");
  return new Set([...records, ...rest].map((record) => record.pid)).size;
}

/** Asks the supervisor to stop all, kills what is left, and removes the cluster's folder. */
export async function removeCluster(layout: ClusterLayout, clock: Clock, signal: AbortSignal): Promise<boolean> {
  const supervisor = supervisorOf(layout);
  if (supervisor !== undefined) {
    signalRecord(supervisor, "SIGTERM");
    const deadlineMs = clock.nowMs() + 8_000;
    while (isRunning(supervisor) && clock.nowMs() < deadlineMs) await sleep(clock, POLL_MS, signal);
  }
  const killed = killProcesses(layout);
  const existed = existsSync(layout.directory);
  rmSync(layout.directory, { recursive: true, force: true, maxRetries: 3 });
  return supervisor !== undefined || killed > 0 || existed;
}

/** Removes what all clusters share; the home too where nothing of another's is in it. */
export async function removeHome(home: string, clusters: readonly string[]): Promise<void> {
  if (existsSync(localKubeconfig(home))) await removeFromKubeconfig(localKubeconfig(home), clusters);
  removeLocalState(home);
  for (const folder of [join(home, "clusters"), home]) {
    try {
      rmdirSync(folder);
    } catch {
      // Not empty, or never there: not ours to remove.
    }
  }
}

/** The types of what the sample manifests hold. */
const SAMPLE_TYPES = [NAMESPACES, SERVICE_ACCOUNTS, DEPLOYMENTS, SERVICES, PODS, SERVICE_EXPORTS];

/** Creates a sample object unless there is one of its name already: what a user changed stays changed. */
export async function createIfAbsent(kube: KubeClient, object: KubeObject): Promise<void> {
  const type = SAMPLE_TYPES.find(({ kind }) => kind === object.kind);
  if (type === undefined)
    throw new MeshError("INTERNAL", `Cannot create a sample ${object.kind}: its type is not known.`);
  try {
    await kube.create(type, object);
  } catch (error) {
    if (!hasCode(error, "KUBE_CONFLICT")) throw error;
  }
}
