import type { Condition } from "../kube/resources.ts";

/** A condition as we want it; when it last changed follows from what is there. */
export type WantedCondition = Omit<Condition, "lastTransitionTime">;

/** Longest message we write: people read it, and the object has a size limit. */
const MAX_MESSAGE = 1_024;

/**
 * `existing` with `wanted` in place of the conditions of the same types; others are not touched, and a time of
 * transition changes only with the status. Undefined where nothing changes.
 */
export function withConditions(
  existing: readonly Condition[] | undefined,
  wanted: readonly WantedCondition[],
  nowMs: number,
): Condition[] | undefined {
  const now = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
  const next = [...(existing ?? [])];
  let changed = false;
  for (const want of wanted) {
    const condition = { ...want, message: want.message.slice(0, MAX_MESSAGE) };
    const at = next.findIndex((c) => c.type === want.type);
    const old = next[at];
    if (old === undefined) {
      next.push({ ...condition, lastTransitionTime: now });
      changed = true;
    } else if (!same(old, condition)) {
      next[at] = { ...condition, lastTransitionTime: old.status === want.status ? old.lastTransitionTime : now };
      changed = true;
    }
  }
  return changed ? next : undefined;
}

function same(a: WantedCondition, b: WantedCondition): boolean {
  return (
    a.status === b.status &&
    a.reason === b.reason &&
    a.message === b.message &&
    a.observedGeneration === b.observedGeneration
  );
}
