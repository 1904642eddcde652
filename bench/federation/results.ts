import type { FirstSync, Restarts } from "./first-sync.ts";
import type { Change } from "./propagation.ts";
import type { RoleUsage } from "./role-usage.ts";

/** Milliseconds, by nearest rank. */
interface Spread {
  readonly p50: number;
  readonly p99: number;
}

export interface SizeResult {
  readonly services: number;
  readonly propagation?: { readonly changes: number } & Readonly<Record<keyof Change, Spread>>;
  readonly firstSync?: FirstSync;
  readonly restarts?: Restarts;
  readonly usage: readonly RoleUsage[];
}

/** A change of a link's health as so many discovery streams saw it, ms from its write to the last of them. */
export interface HealthResult {
  readonly proxies: number;
  readonly changes: number;
  /** Changes that did not reach every stream before the next one did. */
  readonly missed: number;
  readonly last: Spread;
}

export interface PeersResult {
  readonly peers: number;
  /** From the first peer's dial until every link is agreed on, ms; of those that came in this step. */
  readonly linkedMs: number;
  readonly usage: readonly RoleUsage[];
}

export interface FederationResult {
  readonly sizes: readonly SizeResult[];
  readonly health?: HealthResult;
  readonly peerSteps: readonly PeersResult[];
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number) => Math.round((sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? Number.NaN) * 10) / 10;
  return { p50: at(0.5), p99: at(0.99) };
}

export function propagationOf(changes: readonly Change[]): NonNullable<SizeResult["propagation"]> {
  const of = (stage: keyof Change) => spreadOf(changes.map((change) => change[stage]));
  return {
    changes: changes.length,
    accepted: of("accepted"),
    exported: of("exported"),
    imported: of("imported"),
    used: of("used"),
  };
}

/** What other programs look for, of the largest size. */
export function headline({ sizes, health, peerSteps }: FederationResult): Record<string, number | null> {
  const last = sizes.at(-1);
  const round = (value: number | undefined) => (value === undefined ? null : Math.round(value));
  const roles = (last?.usage ?? []).filter(({ role }) => role !== "API server");
  return {
    services: last?.services ?? null,
    propagationP50Ms: last?.propagation?.used.p50 ?? null,
    propagationP99Ms: last?.propagation?.used.p99 ?? null,
    firstSyncMs: round(last?.firstSync?.activeMs),
    restartMs: round(last?.restarts?.gateway),
    rssMb: roles.length === 0 ? null : Math.max(...roles.map(({ rssMb }) => rssMb)),
    healthP99Ms: health?.last.p99 ?? null,
    steadyCpuPercent: roles.length === 0 ? null : Math.max(...roles.map(({ cpuPercent }) => cpuPercent)),
    peers: peerSteps.at(-1)?.peers ?? null,
  };
}

const row = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
const heading = (cells: readonly string[]) => [row(cells), row(["---", ...cells.slice(1).map(() => "---:")])];

/** In Markdown. */
export function federationTable({ sizes, health, peerSteps }: FederationResult): string {
  const lines: string[] = [];
  const stages = ["accepted", "exported", "imported", "used"] as const;
  if (sizes.some(({ propagation }) => propagation !== undefined)) {
    lines.push(...heading(["services", ...stages.flatMap((s) => [`${s} p50 ms`, "p99"]), "changes"]));
    for (const { services, propagation } of sizes) {
      if (propagation === undefined) continue;
      const figures = stages.flatMap((stage) => [propagation[stage].p50, propagation[stage].p99]);
      lines.push(row([services, ...figures, propagation.changes]));
    }
    lines.push("");
  }
  if (sizes.some(({ firstSync }) => firstSync !== undefined)) {
    lines.push(...heading(["services", "in the registry ms", "link active ms", "mirrored in Kubernetes ms"]));
    for (const { services, firstSync: f } of sizes) {
      if (f !== undefined) lines.push(row([services, f.registryMs, f.activeMs, f.mirroredMs]));
    }
    lines.push("");
  }
  for (const { services, restarts: r } of sizes) {
    if (r === undefined) continue;
    lines.push(...heading(["restart of", "gateway ms", "control ms", "mirror ms", "registry ms"]));
    lines.push(row([`${services} services`, ...[r.gateway, r.control, r.mirror, r.registry].map(Math.round)]), "");
  }
  if (health !== undefined) {
    const { proxies, changes, missed, last } = health;
    const times = `p50 ${last.p50} ms, p99 ${last.p99} ms`;
    lines.push(
      `A link's health at the last of ${proxies} streams: ${times}, ${changes} changes, ${missed} overtaken.`,
      "",
    );
  }
  const usages = [
    ...sizes.map(({ services, usage }) => ({ name: `${services} services`, usage })),
    ...peerSteps.map(({ peers, usage }) => ({ name: `${peers} peers`, usage })),
  ];
  if (usages.length > 0) {
    lines.push(...heading(["", "cluster", "role", "RSS MB", "most MB", "CPU %"]));
    for (const { name, usage } of usages)
      for (const u of usage) lines.push(row([name, u.cluster, u.role, u.rssMb, u.peakRssMb, u.cpuPercent]));
  }
  return `${lines.join("\n").trimEnd()}\n`;
}
