import { type FailoverMode, type FailoverPolicy, failoverProblems, unknownClusters } from "../../core/failover.ts";
import type { KubeObject } from "../../kube/client.ts";
import { FAILOVER_POLICIES, type FailoverPolicyObject } from "../../kube/resources.ts";
import { type WantedCondition, withConditions } from "../conditions.ts";
import type { Step } from "../steps.ts";

/** The policy of an object, as it says it. */
export function policyOf({ spec }: FailoverPolicyObject): FailoverPolicy {
  return { mode: spec.mode as FailoverMode, prefer: spec.prefer ?? [], weights: spec.weights ?? {} };
}

/** What an object's policy comes to among `clusters`, for a service that is `federated` here or is not. */
export function policyConditions(
  object: FailoverPolicyObject,
  clusters: readonly string[],
  federated: boolean,
): WantedCondition[] {
  const policy = policyOf(object);
  const { namespace = "", name, generation } = object.metadata;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const problems = failoverProblems(policy);
  const strangers = unknownClusters(policy, clusters);
  const good = (reason: string) => ({ status: "True" as const, reason, message: "" });
  const bad = (reason: string, message: string) => ({ status: "False" as const, reason, message });
  return [
    {
      type: "Accepted",
      ...(problems.length === 0 ? good("Accepted") : bad("Invalid", `Cannot apply it: ${problems.join(" ")}`)),
      ...observed,
    },
    {
      type: "ClustersKnown",
      ...(strangers.length === 0
        ? good("Known")
        : bad(
            "UnknownCluster",
            `Not linked: ${strangers.join(", ")}. Their places are skipped; link them or name others of ${clusters.join(", ")}.`,
          )),
      ...observed,
    },
    {
      type: "ServiceFound",
      ...(federated
        ? good("Found")
        : bad("NoService", `No cluster exports ${namespace}/${name} by ServiceExport. Use mesh export, or its name.`)),
      ...observed,
    },
  ];
}

/** Brings an object's conditions up to date; undefined where they are. */
export function policyStatusStep(
  object: FailoverPolicyObject,
  conditions: readonly WantedCondition[],
  nowMs: () => number,
): Step | undefined {
  const edit = (current: KubeObject): KubeObject | undefined => {
    const { status = {} } = current as FailoverPolicyObject;
    const next = withConditions(status.conditions, conditions, nowMs());
    return next && ({ ...current, status: { ...status, conditions: next } } as FailoverPolicyObject);
  };
  if (edit(object) === undefined) return undefined;
  const { namespace, name } = object.metadata;
  const what = JSON.stringify(conditions);
  return { type: FAILOVER_POLICIES, namespace, name, action: "edit", part: "status", what, edit };
}
