import type { Command } from "commander";
import { systemClock } from "../../core/clock.ts";
import { errorText, hasCode, MeshError } from "../../core/errors.ts";
import { drainedShare, evacuationPlan } from "../../core/evacuation.ts";
import type { KubeClient } from "../../kube/client.ts";
import { apiVersionOf, EVACUATIONS, type Evacuation } from "../../kube/resources.ts";
import { accessMesh, type MeshCluster } from "../cluster-access.ts";
import { drainedShares, type FailoverObjects, failoverViews } from "../failover-view.ts";
import { duration, show } from "../output.ts";
import { type CommonOptions, durationMs, type VerbContext, withCommonOptions } from "../program.ts";
import { failoverObjects } from "./failover.ts";

interface EvacuateOptions extends CommonOptions {
  readonly undo?: boolean;
  readonly over: number;
  readonly force?: boolean;
  readonly alone?: boolean;
}

const MAX_OVER_MS = 24 * 3_600_000;

export function registerEvacuate(program: Command, context: VerbContext): void {
  withCommonOptions(
    program
      .command("evacuate")
      .description(
        "have a cluster's federated traffic go elsewhere, little by little; names of its mirrors still lead there",
      )
      .argument("<cluster>", "the cluster, as mesh links names it")
      .option("--undo", "bring its traffic back")
      .option("--over <duration>", "within this time", durationMs, 30_000)
      .option("--force", "even where a service would be left with nobody")
      .option("--alone", "only for traffic from the context's own cluster, even if the kubeconfig reaches the other"),
    "cluster whose traffic is to go elsewhere",
  ).action(async (cluster: string, options: EvacuateOptions) => {
    await evacuate(cluster, options, context);
  });
}

async function evacuate(cluster: string, options: EvacuateOptions, context: VerbContext): Promise<void> {
  if (options.over > MAX_OVER_MS)
    throw new MeshError("USAGE", `Cannot take ${duration(options.over)}: --over is at most a day.`);
  const here = await accessMesh(options, context.env);
  const objects = await failoverObjects(here);
  const known = [here.cluster, ...objects.links.map(({ spec }) => spec.cluster)];
  if (!known.includes(cluster)) {
    throw new MeshError(
      "LINK_UNKNOWN",
      `Cannot evacuate "${cluster.slice(0, 63)}": ${here.cluster} knows of ${known.join(", ")} alone. See mesh links.`,
    );
  }
  if (options.undo !== true && options.force !== true) requireOthers(cluster, objects);
  const { reached, missed } = await places(cluster, here, options, context);
  const changed: string[] = [];
  for (const place of reached) if (await intend(place.kube, cluster, options)) changed.push(place.cluster);
  if (options.undo === true && changed.length === 0) {
    throw new MeshError("USAGE", `Cannot undo: ${cluster} is not being evacuated in ${namesOf(reached)}.`);
  }
  const result = { cluster, undo: options.undo === true, overMs: options.over, recordedIn: changed, missed };
  const from = changed.includes(cluster) ? "all clusters that are linked to it" : `${here.cluster} alone`;
  const where = options.undo === true ? `comes back to ${cluster}` : `leaves ${cluster}`;
  const lines = [
    `traffic of federated services from ${from} ${where} within ${duration(options.over)}; recorded in ${changed.join(", ")}`,
    ...missed.map((text) => `note: ${text}`),
    "mesh failover status shows how far it is",
  ];
  show(options.output, result, () => lines.join("\n"), context.stdout);
}

/** @throws MeshError EVACUATION_REFUSED where a service would be left with nobody */
function requireOthers(cluster: string, objects: FailoverObjects): void {
  const drained = drainedShares(objects);
  const left = failoverViews(objects).flatMap(({ namespace, service, groups }) => {
    if (!groups.some((group) => group.cluster === cluster && group.ready > 0)) return [];
    const others = groups.filter(
      (group) =>
        group.cluster !== cluster && group.ready > 0 && group.link !== "dead" && (drained.get(group.cluster) ?? 0) < 1,
    );
    return others.length === 0 ? [`${namespace}/${service}`] : [];
  });
  if (left.length === 0) return;
  const some = left.slice(0, 5).join(", ") + (left.length > 5 ? ` and ${left.length - 5} more` : "");
  throw new MeshError(
    "EVACUATION_REFUSED",
    `Cannot evacuate ${cluster}: nobody else serves ${some}. Export it from another cluster, or use --force: it is then still served by ${cluster}.`,
  );
}

/**
 * Where the intent is recorded: in the cluster itself, which then tells all of its peers, if the kubeconfig has a context
 * of its name; and in the context's own, for its traffic whatever becomes of the other.
 */
async function places(
  cluster: string,
  here: MeshCluster,
  options: EvacuateOptions,
  { env }: VerbContext,
): Promise<{ reached: MeshCluster[]; missed: string[] }> {
  if (cluster === here.cluster || options.alone === true) return { reached: [here], missed: [] };
  try {
    const there = await accessMesh({ ...options, context: cluster }, env);
    if (there.cluster === cluster) return { reached: [here, there], missed: [] };
    return { reached: [here], missed: [`context "${cluster}" is of cluster ${there.cluster}`] };
  } catch (error) {
    if (hasCode(error, "USAGE")) throw error;
    return { reached: [here], missed: [`not recorded in ${cluster} itself: ${errorText(error)}`] };
  }
}

/** Records the intent; false where it was so already. */
async function intend(kube: KubeClient, cluster: string, { undo, over }: EvacuateOptions): Promise<boolean> {
  for (let attempt = 0; ; attempt++) {
    const before = await kube.get<Evacuation>(EVACUATIONS, cluster);
    const nowMs = systemClock.wallMs();
    const createdMs = Date.parse(before?.metadata.creationTimestamp ?? "");
    const plan = before === undefined ? undefined : evacuationPlan(before.spec ?? {}, createdMs);
    if ((plan?.out ?? false) === (undo !== true)) return plan !== undefined;
    if (plan === undefined && undo === true) return false;
    const spec: NonNullable<Evacuation["spec"]> = {
      evacuate: undo !== true,
      over: over % 1_000 === 0 ? `${over / 1_000}s` : `${Math.floor(over / 1_000)}s${Math.round(over % 1_000)}ms`,
      since: new Date(nowMs).toISOString(),
      from: plan === undefined ? 0 : drainedShare(plan, nowMs),
    };
    try {
      if (before !== undefined) await kube.replace<Evacuation>(EVACUATIONS, { ...before, spec });
      else {
        const base = { apiVersion: apiVersionOf(EVACUATIONS), kind: EVACUATIONS.kind, metadata: { name: cluster } };
        await kube.create<Evacuation>(EVACUATIONS, { ...base, spec });
      }
      return true;
    } catch (error) {
      if (!hasCode(error, "KUBE_CONFLICT", "KUBE_NOT_FOUND") || attempt >= 5) throw error;
    }
  }
}

function namesOf(clusters: readonly MeshCluster[]): string {
  return clusters.map(({ cluster }) => cluster).join(" and ");
}
