import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errorText } from "../../core/errors.ts";
import { LoadProcess } from "../load/load-process.ts";
import { type Cores, chooseCores } from "../measure/cores.ts";
import { cpuSeconds, memoryMib } from "../measure/process-cost.ts";
import { Missing } from "../measure/programs.ts";
import { PeerCertificates } from "../subjects/peer-certificates.ts";
import type { Setting, StartSubject, Subject } from "../subjects/subject.ts";
import { type Figure, type Sample, type SubjectResult, summarise } from "./measured.ts";

export interface Bench {
  readonly cores: Cores;
  readonly load: LoadProcess;
  readonly seconds: number;
  /** For files of the load. */
  readonly folder: string;
  /** Medians of what the phases before measured. */
  readonly soFar: ReadonlyMap<string, Partial<Record<Figure, number>>>;
}

const MOST_PER_SECOND = 5_000;
/** Of latency: 2,500 requests, so that 25 are beyond the p99. */
export const LATENCY_SLICE_SECONDS = 0.5;
/** Of the round that is not counted: our code is compiled by then. */
const WARM_UP_SECONDS = 1;

/** One kind of load. All its rounds over all subjects are run before the next phase begins. */
export interface Phase {
  readonly title: string;
  /**
   * A round is so many seconds at a time, subject by subject, each a sample of its own: where one stall of the machine
   * decides the figure, it spoils a sample, not the round.
   */
  readonly sliceSeconds?: number;
  /** Undefined where it does not apply to the subject. */
  measure(subject: Subject, bench: Bench): Promise<Sample | undefined>;
}

export interface Suite {
  readonly name: string;
  readonly subjects: readonly { readonly name: string; readonly start: StartSubject }[];
  /** Of the answers of the app. */
  readonly bodyBytes: number;
  /** In place of the app of the load process: one that speaks another protocol. */
  readonly startApp?: (setting: Omit<Setting, "appPort">) => Promise<{ readonly port: number; stop(): Promise<void> }>;
  /** One request as the load makes it; what it throws disqualifies the subject. */
  probe(subject: Subject, bench: Pick<Bench, "load">): Promise<void>;
  readonly phases: readonly Phase[];
}

export interface SuiteOptions {
  /** Of each measurement. */
  readonly seconds: number;
  readonly rounds: number;
  /** Folder for CPU profiles of our processes. */
  readonly profile?: string;
  /** Only phases whose title has this in it. */
  readonly only?: string;
  /** Told what is going on. */
  readonly say: (line: string) => void;
}

export interface SuiteResult {
  readonly subjects: readonly SubjectResult[];
  readonly missing: readonly { readonly name: string; readonly reason: string }[];
}

/**
 * Starts all subjects and measures them in turns, A B A B, after a round that is not counted. What cannot be
 * started is missing, with its reason.
 */
export async function runSuite(suite: Suite, options: SuiteOptions): Promise<SuiteResult> {
  const { say } = options;
  const undo: (() => unknown)[] = [];
  try {
    const folder = await mkdtemp(join(tmpdir(), "causeway-bench-"));
    undo.push(() => rm(folder, { recursive: true, force: true }));
    process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
    const cores = chooseCores();
    const load = new LoadProcess(cores.load);
    undo.push(() => load.stop());
    const certificates = new PeerCertificates();
    undo.push(() => certificates.remove());
    const base = { folder, cores, certificates: () => certificates.get(), profile: options.profile };
    const app = await (suite.startApp?.(base) ?? load.ask({ kind: "app", bodyBytes: suite.bodyBytes }));
    if ("stop" in app) undo.push(() => app.stop());
    const setting: Setting = { ...base, appPort: app.port };
    const subjects: Subject[] = [];
    const missing: { name: string; reason: string }[] = [];
    for (const { name, start } of suite.subjects) {
      try {
        const subject = await start(setting);
        undo.push(() => subject.stop());
        await suite.probe(subject, { load });
        subjects.push(subject);
      } catch (error) {
        missing.push({ name, reason: errorText(error) });
        say(`missing: ${name}: ${errorText(error)}`);
        if (!(error instanceof Missing) && name === "direct") throw error;
      }
    }
    const results = await measureAll(suite, subjects, options, { cores, load, folder });
    return { subjects: results, missing };
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

async function measureAll(
  suite: Suite,
  subjects: readonly Subject[],
  { seconds, rounds, say, only = "" }: SuiteOptions,
  shared: Pick<Bench, "cores" | "load" | "folder">,
): Promise<SubjectResult[]> {
  const samples = new Map<string, Sample[]>(subjects.map(({ name }) => [name, []]));
  const soFar = new Map<string, Partial<Record<Figure, number>>>();
  for (const phase of suite.phases) {
    if (!phase.title.includes(only)) continue;
    const slice = Math.min(seconds, phase.sliceSeconds ?? seconds);
    const turns = rounds * Math.max(1, Math.round(seconds / slice));
    for (let turn = 0; turn <= turns; turn++) {
      for (const subject of subjects) {
        const warmUp = turn === 0;
        const sample = await phase.measure(subject, { ...shared, soFar, seconds: warmUp ? WARM_UP_SECONDS : slice });
        if (sample === undefined || warmUp) continue;
        samples.get(subject.name)?.push(sample);
        say(`${phase.title} ${turn}/${turns} ${subject.name}: ${describe(sample)}`);
      }
    }
    for (const [name, taken] of samples) soFar.set(name, summarise(taken));
  }
  return subjects.map(({ name, pids }) => {
    const memory = memoryMib(pids);
    const has = pids.length > 0;
    return {
      name,
      ...soFar.get(name),
      rssMb: has ? memory.peakRss : null,
      privateMb: has ? memory.private : null,
    };
  });
}

function describe(sample: Sample): string {
  return Object.entries(sample)
    .map(([figure, value]) => `${figure} ${Number(value.toPrecision(4))}`)
    .join(", ");
}

/** Latency is looked at below saturation, at the same rate for all: requests per second. */
export function pacedRate(soFar: Bench["soFar"]): number {
  const slowest = Math.min(...[...soFar.values()].map(({ rps }) => rps ?? Number.POSITIVE_INFINITY));
  return Math.max(1, Math.min(MOST_PER_SECOND, Math.floor(slowest / 3)));
}

/** The CPU time of a subject while `work` runs, per 100,000 of what it counts. */
export async function costOf(
  subject: Subject,
  work: () => Promise<number>,
): Promise<{ readonly cpu: number; readonly system: number } | undefined> {
  const before = cpuSeconds(subject.pids);
  const count = await work();
  if (subject.pids.length === 0 || count === 0) return undefined;
  const after = cpuSeconds(subject.pids);
  const system = after.system - before.system;
  const scale = 100_000 / count;
  return { cpu: (after.user - before.user + system) * scale, system: system * scale };
}
