import type { Command } from "commander";
import { systemClock } from "../../core/clock.ts";
import { hasCode } from "../../core/errors.ts";
import type { KubeClient } from "../../kube/client.ts";
import { EVACUATIONS, type Evacuation, LINKS, type Link } from "../../kube/resources.ts";
import { accessMesh } from "../cluster-access.ts";
import { drainedShares } from "../failover-view.ts";
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
  /** Share of its federated traffic that is to go elsewhere, 0 to 1. */
  readonly drained: number;
  readonly problems: readonly string[];
}

export function registerLinks(program: Command, context: VerbContext): void {
  withCommonOptions(program.command("links").description("the cluster's links and how they are")).action(
    async (options: CommonOptions) => {
      const { kube, cluster } = await accessMesh(options, context.env);
      const [links, evacuations] = await Promise.all([kube.list<Link>(LINKS), listEvacuations(kube)]);
      const shares = drainedShares({ links, evacuations, nowMs: systemClock.wallMs() });
      const rows = links.map((link) => rowOf(link, shares.get(link.spec.cluster) ?? 0));
      const own = shares.get(cluster) ?? 0;
      show(options.output, rows, () => tableOf(rows, cluster, own), context.stdout);
    },
  );
}

/** None where the cluster's definitions are of an earlier version. */
async function listEvacuations(kube: KubeClient): Promise<Evacuation[]> {
  try {
    return await kube.list<Evacuation>(EVACUATIONS);
  } catch (error) {
    if (hasCode(error, "KUBE_NOT_FOUND", "KUBE_DENIED")) return [];
    throw error;
  }
}

function rowOf({ spec, status }: Link, drained: number): LinkRow {
  return {
    cluster: spec.cluster,
    phase: status?.phase ?? "pending",
    health: status?.health ?? "unknown",
    direction: [spec.import ? "import" : "", spec.export ? "export" : ""].filter((d) => d !== "").join("+"),
    services: status?.services ?? 0,
    rttMs: status?.rttMs ?? null,
    sinceMs: status?.since === undefined ? null : Date.parse(status.since),
    drained,
    problems: (status?.conditions ?? [])
      .filter((c) => c.status === "False")
      .map((c) => `${c.type}: ${c.reason}: ${c.message}`),
  };
}

function tableOf(rows: readonly LinkRow[], cluster: string, ownDrained: number): string {
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
  const percent = (share: number) => `${Math.round(share * 100)} %`;
  const evacuated = [
    ...(ownDrained > 0
      ? [`${cluster} itself: evacuated, ${percent(ownDrained)} of its federated traffic goes elsewhere`]
      : []),
    ...rows
      .filter(({ drained }) => drained > 0)
      .map(
        ({ cluster: peer, drained }) =>
          `${peer}: evacuated, ${percent(drained)} of its federated traffic goes elsewhere`,
      ),
  ];
  return [
    table(["CLUSTER", "PHASE", "HEALTH", "DIRECTION", "SERVICES", "RTT", "SINCE"], cells),
    ...evacuated,
    ...problems,
  ].join("\n");
}
