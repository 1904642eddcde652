import { runProgram } from "../measure/programs.ts";
import { AUTHORITY } from "../subjects/subject.ts";
import type { Throughput } from "./wrk.ts";

/** What `h2load` prints. Requests that were refused count as errors. @throws Error where it is something else */
export function parseH2load(text: string): Throughput {
  const seconds = /^finished in ([\d.]+)(us|ms|s|m)?,/m.exec(text);
  const counts =
    /^requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/m.exec(
      text,
    );
  const ok = /^status codes: (\d+) 2xx/m.exec(text);
  if (seconds === null || counts === null || ok === null) throw new Error(`h2load said: ${text.trim().slice(-500)}`);
  const unit = { us: 1e-6, ms: 1e-3, s: 1, m: 60 }[seconds[2] ?? "s"] ?? 1;
  return {
    requests: Number(ok[1]),
    seconds: Number(seconds[1]) * unit,
    errors: Number(counts[1]) - Number(ok[1]) + Number(counts[5]),
  };
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
