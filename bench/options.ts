import { parseArgs } from "node:util";

export interface BenchOptions {
  readonly suite: string;
  /** One object on standard output instead of a table. */
  readonly json: boolean;
  /** Of each measurement. */
  readonly seconds: number;
  readonly rounds: number;
  /** Keep the results in bench/results/. */
  readonly save: boolean;
  /** Folder for CPU profiles of our processes; they cost some of the speed. */
  readonly profile?: string;
  /** Failover, with `save`: adds to the repetitions that were saved today in place of replacing them. */
  readonly more: boolean;
  /** Only phases whose title has this in it; of failover, cases whose name has; of federation these parts, with commas. */
  readonly only?: string;
  /** Federation: how many mirrored services, ascending. */
  readonly services: readonly number[];
  /** Federation: how many simulated peers, ascending. */
  readonly peers: readonly number[];
}

const SECONDS = 4;
const ROUNDS = 5;
/** Of each case of failover, and changes of an endpoint: what is rare shows only in so many. */
const DEFAULT_ROUNDS: Readonly<Record<string, number>> = { failover: 20, federation: 100 };
const SERVICES = "10,1000,10000";
const PEERS = "2,16,64,256";

/** @throws Error that says how it is called */
export function parseOptions(argv: readonly string[], suites: readonly string[]): BenchOptions {
  const usage = (what: string) =>
    new Error(
      `${what}. npm run bench -- <${suites.join("|")}> [--json] [--seconds N] [--rounds N] [--save] [--profile folder] [--only <part of a phase or case>] [--more] [--services N,N] [--peers N,N]`,
    );
  const parsed = (() => {
    try {
      const options = {
        json: { type: "boolean", default: false },
        seconds: { type: "string", default: String(SECONDS) },
        rounds: { type: "string" },
        only: { type: "string" },
        services: { type: "string", default: SERVICES },
        peers: { type: "string", default: PEERS },
        save: { type: "boolean", default: false },
        more: { type: "boolean", default: false },
        profile: { type: "string" },
      } as const;
      return parseArgs({ args: [...argv], allowPositionals: true, options });
    } catch (error) {
      throw usage(error instanceof Error ? error.message : "The options are not understood");
    }
  })();
  const [suite, ...others] = parsed.positionals;
  if (suite === undefined || others.length > 0 || !suites.includes(suite)) throw usage("Name one suite");
  const number = (name: "seconds" | "rounds", most: number) => {
    const value = Number(parsed.values[name] ?? DEFAULT_ROUNDS[suite] ?? ROUNDS);
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw usage(`--${name} wants a whole number from 1 to ${most}`);
    }
    return value;
  };
  const list = (name: "services" | "peers", most: number) => {
    const values = parsed.values[name].split(",").map(Number);
    if (values.some((n, i) => !Number.isInteger(n) || n < 1 || n > most || n <= (values[i - 1] ?? 0))) {
      throw usage(`--${name} wants rising whole numbers from 1 to ${most}, with commas`);
    }
    return values;
  };
  const { json, save, more, profile, only } = parsed.values;
  return {
    suite,
    json,
    save,
    more,
    seconds: number("seconds", 600),
    rounds: number("rounds", 1_000),
    services: list("services", 10_000),
    peers: list("peers", 256),
    ...(profile === undefined ? {} : { profile }),
    ...(only === undefined ? {} : { only }),
  };
}
