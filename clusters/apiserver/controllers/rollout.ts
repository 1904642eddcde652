import { type ApiObject, at, numberAt, textAt } from "../object.ts";

interface RolloutPlan {
  /** Replicas of the ReplicaSet of the present template. */
  readonly current: number;
  /** Replicas of the older ones, in their order. */
  readonly old: readonly number[];
  readonly maxUnavailable: number;
}

function resolve(value: unknown, of: number, up: boolean): number {
  if (typeof value === "number") return value;
  if (typeof value !== "string") return 0;
  const exact = (Number.parseInt(value, 10) * of) / 100;
  return up ? Math.ceil(exact) : Math.floor(exact);
}

/**
 * The next step of a rollout: how many replicas each ReplicaSet should have now. Never more than replicas plus
 * maxSurge in all, never fewer than replicas minus maxUnavailable available (pkg/controller/deployment/rolling.go).
 */
export function planRollout(
  deployment: ApiObject,
  current: ApiObject | undefined,
  old: readonly ApiObject[],
): RolloutPlan {
  const wanted = numberAt(deployment, 0, "spec", "replicas");
  const rolling = at(deployment, "spec", "strategy", "rollingUpdate");
  const surge = resolve(at(rolling, "maxSurge"), wanted, true);
  let maxUnavailable = resolve(at(rolling, "maxUnavailable"), wanted, false);
  if (surge === 0 && maxUnavailable === 0) maxUnavailable = 1;
  maxUnavailable = Math.min(maxUnavailable, wanted);
  const oldReplicas = old.map((set) => numberAt(set, 0, "spec", "replicas"));
  const oldTotal = oldReplicas.reduce((sum, one) => sum + one, 0);
  const present = numberAt(current, 0, "spec", "replicas");
  if (at(deployment, "spec", "paused") === true && oldTotal > 0)
    return { current: present, old: oldReplicas, maxUnavailable };
  if (textAt(deployment, "spec", "strategy", "type") === "Recreate") {
    const running = old.some((set) => numberAt(set, 0, "status", "replicas") > 0);
    return { current: running ? present : wanted, old: old.map(() => 0), maxUnavailable: wanted };
  }
  const room = Math.max(0, wanted + surge - present - oldTotal);
  const next = oldTotal === 0 ? wanted : present > wanted ? wanted : Math.min(wanted, present + room);
  return { current: next, old: shrink(old, oldReplicas, current, wanted - maxUnavailable, present), maxUnavailable };
}

function shrink(
  old: readonly ApiObject[],
  replicas: readonly number[],
  current: ApiObject | undefined,
  minAvailable: number,
  present: number,
): number[] {
  const result = [...replicas];
  const total = present + replicas.reduce((sum, one) => sum + one, 0);
  const newAvailable = numberAt(current, 0, "status", "availableReplicas");
  let budget = total - minAvailable - (present - Math.min(present, newAvailable));
  // Replicas that are not available cost nothing: they go first.
  for (const [i, set] of old.entries()) {
    const unhealthy = Math.max(0, (result[i] ?? 0) - numberAt(set, 0, "status", "availableReplicas"));
    const cut = Math.max(0, Math.min(unhealthy, budget));
    result[i] = (result[i] ?? 0) - cut;
    budget -= cut;
  }
  const available =
    newAvailable +
    old.reduce((sum, set, i) => sum + Math.min(result[i] ?? 0, numberAt(set, 0, "status", "availableReplicas")), 0);
  budget = Math.min(budget, available - minAvailable);
  for (const i of result.keys()) {
    const cut = Math.max(0, Math.min(result[i] ?? 0, budget));
    result[i] = (result[i] ?? 0) - cut;
    budget -= cut;
  }
  return result;
}
