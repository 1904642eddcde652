import type { Command } from "commander";
import { systemClock } from "../../core/clock.ts";
import { LINKS, type Link } from "../../kube/resources.ts";
import { accessMesh } from "../cluster-access.ts";
import { duration, show, table } from "../output.ts";
import { type CommonOptions, type VerbContext, withCommonOptions } from "../program.ts";

/** A link as `mesh links` shows it. */
interface LinkRow {
  readonly cluster: string;
  readonly phase: string;
  readonly health: string;
  readonly direction: string;
  readonly services: number;
  readonly rttMs: number | null;
  readonly sinceMs: number | null;
  readonly problems: readonly string[];
}

export function registerLinks(program: Command, context: VerbContext): void {
  withCommonOptions(program.command("links").description("the cluster's links and how they are")).action(
    async (options: CommonOptions) => {
      const { kube, cluster } = await accessMesh(options, context.env);
      const rows = (await kube.list<Link>(LINKS)).map(rowOf);
      show(options.output, rows, () => tableOf(rows, cluster), context.stdout);
    },
  );
}

function rowOf({ spec, status }: Link): LinkRow {
  return {
    cluster: spec.cluster,
    phase: status?.phase ?? "pending",
    health: status?.health ?? "unknown",
    direction: [spec.import ? "import" : "", spec.export ? "export" : ""].filter((d) => d !== "").join("+"),
    services: status?.services ?? 0,
    rttMs: status?.rttMs ?? null,
    sinceMs: status?.since === undefined ? null : Date.parse(status.since),
    problems: (status?.conditions ?? [])
      .filter((c) => c.status === "False")
      .map((c) => `${c.type}: ${c.reason}: ${c.message}`),
  };
}

function tableOf(rows: readonly LinkRow[], cluster: string): string {
  if (rows.length === 0) return `${cluster} is linked to no cluster; mesh link --context <other> links it`;
  const cells = rows.map((row) => [
    row.cluster,
    row.phase,
    row.health,
    row.direction,
    String(row.services),
    row.rttMs === null ? "-" : `${row.rttMs.toFixed(1)} ms`,
    row.sinceMs === null ? "-" : duration(Math.max(0, systemClock.wallMs() - row.sinceMs)),
  ]);
  const problems = rows.flatMap((row) => row.problems.map((text) => `${row.cluster}: ${text}`));
  return [table(["CLUSTER", "PHASE", "HEALTH", "DIRECTION", "SERVICES", "RTT", "SINCE"], cells), ...problems].join(
    "\n",
  );
}
