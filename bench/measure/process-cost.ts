import { readdirSync, readFileSync } from "node:fs";

/** Of Linux on every architecture that Node runs on: what /proc counts CPU time in (USER_HZ). */
const TICKS_PER_SECOND = 100;

export interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly userSeconds: number;
  readonly systemSeconds: number;
}

/** A line of /proc/<pid>/stat; the program's name in it may hold anything (proc(5)). */
export function parseStat(line: string): ProcessStat | undefined {
  const nameEnd = line.lastIndexOf(")");
  const pid = Number.parseInt(line, 10);
  const fields = line.slice(nameEnd + 2).split(" ");
  const [parent, user, system] = [fields[1], fields[11], fields[12]].map(Number);
  if (nameEnd < 0 || Number.isNaN(pid) || parent === undefined || user === undefined || system === undefined) return;
  if (Number.isNaN(parent + user + system)) return;
  return { pid, parent, userSeconds: user / TICKS_PER_SECOND, systemSeconds: system / TICKS_PER_SECOND };
}

/** Sum in MiB of the lines `<name>: <n> kB` of /proc/<pid>/status or smaps_rollup that have one of `names`. */
export function parseMib(text: string, names: readonly string[]): number {
  let kib = 0;
  for (const line of text.split("\n")) {
    const match = /^(\w+):\s+(\d+) kB$/.exec(line);
    if (match?.[1] !== undefined && names.includes(match[1])) kib += Number(match[2]);
  }
  return kib / 1_024;
}

/** `roots` and all that descend from them. */
export function family(roots: readonly number[], all: readonly ProcessStat[]): ProcessStat[] {
  const members = new Set(roots);
  for (let before = -1; before < members.size; ) {
    before = members.size;
    for (const { pid, parent } of all) if (members.has(parent)) members.add(pid);
  }
  return all.filter(({ pid }) => members.has(pid));
}

function readOr(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // Gone meanwhile, or not ours to read.
  }
}

function allProcesses(): ProcessStat[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => parseStat(readOr(`/proc/${name}/stat`)) ?? []);
}

export interface CpuSeconds {
  readonly user: number;
  readonly system: number;
}

/** CPU time so far of the processes `roots` with all their children. */
export function cpuSeconds(roots: readonly number[]): CpuSeconds {
  const members = roots.length === 0 ? [] : family(roots, allProcesses());
  return {
    user: members.reduce((sum, { userSeconds }) => sum + userSeconds, 0),
    system: members.reduce((sum, { systemSeconds }) => sum + systemSeconds, 0),
  };
}

export interface MemoryMib {
  /** The most that was resident at once, of each process. */
  readonly peakRss: number;
  /** Shared with no other process, now. */
  readonly private: number;
}

/** Memory of the processes `roots` with all their children. */
export function memoryMib(roots: readonly number[]): MemoryMib {
  const pids = roots.length === 0 ? [] : family(roots, allProcesses()).map(({ pid }) => pid);
  const sum = (file: string, names: readonly string[]) =>
    pids.reduce((total, pid) => total + parseMib(readOr(`/proc/${pid}/${file}`), names), 0);
  return { peakRss: sum("status", ["VmHWM"]), private: sum("smaps_rollup", ["Private_Clean", "Private_Dirty"]) };
}
