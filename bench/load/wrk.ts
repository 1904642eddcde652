import { runProgram } from "../measure/programs.ts";
import { AUTHORITY } from "../subjects/subject.ts";

export interface Throughput {
  readonly requests: number;
  readonly seconds: number;
  readonly errors: number;
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { us: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3_600 };

/** What `wrk` prints. @throws Error where it is something else */
export function parseWrk(text: string): Throughput {
  const total = /^\s*(\d+) requests in ([\d.]+)(us|ms|s|m|h),/m.exec(text);
  if (total === null) throw new Error(`wrk said: ${text.trim().slice(-500)}`);
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1) ?? [];
  const answers = /Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? "0";
  return {
    requests: Number(total[1]),
    seconds: Number(total[2]) * (UNIT_SECONDS[total[3] ?? ""] ?? Number.NaN),
    errors: [...sockets, answers].reduce((sum, count) => sum + Number(count), 0),
  };
}

/** Requests over `connections` kept connections, as many as go. */
export async function runWrk(
  core: string | undefined,
  program: string,
  load: { readonly port: number; readonly connections: number; readonly seconds: number },
): Promise<Throughput> {
  const { port, connections, seconds } = load;
  const url = `http://127.0.0.1:${port}/`;
  return parseWrk(
    await runProgram(core, [program, "-t1", `-c${connections}`, `-d${seconds}s`, "-H", `Host: ${AUTHORITY}`, url]),
  );
}
