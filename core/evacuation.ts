import { parseDuration } from "./duration.ts";

/** What an Evacuation wants, its defaults filled in. */
export interface EvacuationPlan {
  /** Away from the cluster, or back to it. */
  readonly out: boolean;
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
  readonly overMs: number;
  /** Share that was drained at `sinceMs`, 0 to 1. */
  readonly from: number;
}

const DEFAULT_OVER_MS = 30_000;
/** Told in steps: each is a message to every proxy. */
const STEPS = 20;

/** Reads the spec of an Evacuation that was made at `createdMs`; what means nothing takes its default. */
export function evacuationPlan(
  spec: { readonly evacuate?: boolean; readonly over?: string; readonly since?: string; readonly from?: number },
  createdMs: number,
): EvacuationPlan {
  const since = spec.since === undefined ? Number.NaN : Date.parse(spec.since);
  const from = spec.from ?? 0;
  return {
    out: spec.evacuate ?? true,
    sinceMs: Number.isFinite(since) ? since : createdMs,
    overMs: (spec.over === undefined ? undefined : parseDuration(spec.over)) ?? DEFAULT_OVER_MS,
    from: Number.isFinite(from) ? Math.min(1, Math.max(0, from)) : 0,
  };
}

/** Share of the cluster's traffic that is to go elsewhere at `wallMs`, 0 to 1, in steps of a twentieth. */
export function drainedShare({ out, sinceMs, overMs, from }: EvacuationPlan, wallMs: number): number {
  const passed = overMs <= 0 ? 1 : Math.min(1, Math.max(0, (wallMs - sinceMs) / overMs));
  const share = from + ((out ? 1 : 0) - from) * passed;
  return Math.round(share * STEPS) / STEPS;
}

/** In how many ms `drainedShare` is worth another look; undefined once it has come to its end. */
export function nextStepMs({ sinceMs, overMs }: EvacuationPlan, wallMs: number): number | undefined {
  const leftMs = sinceMs + overMs - wallMs;
  return leftMs <= 0 ? undefined : Math.max(10, Math.min(leftMs, overMs / STEPS));
}
