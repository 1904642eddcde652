import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A process we started: the start time tells it from a later one with the same pid. */
export interface ProcessRecord {
  readonly name: string;
  readonly pid: number;
  /** Clock ticks since boot (/proc/<pid>/stat field 22); "" where /proc is missing. */
  readonly startTime: string;
}

/** Set in the environment of everything that belongs to a local cluster, so that a sweep finds what no record names. */
export const OWNER_VARIABLE = "CAUSEWAY_LOCAL_CLUSTER";

function startTimeOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}

/** Whether the recorded process still runs; a zombie does not. */
export function isRunning(record: ProcessRecord): boolean {
  try {
    process.kill(record.pid, 0);
  } catch {
    return false;
  }
  if (record.startTime === "") return true;
  if (startTimeOf(record.pid) !== record.startTime) return false;
  const stat = readFileSync(`/proc/${record.pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z";
}

/** Starts a process in a group of its own and writes `<runDirectory>/<name>.json`; the record goes when it exits. */
export function spawnRecorded(
  runDirectory: string,
  name: string,
  command: readonly [string, ...string[]],
  options: SpawnOptions & { readonly owner: string },
): ChildProcess {
  mkdirSync(runDirectory, { recursive: true, mode: 0o700 });
  const [file, ...args] = command;
  const env = { ...(options.env ?? process.env), [OWNER_VARIABLE]: options.owner };
  const child = spawn(file, args, { ...options, env, detached: true });
  if (child.pid !== undefined) {
    const path = join(runDirectory, `${name}.json`);
    const record: ProcessRecord = { name, pid: child.pid, startTime: startTimeOf(child.pid) };
    writeFileSync(path, JSON.stringify(record), { mode: 0o600 });
    child.once("exit", () => {
      // A successor may have written its own record meanwhile.
      if (readRecord(path)?.pid === record.pid) rmSync(path, { force: true });
    });
  }
  return child;
}

function readRecord(path: string): ProcessRecord | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ProcessRecord;
  } catch {
    return undefined;
  }
}

/** What `runDirectory` records and still runs. */
export function runningRecords(runDirectory: string): ProcessRecord[] {
  let names: string[];
  try {
    names = readdirSync(runDirectory);
  } catch {
    return [];
  }
  return names
    .filter((name) => name.endsWith(".json"))
    .map((name) => readRecord(join(runDirectory, name)))
    .filter((record): record is ProcessRecord => record !== undefined && isRunning(record));
}

/** Processes whose environment names `owner`, by /proc; empty where there is no /proc. */
export function ownedProcesses(owner: string): ProcessRecord[] {
  const wanted = `${OWNER_VARIABLE}=${owner}`;
  let pids: string[];
  try {
    pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
  const found: ProcessRecord[] = [];
  for (const text of pids) {
    const pid = Number(text);
    if (pid === process.pid) continue;
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(wanted)) continue;
      found.push({ name: readlinkSync(`/proc/${pid}/exe`), pid, startTime: startTimeOf(pid) });
    } catch {
      // Gone, or another user's.
    }
  }
  return found;
}

/** Signals the group of a recorded process, and the process itself where it leads no group. */
export function signalRecord(record: ProcessRecord, signal: NodeJS.Signals): void {
  if (!isRunning(record)) return;
  for (const target of [-record.pid, record.pid]) {
    try {
      process.kill(target, signal);
      return;
    } catch {
      // No such group: the process itself is next.
    }
  }
}
