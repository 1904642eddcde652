import { readFileSync } from "node:fs";
import type { LocalMesh } from "../../test/support/local-mesh.ts";
import { cpuSeconds, parseMib } from "../measure/process-cost.ts";
import { EXPORTER, IMPORTER } from "./world.ts";

/** What one process of a cluster takes. */
export interface RoleUsage {
  readonly cluster: string;
  readonly role: string;
  /** Resident now, and the most that ever was, MiB. */
  readonly rssMb: number;
  readonly peakRssMb: number;
  /** Of one core, over a while in which nothing happens. */
  readonly cpuPercent: number;
}

/** By the names of their processes; the API server is no role of the mesh, and is shown beside them. */
const ROLES = { control: "control", gateway: "gateway", mirror: "mirror", redis: "registry", apiserver: "API server" };

/** Memory of each role, and its CPU over `overMs` from now. */
export async function roleUsage(mesh: LocalMesh, overMs: number): Promise<RoleUsage[]> {
  const processes = [EXPORTER, IMPORTER].flatMap((cluster) =>
    Object.entries(ROLES).flatMap(([name, role]) => {
      const pid = mesh.record(cluster, name)?.pid;
      return pid === undefined ? [] : [{ cluster, role, pid }];
    }),
  );
  const seconds = () => processes.map(({ pid }) => cpuSeconds([pid])).map(({ user, system }) => user + system);
  const before = seconds();
  const startMs = performance.now();
  await new Promise((resolve) => setTimeout(resolve, overMs));
  const after = seconds();
  const tookMs = performance.now() - startMs;
  return processes.map(({ cluster, role, pid }, i) => {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const used = (after[i] ?? 0) - (before[i] ?? 0);
    return {
      cluster,
      role,
      rssMb: Math.round(parseMib(status, ["VmRSS"])),
      peakRssMb: Math.round(parseMib(status, ["VmHWM"])),
      cpuPercent: Math.round((used * 1_000_000) / tookMs) / 10,
    };
  });
}
