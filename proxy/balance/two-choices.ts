import type { Random } from "../../core/random.ts";
import { type Load, loadOf } from "./peak-ewma.ts";
import { rampingChoice } from "./slow-start.ts";

interface Candidate {
  readonly load: Load;
  /** See slow-start.ts; what has none is always warm. */
  rampUntilMs?: number;
}

/**
 * The less loaded of two candidates drawn at random; undefined where there is none. Better than the least loaded of
 * all: many clients with the same stale view do not herd (Mitzenmacher, "The power of two choices").
 */
export function twoChoices<T extends Candidate>(
  candidates: readonly T[],
  nowMs: number,
  random: Random,
): T | undefined {
  const n = candidates.length;
  if (n <= 1) return candidates[0];
  const i = Math.floor(random() * n);
  let j = Math.floor(random() * (n - 1));
  if (j >= i) j++;
  const a = candidates[i];
  const b = candidates[j];
  if (a === undefined || b === undefined) return a ?? b;
  const aRamps = (a.rampUntilMs ?? 0) > nowMs;
  if (aRamps !== (b.rampUntilMs ?? 0) > nowMs)
    return aRamps ? rampingChoice(a, b, nowMs, random) : rampingChoice(b, a, nowMs, random);
  return loadOf(a.load, nowMs) <= loadOf(b.load, nowMs) ? a : b;
}
