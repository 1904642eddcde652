/** npm run bench: side-by-side measurements of our data plane and others'. docs/performance.md says how to read them. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { errorText } from "../core/errors.ts";
import { failoverCases } from "./failover/cases.ts";
import { canDropPackets } from "./failover/packet-drop.ts";
import { type CaseResult, failoverTable, mergeCases, summarise } from "./failover/results.ts";
import { measureFailover } from "./failover/run.ts";
import { federationTable, headline } from "./federation/results.ts";
import { federationParts, measureFederation } from "./federation/run.ts";
import { type BenchOptions, parseOptions } from "./options.ts";
import { type Host, OURS, type Report, ratiosOf, tableOf } from "./report.ts";
import { HTTP1, HTTP1_MTLS } from "./suites/http1.ts";
import { HTTP2 } from "./suites/http2.ts";
import { RELAY } from "./suites/relay.ts";
import { runSuite, type Suite } from "./suites/run-suite.ts";

const SUITES: readonly Suite[] = [HTTP1, HTTP1_MTLS, HTTP2, RELAY];
const FAILOVER = "failover";
const FEDERATION = "federation";
const RESULTS = new URL("results/", import.meta.url);
const BUSY = 0.5;

function describeHost(): Host {
  const [first, ...others] = cpus();
  return {
    cpu: first?.model ?? "unknown",
    cores: others.length + 1,
    kernel: release(),
    node: process.version,
    load: loadavg()[0] ?? 0,
  };
}

interface Kept {
  readonly suite: string;
  readonly date: string;
  readonly host: Host;
}

function resultName({ suite, date }: Pick<Kept, "suite" | "date">): string {
  return `${suite}-${date.slice(0, 10)}.json`;
}

/** The report as a file, and its table on top of results/README.md. */
function save(report: Kept, how: string, table: string): string {
  mkdirSync(RESULTS, { recursive: true });
  const name = resultName(report);
  writeFileSync(new URL(name, RESULTS), `${JSON.stringify(report, undefined, 2)}\n`);
  const readme = new URL("README.md", RESULTS);
  const { cpu, cores, kernel, node } = report.host;
  const title = `## ${report.suite}, ${report.date.slice(0, 10)}`;
  const section = `${title}\n${cpu}, ${cores} cores, Linux ${kernel}, Node ${node}; ${how}. [${name}](${name})\n\n${table}`;
  const sections = readOr(readme)
    .split(/^(?=## )/m)
    .filter((part) => part.startsWith("## ") && !part.startsWith(`${title}\n`));
  writeFileSync(
    readme,
    ["# Results\n", section, ...sections]
      .map((part) => part.trimEnd())
      .join("\n\n")
      .concat("\n"),
  );
  return fileURLToPath(new URL(name, RESULTS));
}

function readOr(file: URL): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

async function run(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv, [...SUITES.map(({ name }) => name), FAILOVER, FEDERATION]);
  if (options.suite === FAILOVER) return await runFailover(options);
  if (options.suite === FEDERATION) return await runFederation(options);
  const suite = SUITES.find(({ name }) => name === options.suite);
  if (suite === undefined) return 2;
  const host = describeHost();
  const say = (line: string) => console.error(line);
  if (host.load > BUSY * host.cores)
    say(`The machine is busy (load ${host.load.toFixed(1)}): trust ratios, not figures.`);
  const date = new Date().toISOString();
  const { seconds, rounds, profile, only } = options;
  const folder = profile === undefined ? {} : { profile: resolve(profile) };
  const result = await runSuite(suite, { seconds, rounds, say, ...folder, ...(only === undefined ? {} : { only }) });
  const ratios = ratiosOf(result.subjects);
  const report: Report = { suite: suite.name, date, host, seconds, rounds, ...result, ratios };
  if (options.save) say(`saved: ${save(report, `medians of ${rounds} rounds of ${seconds} s`, tableOf(report))}`);
  console.log(options.json ? JSON.stringify(report) : tableOf(report));
  return result.subjects.some(({ name }) => name === OURS) ? 0 : 1;
}

async function runFailover({ only = "", rounds, save: saves, more, json }: BenchOptions): Promise<number> {
  const host = describeHost();
  const date = new Date().toISOString();
  const say = (line: string) => console.error(line);
  const all = failoverCases(canDropPackets());
  const wanted = all.filter(({ name }) => name.includes(only));
  const measured = (await measureFailover(wanted, rounds, say))
    .filter(({ repetitions }) => repetitions.length > 0)
    .map(({ name, repetitions }) => summarise(name, repetitions));
  if (saves && measured.length > 0) {
    // Case by case, as time allows: the day's file keeps those that were not measured just now.
    const names = all.map(({ name }) => name);
    const cases = mergeCases(savedCases(FAILOVER, date), measured, names, more);
    const report = { suite: FAILOVER, date, host, cases };
    say(`saved: ${save(report, "500 GETs and 50 POSTs a second", failoverTable(cases))}`);
  }
  console.log(json ? JSON.stringify({ suite: FAILOVER, date, host, cases: measured }) : failoverTable(measured));
  return wanted.length > 0 && measured.length === wanted.length ? 0 : 1;
}

/** What the day's file has of a suite. */
function savedCases(suite: string, date: string): readonly CaseResult[] {
  const text = readOr(new URL(resultName({ suite, date }), RESULTS));
  return text === "" ? [] : (JSON.parse(text) as { cases: readonly CaseResult[] }).cases;
}

async function runFederation(options: BenchOptions): Promise<number> {
  const host = describeHost();
  const date = new Date().toISOString();
  const { services, peers, rounds, profile } = options;
  const folder = profile === undefined ? {} : { profile: resolve(profile) };
  const wanted = { parts: federationParts(options.only), services, peers, changes: rounds, ...folder };
  const result = await measureFederation(wanted, (line) => console.error(line));
  const table = federationTable(result);
  const report = { suite: FEDERATION, date, host, ...headline(result), ...result };
  if (options.save) console.error(`saved: ${save(report, `${rounds} changes of an endpoint`, table)}`);
  console.log(options.json ? JSON.stringify(report) : table);
  return 0;
}

process.setMaxListeners(0);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  console.error(errorText(error));
  process.exitCode = 2;
}
