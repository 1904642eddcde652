import { type Clock, sleep } from "../core/clock.ts";
import { MeshError } from "../core/errors.ts";
import { analyse, type DrillReport, type Slo } from "./report.ts";
import { type Sample, Traffic, type TrafficOptions } from "./traffic.ts";

/** A fault that can be put in and undone. */
export interface Fault {
  /** What is lost, for people: "all 2 pods behind shop/web in west". */
  readonly description: string;
  /** Cluster whose answers must be replaced by another's. */
  readonly lost: string;
  /** Puts the fault in; resolves when it is in. */
  inject(): Promise<void>;
  /** Undoes it, where it does not heal by itself. Called exactly once if `inject` was, whatever happens. */
  heal(): Promise<void>;
}

export interface DrillOptions {
  readonly drill: string;
  readonly traffic: TrafficOptions;
  readonly slo: Slo;
  /** Traffic before the fault. */
  readonly warmUpMs: number;
  /** How long the fault lasts before `heal`. */
  readonly holdMs: number;
  /** How long traffic may take to come back after `heal`. */
  readonly returnMs: number;
  readonly say: (text: string) => void;
  readonly clock: Clock;
}

const POLL_MS = 50;
/** Share of the answers of one second that must come from the first cluster again. */
const RETURNED_SHARE = 0.95;

/**
 * Runs a drill: traffic, fault, hold, heal, return. The fault is healed and the traffic stopped whatever happens.
 * @throws MeshError DRILL_FAILED where the drill cannot begin because traffic does not flow as it should; ABORTED
 */
export async function runDrill(fault: Fault, options: DrillOptions, signal: AbortSignal): Promise<DrillReport> {
  const { clock, say } = options;
  const traffic = new Traffic(options.traffic, clock);
  traffic.start();
  let injected = false;
  let faultMs = 0;
  try {
    say(`${options.traffic.perSecond} requests/s to ${options.traffic.url}`);
    await sleep(clock, options.warmUpMs, signal);
    requireHealthy(traffic.samples, fault.lost);
    injected = true;
    faultMs = clock.nowMs();
    await fault.inject();
    say(`fault: ${fault.description}`);
    await sleep(clock, options.holdMs, signal);
  } finally {
    if (injected) await fault.heal();
    if (signal.aborted || !injected) await traffic.stop();
  }
  say("healing; waiting for traffic to return");
  try {
    await returned(traffic.samples, fault.lost, faultMs, options, signal);
  } finally {
    await traffic.stop();
  }
  const { drill, slo } = options;
  const { url, perSecond } = options.traffic;
  return analyse(traffic.samples, { drill, url, perSecond, faultMs, lost: fault.lost, slo });
}

/** Before anything is broken, the traffic must flow and must come from what will be lost. */
function requireHealthy(samples: readonly Sample[], lost: string): void {
  const failed = samples.filter((s) => s.error !== "");
  const [first] = failed;
  if (first !== undefined) {
    throw new MeshError(
      "DRILL_FAILED",
      `Cannot start the drill: ${failed.length} of ${samples.length} requests fail already (${first.error}). Nothing was broken.`,
    );
  }
  const by = new Set(samples.slice(-20).map((s) => s.cluster || "unknown"));
  if (samples.length === 0 || by.size !== 1 || !by.has(lost)) {
    throw new MeshError(
      "DRILL_FAILED",
      `Cannot start the drill: the requests are answered by ${[...by].join(", ") || "nobody"}, not by ${lost}. Nothing was broken.`,
    );
  }
}

async function returned(
  samples: readonly Sample[],
  lost: string,
  faultMs: number,
  options: DrillOptions,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = options;
  const deadlineMs = clock.nowMs() + options.returnMs;
  while (clock.nowMs() < deadlineMs) {
    const sinceMs = clock.nowMs() - 1_000;
    // Answers that were under way at the fault are no return: the traffic must have moved before.
    const movedMs = samples.find((s) => s.endMs > faultMs && s.cluster !== "" && s.cluster !== lost)?.endMs;
    if (movedMs !== undefined && sinceMs > movedMs) {
      const recent = samples.filter((s) => s.endMs >= sinceMs);
      const back = recent.filter((s) => s.cluster === lost && s.error === "").length;
      if (recent.length > 0 && back / recent.length >= RETURNED_SHARE) return;
    }
    await sleep(clock, POLL_MS, signal);
  }
}
