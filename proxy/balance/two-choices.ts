import type { Random } from "../../core/random.ts";
import { type Load, loadOf } from "./peak-ewma.ts";

/**
 * The less loaded of two candidates drawn at random; undefined where there is none. Better than the least loaded of
 * all: many clients with the same stale view do not herd (Mitzenmacher, "The power of two choices").
 */
export function twoChoices<T extends { readonly load: Load }>(
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
  return loadOf(a.load, nowMs) <= loadOf(b.load, nowMs) ? a : b;
}
