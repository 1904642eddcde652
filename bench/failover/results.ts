import type { Sample } from "../../drills/traffic.ts";

/** One repetition of a case. */
export interface Repetition {
  /** From the fault to the first answer of another cluster; null where none has to, or did. */
  readonly detectionMs: number | null;
  readonly failedGets: number;
  readonly failedPosts: number;
  /** GETs that were due from the fault to its end. */
  readonly p99DuringMs: number;
  /** GETs that were due before the fault. */
  readonly p99BeforeMs: number;
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
}

export interface Window {
  readonly faultMs: number;
  readonly endMs: number;
  /** Cluster whose answers must be replaced by another's; undefined where nothing has to move. */
  readonly lost: string | undefined;
}

export function analyseRepetition(gets: readonly Sample[], posts: readonly Sample[], window: Window): Repetition {
  const { faultMs, endMs, lost } = window;
  const failed = [...gets, ...posts].filter(({ error }) => error !== "");
  const elsewhere =
    lost === undefined
      ? undefined
      : gets
          .filter((s) => s.error === "" && s.cluster !== "" && s.cluster !== lost && s.endMs >= faultMs)
          .reduce((first, s) => Math.min(first, s.endMs), Number.POSITIVE_INFINITY);
  const latencies = (from: number, to: number) =>
    gets.filter(({ dueMs }) => dueMs >= from && dueMs < to).map((s) => s.endMs - s.dueMs);
  return {
    detectionMs: elsewhere === undefined || !Number.isFinite(elsewhere) ? null : elsewhere - faultMs,
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
  };
}

/** By nearest rank, to a tenth; 0 of nothing. */
function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? 0;
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
