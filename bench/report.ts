import type { Figure, SubjectResult } from "./suites/measured.ts";
import type { SuiteResult } from "./suites/run-suite.ts";

export const OURS = "causeway";
const DIRECT = "direct";

type Better = "more" | "less";

/** Ratios of the report: name, what of a subject, and which peer is the best. */
const RATIOS: readonly (readonly [string, Figure | "rssMb" | "privateMb", Better])[] = [
  ["rps", "rps", "more"],
  ["cpu", "cpuPer100k", "less"],
  ["p99", "p99Us", "less"],
  ["rss", "rssMb", "less"],
  ["handshakes", "handshakesPerSecond", "more"],
  ["handshakeCpu", "cpuPer100kHandshakes", "less"],
  ["connections", "connectionsPerSecond", "more"],
  ["connectionCpu", "cpuPer100kConnections", "less"],
  ["bulk", "bulkMbPerSecond", "more"],
  ["bulkCpu", "cpuPerGb", "less"],
];

export interface Host {
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly node: string;
  /** Of the whole machine, when the run began: above 0.5 figures mean little. */
  readonly load: number;
}

export interface Report extends SuiteResult {
  readonly suite: string;
  readonly date: string;
  readonly host: Host;
  readonly seconds: number;
  readonly rounds: number;
  /** Ours to the best peer, of each figure; null where there is none to compare with. */
  readonly ratios: Readonly<Record<string, number | null>>;
}

/** Ours divided by the best peer's, for every figure that ours has. */
export function ratiosOf(subjects: readonly SubjectResult[]): Record<string, number | null> {
  const ours = subjects.find(({ name }) => name === OURS);
  const peers = subjects.filter(({ name }) => name !== OURS && name !== DIRECT);
  const ratios: Record<string, number | null> = {};
  for (const [name, figure, better] of RATIOS) {
    const own = ours?.[figure];
    const others = peers.flatMap((peer) => peer[figure] ?? []);
    const core = ["rps", "cpu", "p99", "rss"].includes(name);
    if (typeof own !== "number" || others.length === 0) {
      if (core) ratios[name] = null;
      continue;
    }
    ratios[name] = rounded(own / (better === "more" ? Math.max(...others) : Math.min(...others)));
  }
  return ratios;
}

/** Three significant digits. */
function rounded(value: number): number {
  return Number(value.toPrecision(3));
}

const COLUMNS: readonly (readonly [string, Figure | "rssMb" | "privateMb"])[] = [
  ["requests/s", "rps"],
  ["CPU s/100k", "cpuPer100k"],
  ["of it kernel", "systemPer100k"],
  ["p50 µs", "p50Us"],
  ["p99 µs", "p99Us"],
  ["p99.9 µs", "p999Us"],
  ["RSS MB", "rssMb"],
  ["private MB", "privateMb"],
  ["handshakes/s", "handshakesPerSecond"],
  ["CPU s/100k handshakes", "cpuPer100kHandshakes"],
  ["connections/s", "connectionsPerSecond"],
  ["CPU s/100k connections", "cpuPer100kConnections"],
  ["MB/s", "bulkMbPerSecond"],
  ["CPU s/GB", "cpuPerGb"],
  ["errors", "errors"],
];

/** A table in Markdown: a row per subject, a column per figure that any of them has. */
export function tableOf({ subjects, ratios, missing }: Pick<Report, "subjects" | "ratios" | "missing">): string {
  const columns = COLUMNS.filter(([, figure]) => subjects.some((subject) => typeof subject[figure] === "number"));
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const lines = [
    row(["", ...columns.map(([title]) => title)]),
    row(["---", ...columns.map(() => "---:")]),
    ...subjects.map((subject) => row([subject.name, ...columns.map(([, figure]) => cell(subject[figure]))])),
    "",
    `Ours to the best peer: ${Object.entries(ratios)
      .map(([name, value]) => `${name} ${value ?? "–"}`)
      .join(", ")}.`,
  ];
  for (const { name, reason } of missing) lines.push(`Missing: ${name} (${reason}).`);
  return `${lines.join("\n")}\n`;
}

function cell(value: number | null | undefined): string {
  if (typeof value !== "number") return "";
  return value >= 1_000 ? Math.round(value).toLocaleString("en") : String(rounded(value));
}
