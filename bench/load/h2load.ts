import { readFile, rm } from "node:fs/promises";
import { Histogram } from "../measure/histogram.ts";
import { runProgram } from "../measure/programs.ts";
import { AUTHORITY } from "../subjects/subject.ts";
import type { Throughput } from "./wrk.ts";

/** What `h2load` prints. Requests that were refused or redirected count as errors. @throws Error where it is something else */
export function parseH2load(text: string): Throughput {
  const seconds = /^finished in ([\d.]+)(us|ms|s|m)?,/m.exec(text);
  const counts =
    /^requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/m.exec(
      text,
    );
  const redirected = /^status codes: \d+ 2xx, (\d+) 3xx/m.exec(text);
  if (seconds === null || counts === null || redirected === null)
    throw new Error(`h2load said: ${text.trim().slice(-500)}`);
  const unit = { us: 1e-6, ms: 1e-3, s: 1, m: 60 }[seconds[2] ?? "s"] ?? 1;
  // Of a request that is cut off at the end the status may count already: only whole ones count here.
  const [, , succeeded, failed, , timedOut] = counts.map(Number) as [number, number, number, number, number, number];
  const elsewhere = Number(redirected[1]);
  return { requests: succeeded - elsewhere, seconds: Number(seconds[1]) * unit, errors: failed + timedOut + elsewhere };
}

/** Latencies in microseconds. */
interface Latency {
  readonly errors: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
}

/** Of the planned requests at least so many have to be sent, or it is not the rate that it should have been. */
const LEAST_SENT = 0.95;

/**
 * What `h2load --log-file` has written of `rate` requests a second for `seconds`, those of the first `warmUpSeconds`
 * left out. Requests that were not sent, beyond the slack of the load's timer, count as errors.
 * @throws Error where there are none
 */
export function parseH2loadLog(text: string, rate: number, seconds: number, warmUpSeconds: number): Latency {
  const rows = text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t").map(Number) as [startUs: number, status: number, tookUs: number]);
  const fromUs = rows.reduce((first, [startUs]) => Math.min(first, startUs), Number.POSITIVE_INFINITY);
  const counted = rows.filter(([startUs]) => startUs >= fromUs + warmUpSeconds * 1e6);
  if (counted.length === 0) throw new Error(`h2load logged no request after ${warmUpSeconds} s`);
  const histogram = new Histogram();
  for (const [, , tookUs] of counted) histogram.record(tookUs);
  const refused = counted.filter(([, status]) => status < 200 || status > 299).length;
  const unsent = Math.max(0, Math.floor(rate * (seconds - warmUpSeconds) * LEAST_SENT) - counted.length);
  const [p50Us, p99Us, p999Us] = [0.5, 0.99, 0.999].map((q) => histogram.quantile(q)) as [number, number, number];
  return { errors: refused + unsent, p50Us, p99Us, p999Us };
}

/**
 * HTTP/2 POSTs of `bodyFile` at `rate` a second over all connections. h2load sends what is due every 10 ms, in bursts,
 * and counts each request from when it was sent.
 */
export async function runPacedH2load(
  core: string | undefined,
  program: string,
  load: {
    readonly port: number;
    readonly connections: number;
    readonly seconds: number;
    readonly warmUpSeconds: number;
    readonly rate: number;
    readonly bodyFile: string;
    readonly logFile: string;
  },
): Promise<Latency> {
  const { port, connections, warmUpSeconds, rate, bodyFile, logFile } = load;
  const seconds = load.seconds + warmUpSeconds;
  // It adds to a file that is there.
  await rm(logFile, { force: true });
  await runProgram(core, [
    program,
    // As many at once that none waits for another: what waits here would not be seen.
    ...["-t1", `-c${connections}`, "-m100", "-D", String(seconds), "--rps", String(rate / connections)],
    ...["-d", bodyFile, "--log-file", logFile],
    ...["-H", `:authority: ${AUTHORITY}`, `http://127.0.0.1:${port}/`],
  ]);
  return parseH2loadLog(await readFile(logFile, "utf8"), rate, seconds, warmUpSeconds);
}

/** HTTP/2 with prior knowledge: POSTs of `bodyFile` as fast as they go. */
export async function runH2load(
  core: string | undefined,
  program: string,
  load: {
    readonly port: number;
    readonly connections: number;
    readonly streams: number;
    readonly seconds: number;
    readonly bodyFile: string;
  },
): Promise<Throughput> {
  const { port, connections, streams, seconds, bodyFile } = load;
  return parseH2load(
    await runProgram(core, [
      program,
      ...["-t1", `-c${connections}`, `-m${streams}`, "-D", String(seconds), "-d", bodyFile],
      ...["-H", `:authority: ${AUTHORITY}`, `http://127.0.0.1:${port}/`],
    ]),
  );
}
