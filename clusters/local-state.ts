import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MeshError } from "../core/errors.ts";
import { type ClusterLayout, clusterLayout } from "./layout.ts";
import { isRunning, type ProcessRecord, runningRecords } from "./process-record.ts";

/** Which local clusters there are, in `$MESH_HOME/up.json`. */
export interface LocalState {
  readonly registry: "redis" | "embedded";
  /** Replicas of each cluster's gateway; 1 without. */
  readonly gateways?: number;
  readonly clusters: readonly LocalClusterState[];
}

interface LocalClusterState {
  readonly cluster: string;
  readonly octet: number;
  /** Flags by which its roles reach a Redis of the user's own; without, the cluster starts one. */
  readonly redis?: readonly string[];
}

function statePath(home: string): string {
  return join(home, "up.json");
}

/** Undefined where there are none. @throws MeshError LOCAL_START for an unreadable file */
export function readLocalState(home: string): LocalState | undefined {
  let text: string;
  try {
    text = readFileSync(statePath(home), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as LocalState;
  } catch (error) {
    throw new MeshError("LOCAL_START", `Cannot read ${statePath(home)}: it is no JSON. Run mesh down, then mesh up.`, {
      cause: error,
    });
  }
}

export function writeLocalState(home: string, state: LocalState): void {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  writeFileSync(`${statePath(home)}.new`, JSON.stringify(state), { mode: 0o600 });
  renameSync(`${statePath(home)}.new`, statePath(home));
}

export function removeLocalState(home: string): void {
  rmSync(statePath(home), { force: true });
}

/** Layouts of the local clusters, in order; none where none are up. */
export function localLayouts(home: string): ClusterLayout[] {
  return (readLocalState(home)?.clusters ?? []).map(({ cluster, octet }) => clusterLayout(home, cluster, octet));
}

/** @throws MeshError LOCAL_NOT_RUNNING */
export function localLayout(home: string, cluster: string): ClusterLayout {
  const layouts = localLayouts(home);
  const found = layouts.find((layout) => layout.cluster === cluster);
  if (found !== undefined) return found;
  const known = layouts.map((layout) => layout.cluster).join(", ");
  const hint = known === "" ? "Start them with mesh up." : `The local clusters are ${known}.`;
  throw new MeshError("LOCAL_NOT_RUNNING", `Cannot find local cluster "${cluster}": it is not up. ${hint}`);
}

/** How the cluster's roles get into a Redis of the user's own; undefined where it starts one itself. */
export function ownRedis({ clusters }: LocalState, cluster: string): readonly string[] | undefined {
  return clusters.find((known) => known.cluster === cluster)?.redis;
}

/** The supervisor of a cluster, where it runs. */
export function supervisorOf(layout: ClusterLayout): ProcessRecord | undefined {
  return runningRecords(layout.runDirectory).find((record) => record.name === SUPERVISOR && isRunning(record));
}

export const SUPERVISOR = "supervisor";

/** Whether any local cluster runs. */
export function areLocalClustersUp(home: string): boolean {
  try {
    return localLayouts(home).some((layout) => supervisorOf(layout) !== undefined);
  } catch {
    return false;
  }
}
