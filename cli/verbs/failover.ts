import { type Command, InvalidArgumentError } from "commander";
import { systemClock } from "../../core/clock.ts";
import { hasCode, MeshError } from "../../core/errors.ts";
import {
  FAILOVER_MODES,
  type FailoverMode,
  type FailoverPolicy,
  failoverProblems,
  unknownClusters,
} from "../../core/failover.ts";
import type { KubeClient } from "../../kube/client.ts";
import {
  apiVersionOf,
  EVACUATIONS,
  type Evacuation,
  FAILOVER_POLICIES,
  type FailoverPolicyObject,
  LINKS,
  type Link,
  SERVICE_IMPORTS,
  type ServiceImportObject,
} from "../../kube/resources.ts";
import { accessMesh, type MeshCluster } from "../cluster-access.ts";
import { type FailoverObjects, type FailoverView, failoverViews } from "../failover-view.ts";
import { show, table } from "../output.ts";
import { type CommonOptions, requireOption, type VerbContext, withCommonOptions } from "../program.ts";
import { parseServiceReference } from "../service-reference.ts";

interface StatusOptions extends CommonOptions {
  readonly service?: string;
}

interface SetOptions extends CommonOptions {
  readonly service?: string;
  readonly mode?: string;
  readonly prefer?: readonly string[];
  readonly weights?: Readonly<Record<string, number>>;
  readonly clear?: boolean;
  readonly force?: boolean;
}

export function registerFailover(program: Command, context: VerbContext): void {
  const failover = program.command("failover").description("where the traffic of federated services goes, and why");
  withCommonOptions(
    failover
      .command("status")
      .description("by service: its clusters, which of them are live, and how they share its traffic")
      .option("--service <ns/name>", "only this one"),
    "cluster from which the traffic comes",
  ).action(async (options: StatusOptions) => {
    const mesh = await accessMesh(options, context.env);
    const views = chosen(failoverViews(await failoverObjects(mesh)), options.service);
    show(options.output, views, () => describe(views, mesh.cluster), context.stdout);
  });
  const modes = Object.entries(FAILOVER_MODES).map(([mode, text]) => `${mode}: ${text}`);
  withCommonOptions(
    failover
      .command("set")
      .description(
        `have a federated service's traffic shared otherwise: a FailoverPolicy is written\n${modes.join("\n")}`,
      )
      .option("--service <ns/name>", "the service")
      .option("--mode <mode>", Object.keys(FAILOVER_MODES).join(", "))
      .option("--prefer <clusters>", "comma-separated, best first", clusterList)
      .option("--weights <cluster=percent,…>", "for mode weighted; they add up to 100", weightList)
      .option("--clear", "take the policy away: its own cluster first, then the nearest")
      .option("--force", "write it even where it names a cluster that is not linked, or a service that nobody exports"),
    "cluster from which the traffic comes",
  ).action(async (options: SetOptions) => {
    await set(options, context);
  });
}

async function set(options: SetOptions, { env, stdout }: VerbContext): Promise<void> {
  const service = requireOption(options.service, "--service", "name the service, as in --service shop/web");
  const { namespace, name } = parseServiceReference(service, "default");
  const mesh = await accessMesh(options, env);
  if (options.clear === true) {
    const changed = await mesh.kube.delete(FAILOVER_POLICIES, name, namespace);
    const text = changed ? "has its usual order again" : "has no FailoverPolicy";
    show(options.output, { namespace, service: name, changed }, () => `${namespace}/${name} ${text}`, stdout);
    return;
  }
  const policy = policyOf(options);
  const cannot = (what: string) => new MeshError("USAGE", `Cannot set the failover of ${namespace}/${name}: ${what}`);
  const [problem] = failoverProblems(policy);
  if (problem !== undefined) throw cannot(problem);
  const objects = await failoverObjects(mesh);
  if (options.force !== true) {
    const known = [mesh.cluster, ...objects.links.map(({ spec }) => spec.cluster)];
    const [stranger] = unknownClusters(policy, known);
    if (stranger !== undefined)
      throw cannot(`cluster "${stranger}" is not linked; there are ${known.join(", ")}. Link it, or use --force.`);
    const { imports } = objects;
    if (!imports.some(({ metadata }) => metadata.namespace === namespace && metadata.name === name)) {
      throw new MeshError(
        "SERVICE_UNKNOWN",
        `Cannot set the failover of ${namespace}/${name}: no cluster exports it by ServiceExport. Use mesh export, or --force.`,
      );
    }
  }
  const object = await write(mesh.kube, namespace, name, policy);
  const [view] = failoverViews({ ...objects, policies: [object] }).filter(
    (each) => each.namespace === namespace && each.service === name,
  );
  const result = { namespace, service: name, ...policy, changed: true };
  show(options.output, result, () => (view === undefined ? "written" : describe([view], mesh.cluster)), stdout);
}

