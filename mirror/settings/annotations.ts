import { SETTINGS } from "../../core/defaults.ts";
import { parseDuration } from "../../core/duration.ts";
import { MAX_RETRIES, type RetrySettings, type TimeoutSettings } from "../../core/route.ts";

type Annotations = Readonly<Record<string, string>> | undefined;

/** What an annotation's value says; throws SettingProblem for what it cannot mean. */
export type Parse<T> = (text: string) => T;

/** What was wanted of an annotation, for people. */
class SettingProblem extends Error {}

/** Reads annotations one by one; what is invalid counts as not there and is remembered. */
export class AnnotationReader {
  /** One sentence each. */
  readonly problems: string[] = [];
  readonly #annotations: Annotations;

  constructor(annotations: Annotations) {
    this.#annotations = annotations;
  }

  read<T>(name: string, parse: Parse<T>): T | undefined {
    const text = this.#annotations?.[name];
    if (text === undefined) return undefined;
    try {
      return parse(text.trim());
    } catch (error) {
      if (!(error instanceof SettingProblem)) throw error;
      this.problems.push(`${name} is ${JSON.stringify(text.slice(0, 80))}, want ${error.message}.`);
      return undefined;
    }
  }

  timeouts(): TimeoutSettings {
    return defined({
      requestMs: this.read(SETTINGS.timeoutRequest, duration),
      tryMs: this.read(SETTINGS.timeoutTry, duration),
      idleMs: this.read(SETTINGS.timeoutIdle, duration),
    });
  }

  retry(): RetrySettings {
    return defined({
      limit: this.read(SETTINGS.retryLimit, integer(0, MAX_RETRIES)),
      httpStatuses: this.read(SETTINGS.retryHttp, httpStatuses),
      grpcStatuses: this.read(SETTINGS.retryGrpc, grpcStatuses),
      backoffMs: this.read(SETTINGS.retryBackoff, duration),
      anyMethod: this.read(SETTINGS.retryAnyMethod, truth) === true ? true : undefined,
    });
  }
}

/** `fields` without those that are undefined. */
export function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

/** `value`, or undefined where it has no field. */
export function unlessEmpty<T extends object>(value: T): T | undefined {
  return Object.keys(value).length === 0 ? undefined : value;
}

function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new SettingProblem(`a duration such as "250ms" or "1m30s"`);
  return ms;
}

/** A duration of at least a second. */
export function longDuration(text: string): number {
  const ms = duration(text);
  if (ms < 1_000) throw new SettingProblem(`a duration of at least "1s"`);
  return ms;
}

export function integer(min: number, max: number): Parse<number> {
  return (text) => {
    const value = Number(text);
    if (!/^[0-9]{1,9}$/.test(text) || value < min || value > max)
      throw new SettingProblem(`a whole number from ${min} to ${max}`);
    return value;
  };
}

function truth(text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw new SettingProblem(`"true" or "false"`);
}

export function preferred(text: string): true {
  if (text === "prefer") return true;
  throw new SettingProblem(`"prefer"`);
}

const STATUS_WORDS: Readonly<Record<string, readonly [number, number]>> = {
  "5xx": [500, 599],
  "gateway-error": [502, 504],
};

/** "5xx", "gateway-error", numbers and ranges from 400 to 599, separated by commas. */
function httpStatuses(text: string): number[] {
  const wanted = `"5xx", "gateway-error", or statuses and ranges from 400 to 599, separated by commas`;
  return numbers(text, wanted, (part) => STATUS_WORDS[part] ?? range(part, 400, 599));
}

/** In the order of their numbers, from 1. */
const GRPC_STATUSES = [
  "cancelled",
  "unknown",
  "invalid-argument",
  "deadline-exceeded",
  "not-found",
  "already-exists",
  "permission-denied",
  "resource-exhausted",
  "failed-precondition",
  "aborted",
  "out-of-range",
  "unimplemented",
  "internal",
  "unavailable",
  "data-loss",
  "unauthenticated",
];

/** Names or numbers of gRPC statuses, separated by commas. */
function grpcStatuses(text: string): number[] {
  return numbers(text, `gRPC statuses such as "unavailable", or numbers from 1 to 16, separated by commas`, (part) => {
    const at = GRPC_STATUSES.indexOf(part.toLowerCase().replaceAll("_", "-"));
    return at >= 0 ? [at + 1, at + 1] : range(part, 1, GRPC_STATUSES.length);
  });
}

/** Ports and ranges of ports, separated by commas. */
export function ports(text: string): ReadonlySet<number> {
  return new Set(numbers(text, `ports and ranges such as "3306,8000-8010"`, (part) => range(part, 1, 65_535)));
}

function range(text: string, min: number, max: number): readonly [number, number] | undefined {
  const [matched, low = "", high] = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(text) ?? [];
  const first = Number(low);
  const last = high === undefined ? first : Number(high);
  return matched === undefined || first < min || last > max || first > last ? undefined : [first, last];
}

function numbers(
  text: string,
  wanted: string,
  read: (part: string) => readonly [number, number] | undefined,
): number[] {
  const found = new Set<number>();
  for (const part of text.split(",")) {
    const between = read(part.trim());
    if (between === undefined) throw new SettingProblem(wanted);
    for (let value = between[0]; value <= between[1]; value++) found.add(value);
  }
  return [...found].sort((a, b) => a - b);
}

/** Longest path that a unix socket's address holds. */
const MAX_SOCKET_PATH = 107;

/** `<port>=<absolute path>`, separated by commas. */
export function sockets(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const part of text.split(",")) {
    const [matched, port = "", path = ""] = /^([0-9]{1,5})=(\/[^\0,]+)$/.exec(part.trim()) ?? [];
    const fits = matched !== undefined && range(port, 1, 65_535) !== undefined;
    if (!fits || Buffer.byteLength(path) > MAX_SOCKET_PATH)
      throw new SettingProblem(`"<port>=<absolute path of at most ${MAX_SOCKET_PATH} bytes>", separated by commas`);
    found[port] = path;
  }
  return found;
}
