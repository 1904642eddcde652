import { LABELS } from "../core/defaults.ts";
import { drainedShare, evacuationPlan } from "../core/evacuation.ts";
import { type FailoverMode, type FailoverPolicy, failoverPlaces, failoverProblems } from "../core/failover.ts";
import type { Evacuation, FailoverPolicyObject, Link, ServiceImportObject } from "../kube/resources.ts";
import { type GroupHealth, shareOut } from "../proxy/balance/priority.ts";

/** One cluster's part in a federated service, as `mesh failover status` shows it. */
export interface FailoverGroup {
  readonly cluster: string;
  readonly level: number;
  /** Percent of its level; null: by number of endpoints. */
  readonly weight: number | null;
  readonly ready: number;
  readonly endpoints: number;
  /** "own", or the health of the link. */
  readonly link: string;
  readonly drained: number;
  /** Of the traffic from this cluster, 0 to 1. */
  readonly share: number;
  readonly why: string;
}

export interface FailoverView {
  readonly namespace: string;
  readonly service: string;
  readonly mode: FailoverMode;
  readonly prefer: readonly string[];
  /** From a FailoverPolicy; false: what holds without one. */
  readonly policy: boolean;
  readonly groups: readonly FailoverGroup[];
  readonly problems: readonly string[];
}

/** What Kubernetes holds of failover in one cluster. */
export interface FailoverObjects {
  /** The cluster itself. */
  readonly cluster: string;
  readonly links: readonly Link[];
  readonly imports: readonly ServiceImportObject[];
  readonly policies: readonly FailoverPolicyObject[];
  readonly evacuations: readonly Evacuation[];
  readonly nowMs: number;
}

/** Share of traffic of federated names that is to go elsewhere, by cluster. */
export function drainedShares({
  links,
  evacuations,
  nowMs,
}: Pick<FailoverObjects, "links" | "evacuations" | "nowMs">): Map<string, number> {
  const shares = new Map<string, number>();
  for (const { spec, status } of links) if ((status?.drained ?? 0) > 0) shares.set(spec.cluster, status?.drained ?? 0);
  for (const { metadata, spec = {} } of evacuations) {
    const createdMs = Date.parse(metadata.creationTimestamp ?? "");
    const share = drainedShare(evacuationPlan(spec, Number.isNaN(createdMs) ? nowMs : createdMs), nowMs);
    shares.set(metadata.name, Math.max(share, shares.get(metadata.name) ?? 0));
  }
  return shares;
}

/**
 * Every federated service with where its traffic goes from this cluster: what the proxies work out, from what is known
 * in Kubernetes. What a single proxy has learnt by itself, its breakers and ramps, is not in it.
 */
export function failoverViews(objects: FailoverObjects): FailoverView[] {
  const drained = drainedShares(objects);
  return objects.imports
    .map((imported) => viewOf(imported, objects, drained))
    .sort((a, b) => a.namespace.localeCompare(b.namespace) || a.service.localeCompare(b.service));
}

function viewOf(
  imported: ServiceImportObject,
  { cluster: own, links, policies }: FailoverObjects,
  drained: ReadonlyMap<string, number>,
): FailoverView {
  const { namespace = "default", name } = imported.metadata;
  const object = policies.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
  const policy = object === undefined ? undefined : specPolicy(object);
  const problems = policy === undefined ? [] : failoverProblems(policy);
  const applied = problems.length === 0 ? policy : undefined;
  const clusters = byNearness(
    (imported.status?.clusters ?? []).map(({ cluster }) => cluster),
    own,
    links,
  );
  const counts = endpointCounts(imported.metadata.annotations?.[LABELS.endpoints]);
  const places = failoverPlaces(applied, clusters, own);
  const states = places.map(({ cluster, level, weight }) => {
    const link = links.find(({ spec }) => spec.cluster === cluster);
    const health = cluster === own ? "own" : (link?.status?.health ?? "unknown");
    const { ready, total } = counts.get(cluster) ?? { ready: 0, total: 0 };
    const cap = (health === "dead" ? 0 : 1) * (1 - (drained.get(cluster) ?? 0));
    return { cluster, level, weight, health, ready, total, cap };
  });
  const shares = shareOut(
    states.map(({ ready, total, cap, level, weight }): GroupHealth => {
      return { healthy: ready, total, cap, level, weight };
    }),
  );
  const groups = states.map(({ cluster, level, weight, health, ready, total }, i): FailoverGroup => {
    const share = Math.round((shares[i] ?? 0) * 1_000) / 1_000;
    const base = { cluster, level, ready, endpoints: total, link: health, drained: drained.get(cluster) ?? 0, share };
    return { ...base, weight: weight > 0 ? weight : null, why: reasonOf(base, applied?.mode ?? "locality") };
  });
  const conditions = (object?.status?.conditions ?? []).filter(
    ({ type, status }) => type !== "Accepted" && status === "False",
  );
  return {
    namespace,
    service: name,
    mode: applied?.mode ?? "locality",
    prefer: applied?.prefer ?? [],
    policy: applied !== undefined,
    groups,
    problems: [
      ...problems.map((text) => `its FailoverPolicy is not applied: ${text}`),
      ...conditions.map((c) => c.message),
    ],
  };
}

/** What a FailoverPolicy says. */
function specPolicy({ spec }: FailoverPolicyObject): FailoverPolicy {
  return { mode: spec.mode as FailoverMode, prefer: spec.prefer ?? [], weights: spec.weights ?? {} };
}

/** The own cluster, then the others by round trip. */
function byNearness(clusters: readonly string[], own: string, links: readonly Link[]): string[] {
  const rtt = (cluster: string) =>
    links.find(({ spec }) => spec.cluster === cluster)?.status?.rttMs ?? Number.MAX_SAFE_INTEGER;
  const others = clusters.filter((cluster) => cluster !== own);
  others.sort((a, b) => rtt(a) - rtt(b) || (a < b ? -1 : 1));
  return [...clusters.filter((cluster) => cluster === own), ...others];
}

/** Reads "<cluster>=<ready>/<total>,…". */
export function endpointCounts(text = ""): Map<string, { ready: number; total: number }> {
  const found = new Map<string, { ready: number; total: number }>();
  for (const [, cluster = "", ready, total] of text.matchAll(/([a-z0-9-]+)=([0-9]+)\/([0-9]+)/g))
    found.set(cluster, { ready: Number(ready), total: Number(total) });
  return found;
}

function reasonOf(group: Omit<FailoverGroup, "weight" | "why">, mode: FailoverMode): string {
  const { link, drained, ready, endpoints, share, level } = group;
  const limits = [
    link === "dead" ? "its link is dead" : "",
    link === "recovering" ? "its link comes back little by little" : "",
    drained > 0 ? `evacuated (${Math.round(drained * 100)} % so far)` : "",
    ready === 0 ? "no endpoint is ready" : "",
    ready > 0 && ready / endpoints < 1 / 1.4 ? `only ${ready} of ${endpoints} endpoints are ready` : "",
  ].filter((text) => text !== "");
  if (limits.length > 0) return limits.join(", ");
  if (share === 0) return "standby: those before it can take all";
  if (level > 0) return "takes what those before it cannot";
  return mode === "weighted" ? "by weight" : mode === "active-active" ? "by number of endpoints" : "first choice";
}