/** What the options ask for. @throws MeshError USAGE */
function policyOf({ mode, prefer = [], weights = {} }: SetOptions): FailoverPolicy {
  // Weights or an order say by themselves what is meant.
  const implied = Object.keys(weights).length > 0 ? "weighted" : prefer.length > 0 ? "priority" : undefined;
  const wanted = mode ?? implied;
  return {
    mode: requireOption(wanted, "--mode", `choose one of ${Object.keys(FAILOVER_MODES).join(", ")}`) as FailoverMode,
    prefer,
    weights,
  };
}

async function write(
  kube: KubeClient,
  namespace: string,
  name: string,
  policy: FailoverPolicy,
): Promise<FailoverPolicyObject> {
  const spec = { mode: policy.mode, prefer: [...policy.prefer], weights: { ...policy.weights } };
  const base = { apiVersion: apiVersionOf(FAILOVER_POLICIES), kind: FAILOVER_POLICIES.kind };
  for (let attempt = 0; ; attempt++) {
    const before = await kube.get<FailoverPolicyObject>(FAILOVER_POLICIES, name, namespace);
    try {
      if (before !== undefined) return await kube.replace(FAILOVER_POLICIES, { ...before, spec });
      return await kube.create(FAILOVER_POLICIES, { ...base, metadata: { name, namespace }, spec });
    } catch (error) {
      // Its status is written by the mirror meanwhile.
      if (!hasCode(error, "KUBE_CONFLICT", "KUBE_NOT_FOUND") || attempt >= 5) throw error;
    }
  }
}

/** All that Kubernetes holds of failover in a cluster. */
export async function failoverObjects({ kube, cluster }: MeshCluster): Promise<FailoverObjects> {
  const [links, imports, policies, evacuations] = await Promise.all([
    kube.list<Link>(LINKS),
    kube.list<ServiceImportObject>(SERVICE_IMPORTS),
    kube.list<FailoverPolicyObject>(FAILOVER_POLICIES),
    kube.list<Evacuation>(EVACUATIONS),
  ]);
  return { cluster, links, imports, policies, evacuations, nowMs: systemClock.wallMs() };
}

function chosen(views: readonly FailoverView[], service: string | undefined): readonly FailoverView[] {
  if (service === undefined) return views;
  const { namespace, name } = parseServiceReference(service, "default");
  const found = views.filter((view) => view.namespace === namespace && view.service === name);
  if (found.length > 0) return found;
  throw new MeshError(
    "SERVICE_UNKNOWN",
    `Cannot show ${namespace}/${name}: no cluster exports it by ServiceExport. See mesh services.`,
  );
}

function describe(views: readonly FailoverView[], cluster: string): string {
  if (views.length === 0) return `${cluster} has no federated services; mesh export makes one`;
  const rows = views.flatMap(({ namespace, service, mode, policy, groups }) =>
    groups.map((group, i) => [
      i === 0 ? `${namespace}/${service}` : "",
      i === 0 ? mode + (policy ? "" : " (default)") : "",
      group.cluster,
      String(group.level + 1),
      `${group.ready}/${group.endpoints}`,
      group.link,
      `${Math.round(group.share * 100)} %`,
      group.why,
    ]),
  );
  const headings = ["SERVICE", "MODE", "CLUSTER", "LEVEL", "READY", "LINK", "TRAFFIC", "WHY"];
  const problems = views.flatMap(({ namespace, service, problems: all }) =>
    all.map((text) => `${namespace}/${service}: ${text}`),
  );
  return [table(headings, rows), ...problems].join("\n");
}

const CLUSTER = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

function clusterList(text: string): string[] {
  const clusters = text.split(",").map((name) => name.trim());
  if (clusters.every((name) => CLUSTER.test(name))) return clusters;
  throw new InvalidArgumentError("want clusters, separated by commas, as in east,west.");
}

function weightList(text: string): Record<string, number> {
  const weights: Record<string, number> = {};
  for (const part of text.split(",")) {
    const [, cluster = "", percent] = /^([a-z0-9-]{1,63})=([0-9]{1,3}(?:\.[0-9]+)?)%?$/.exec(part.trim()) ?? [];
    if (!CLUSTER.test(cluster)) throw new InvalidArgumentError("want <cluster>=<percent>, as in east=70,west=30.");
    if (Object.hasOwn(weights, cluster)) throw new InvalidArgumentError(`${cluster} has a weight already.`);
    weights[cluster] = Number(percent);
  }
  return weights;
}
