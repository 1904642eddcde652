import type { Sample } from "./traffic.ts";

/** What a drill found. Times in ms; null where it did not happen. */
export interface DrillReport {
  readonly drill: string;
  readonly url: string;
  readonly perSecond: number;
  readonly requests: number;
  /** Requests without a response below 500, over the whole drill. */
  readonly failures: number;
  /** The commonest reasons, with how often. */
  readonly failureReasons: readonly string[];
  /** From the fault to the first response by another cluster. */
  readonly detectionMs: number | null;
  /** From the fault until the lost cluster or endpoints answered no more: all traffic has moved. */
  readonly shiftMs: number | null;
  /** From the fault until the traffic was back where it was. */
  readonly returnMs: number | null;
  readonly p99BeforeMs: number;
  /** Of the requests due from the fault until the shift was complete, and a second beyond. */
  readonly p99DuringMs: number;
  readonly maxMs: number;
  /** Responses by cluster from the fault on. */
  readonly answeredBy: Readonly<Record<string, number>>;
  readonly slo: Slo;
  readonly misses: readonly string[];
  readonly passed: boolean;
}

/** What a drill must keep. Times in ms. */
export interface Slo {
  readonly failures: number;
  readonly p99Ms: number;
  readonly shiftMs: number;
}

export interface DrillFacts {
  readonly drill: string;
  readonly url: string;
  readonly perSecond: number;
  /** When the fault was injected. */
  readonly faultMs: number;
  /** Cluster that answered before and is lost, or whose endpoints are. */
  readonly lost: string;
  readonly slo: Slo;
}

/** Longest pause of the lost cluster that still counts as not yet shifted. */
const SHIFTED_GAP_MS = 500;

/** The q-quantile of `values` (nearest rank), 0 for none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
}

/** Pure: what the samples of a drill mean, judged against its SLO. */
export function analyse(samples: readonly Sample[], facts: DrillFacts): DrillReport {
  const { faultMs, lost, slo } = facts;
  const latency = (s: Sample) => s.endMs - s.dueMs;
  const ok = samples.filter((s) => s.error === "");
  const failed = samples.filter((s) => s.error !== "");
  const after = ok.filter((s) => s.endMs >= faultMs).sort((a, b) => a.endMs - b.endMs);
  const elsewhere = after.find((s) => s.cluster !== "" && s.cluster !== lost);
  const shiftAtMs = elsewhere === undefined ? undefined : shiftedAt(after, lost, faultMs);
  const returned = shiftAtMs === undefined ? undefined : returnedAt(after, lost, shiftAtMs);
  const duringEndMs = (shiftAtMs ?? faultMs) + 1_000;
  const during = samples
    .filter((s) => s.dueMs >= faultMs - 1_000 / facts.perSecond && s.dueMs <= duringEndMs)
    .map(latency);
  const p99DuringMs = quantile(during, 0.99);
  const shiftMs = shiftAtMs === undefined ? null : shiftAtMs - faultMs;
  const misses = [
    ...(failed.length > slo.failures ? [`${failed.length} requests failed, ${slo.failures} allowed`] : []),
    ...(p99DuringMs > slo.p99Ms ? [`p99 ${p99DuringMs.toFixed(0)} ms, ${slo.p99Ms} ms allowed`] : []),
    ...(shiftMs === null ? ["traffic never moved to another cluster"] : []),
    ...(shiftMs !== null && shiftMs > slo.shiftMs
      ? [`shift took ${shiftMs.toFixed(0)} ms, ${slo.shiftMs} ms allowed`]
      : []),
  ];
  const answeredBy: Record<string, number> = {};
  for (const s of after) answeredBy[s.cluster || "unknown"] = (answeredBy[s.cluster || "unknown"] ?? 0) + 1;
  return {
    drill: facts.drill,
    url: facts.url,
    perSecond: facts.perSecond,
    requests: samples.length,
    failures: failed.length,
    failureReasons: commonest(failed.map((s) => s.error)),
    detectionMs: elsewhere === undefined ? null : elsewhere.endMs - faultMs,
    shiftMs,
    returnMs: returned === undefined ? null : returned - faultMs,
    p99BeforeMs: quantile(ok.filter((s) => s.endMs < faultMs).map(latency), 0.99),
    p99DuringMs,
    maxMs: Math.max(0, ...samples.map(latency)),
    answeredBy,
    slo,
    misses,
    passed: misses.length === 0,
  };
}

/** When the lost one answered last before it paused for good, or at least for SHIFTED_GAP_MS. */
function shiftedAt(after: readonly Sample[], lost: string, faultMs: number): number {
  let lastMs = faultMs;
  for (const sample of after) {
    if (sample.cluster !== lost) continue;
    if (sample.endMs - lastMs > SHIFTED_GAP_MS) break;
    lastMs = sample.endMs;
  }
  return lastMs;
}

/** The first answer of the lost one after the shift that stands for its return. */
function returnedAt(after: readonly Sample[], lost: string, shiftAtMs: number): number | undefined {
  return after.find((s) => s.cluster === lost && s.endMs > shiftAtMs + SHIFTED_GAP_MS / 2)?.endMs;
}

function commonest(reasons: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .slice(0, 5)
    .map(([reason, count]) => `${count} × ${reason}`);
}
