import type { Sample } from "../../drills/traffic.ts";

/** One repetition of a case. */
export interface Repetition {
  /** From the fault to the answer that shows that it was noticed; null where nothing has to be, or was. */
  readonly detectionMs: number | null;
  readonly failedGets: number;
  readonly failedPosts: number;
  /** Of GETs that were due from the fault to its end. */
  readonly p99DuringMs: number;
  /** Of GETs that were due before the fault. */
  readonly p99BeforeMs: number;
  /** Why requests failed, one for each. */
  readonly failures: readonly string[];
}

export interface CaseResult {
  readonly name: string;
  readonly detectionP50Ms: number | null;
  readonly detectionP99Ms: number | null;
  /** In all repetitions together. */
  readonly failedGets: number;
  readonly failedPosts: number;
  /** The median of the repetitions. */
  readonly p99DuringMs: number;
  readonly p99BeforeMs: number;
  readonly repetitions: number;
  /** The commonest reasons, with their numbers. */
  readonly failures: readonly string[];
  /** Each repetition, so that more can be added to them. */
  readonly all: readonly Repetition[];
}

/**
 * What was saved before with what was measured now, in the order of `names`: a case that is measured again replaces its
 * older figures, or with `more` its repetitions are added to them. Cases that are no more are left out.
 */
export function mergeCases(
  saved: readonly CaseResult[],
  measured: readonly CaseResult[],
  names: readonly string[],
  more: boolean,
): CaseResult[] {
  const of = (cases: readonly CaseResult[], name: string) => cases.find((one) => one.name === name);
  return names.flatMap((name) => {
    const before = of(saved, name);
    const now = of(measured, name);
    if (before === undefined || now === undefined) return before ?? now ?? [];
    return more ? summarise(name, [...before.all, ...now.all]) : now;
  });
}

export interface Window {
  readonly faultMs: number;
  readonly endMs: number;
  /** See FailoverCase. */
  readonly detectedBy: "another" | "next" | undefined;
  /** Cluster that answers before the fault. */
  readonly lost: string;
}

export function analyseRepetition(gets: readonly Sample[], posts: readonly Sample[], window: Window): Repetition {
  const { faultMs, endMs, detectedBy, lost } = window;
  const failed = [...gets, ...posts].filter(({ error }) => error !== "");
  const shows = (sample: Sample) =>
    detectedBy === "next" ? sample.dueMs >= faultMs : sample.cluster !== "" && sample.cluster !== lost;
  const noticedMs =
    detectedBy === undefined
      ? Number.POSITIVE_INFINITY
      : gets
          .filter((sample) => sample.error === "" && sample.endMs >= faultMs && shows(sample))
          .reduce((first, { endMs: ended }) => Math.min(first, ended), Number.POSITIVE_INFINITY);
  const latencies = (from: number, to: number) =>
    gets.filter(({ dueMs }) => dueMs >= from && dueMs < to).map((s) => s.endMs - s.dueMs);
  return {
    detectionMs: Number.isFinite(noticedMs) ? tenth(noticedMs - faultMs) : null,
    failedGets: gets.filter(({ error }) => error !== "").length,
    failedPosts: posts.filter(({ error }) => error !== "").length,
    p99DuringMs: quantile(latencies(faultMs, endMs), 0.99),
    p99BeforeMs: quantile(latencies(Number.NEGATIVE_INFINITY, faultMs), 0.99),
    failures: failed.map(({ error }) => error),
  };
}

export function summarise(name: string, repetitions: readonly Repetition[]): CaseResult {
  const detections = repetitions.flatMap(({ detectionMs }) => detectionMs ?? []);
  const of = (figure: (repetition: Repetition) => number) => repetitions.map(figure);
  const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
  const counts = new Map<string, number>();
  for (const text of repetitions.flatMap(({ failures }) => failures)) counts.set(text, (counts.get(text) ?? 0) + 1);
  return {
    name,
    detectionP50Ms: detections.length === 0 ? null : quantile(detections, 0.5),
    detectionP99Ms: detections.length === 0 ? null : quantile(detections, 0.99),
    failedGets: sum(of(({ failedGets }) => failedGets)),
    failedPosts: sum(of(({ failedPosts }) => failedPosts)),
    p99DuringMs: quantile(
      of(({ p99DuringMs }) => p99DuringMs),
      0.5,
    ),
    p99BeforeMs: quantile(
      of(({ p99BeforeMs }) => p99BeforeMs),
      0.5,
    ),
    repetitions: repetitions.length,
    failures: [...counts]
      .sort((a, b) => b[1] - a[1])
      .slice(0, 3)
      .map(([text, count]) => `${count} × ${text}`),
    all: repetitions,
  };
}

/** By nearest rank, to a tenth; 0 of nothing. */
function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return tenth(sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? 0);
}

function tenth(value: number): number {
  return Math.round(value * 10) / 10;
}

/** In Markdown. */
export function failoverTable(cases: readonly CaseResult[]): string {
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const ms = (value: number | null) => (value === null ? "–" : String(value));
  const heads = [
    "detection p50 ms",
    "p99 ms",
    "failed GETs",
    "failed POSTs",
    "p99 before ms",
    "p99 during ms",
    "repetitions",
  ];
  return [
    row(["", ...heads]),
    row(["---", ...heads.map(() => "---:")]),
    ...cases.map((c) =>
      row([
        c.name,
        ms(c.detectionP50Ms),
        ms(c.detectionP99Ms),
        ...[c.failedGets, c.failedPosts, c.p99BeforeMs, c.p99DuringMs, c.repetitions].map(String),
      ]),
    ),
    ...cases
      .filter(({ failures }) => failures.length > 0)
      .map(({ name, failures }) => `\n${name}: ${failures.join("; ")}.`),
  ]
    .join("\n")
    .concat("\n");
}
