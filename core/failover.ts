/** How traffic of a federated service is shared among its clusters; `FAILOVER_MODES` says what each means. */
export type FailoverMode = "locality" | "priority" | "weighted" | "active-active";

/** By mode, for help texts. */
export const FAILOVER_MODES: Readonly<Record<FailoverMode, string>> = {
  locality: "the own cluster first, then those preferred, then by round trip",
  priority: "in the order of preference, then as locality",
  weighted: "by weight among those that have one; the others only where these cannot take it",
  "active-active": "all endpoints alike, of all clusters or of those preferred",
};

/** What somebody wants of a federated service, in place of `locality` with no preference. */
export interface FailoverPolicy {
  readonly mode: FailoverMode;
  /** Clusters, best first. */
  readonly prefer: readonly string[];
  /** Percent by cluster. */
  readonly weights: Readonly<Record<string, number>>;
}

/** Where a cluster stands for a service: groups of one level share its traffic, the next level takes what they cannot. */
export interface FailoverPlace {
  readonly cluster: string;
  readonly level: number;
  /** Among those of its level; 0: by number of endpoints. */
  readonly weight: number;
}

/** A place for each of `clusters`, which come in order of locality, own cluster `own` included; best level first. */
export function failoverPlaces(
  policy: FailoverPolicy | undefined,
  clusters: readonly string[],
  own: string,
): FailoverPlace[] {
  const { mode = "locality", prefer = [], weights = {} } = policy ?? {};
  const preferred = prefer.filter((cluster) => clusters.includes(cluster));
  const local = clusters.filter((cluster) => cluster === own);
  const first = sharers(mode, preferred, local, clusters, weights);
  const order = mode === "priority" ? preferred : [...(mode === "locality" ? local : []), ...preferred];
  const rest = [...new Set([...order, ...clusters])].filter((cluster) => !first.includes(cluster));
  const places = first.map((cluster) => ({
    cluster,
    level: 0,
    weight: mode === "weighted" ? weightOf(weights, cluster) : 0,
  }));
  const from = first.length > 0 ? 1 : 0;
  return [...places, ...rest.map((cluster, i) => ({ cluster, level: from + i, weight: 0 }))];
}

/** Those that share the first level. */
function sharers(
  mode: FailoverMode,
  preferred: readonly string[],
  local: readonly string[],
  clusters: readonly string[],
  weights: Readonly<Record<string, number>>,
): readonly string[] {
  switch (mode) {
    case "locality":
      return local;
    case "priority":
      return preferred.slice(0, 1);
    case "weighted":
      return clusters.filter((cluster) => weightOf(weights, cluster) > 0);
    case "active-active":
      return preferred.length > 0 ? preferred : clusters;
    default:
      return mode satisfies never;
  }
}

function weightOf(weights: Readonly<Record<string, number>>, cluster: string): number {
  return Object.hasOwn(weights, cluster) ? (weights[cluster] ?? 0) : 0;
}

/** What is wrong with a policy so that it cannot be applied, a sentence each. */
export function failoverProblems({ mode, prefer, weights }: FailoverPolicy): string[] {
  const problems: string[] = [];
  if (!Object.hasOwn(FAILOVER_MODES, mode))
    problems.push(`mode "${mode}" is unknown; there are ${Object.keys(FAILOVER_MODES).join(", ")}.`);
  const twice = prefer.find((cluster, i) => prefer.indexOf(cluster) !== i);
  if (twice !== undefined) problems.push(`cluster "${twice}" is preferred twice.`);
  if (mode === "priority" && prefer.length === 0) problems.push("mode priority wants clusters to prefer.");
  const given = Object.entries(weights);
  if (mode !== "weighted") {
    if (given.length > 0) problems.push(`weights mean nothing in mode ${mode}; use mode weighted.`);
    return problems;
  }
  const wrong = given.find(([, weight]) => !Number.isInteger(weight) || weight < 0 || weight > 100);
  const sum = given.reduce((all, [, weight]) => all + weight, 0);
  if (given.length === 0) problems.push("mode weighted wants weights, such as east=70,west=30.");
  else if (wrong !== undefined)
    problems.push(`the weight of ${wrong[0]} is ${wrong[1]}; want a whole number from 0 to 100.`);
  else if (sum !== 100) problems.push(`the weights add up to ${sum}; want 100.`);
  return problems;
}

/** Clusters that a policy names and that are not among `known`. */
export function unknownClusters({ prefer, weights }: FailoverPolicy, known: readonly string[]): string[] {
  return [...new Set([...prefer, ...Object.keys(weights)])].filter((cluster) => !known.includes(cluster));
}
