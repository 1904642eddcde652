import { LineWriter } from "./line-writer.ts";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "silent";
type Fields = Readonly<Record<string, unknown>>;

/** Structured log: an event name, then fields from the vocabulary (`link`, `cluster`, `identity`). Never key material. */
export interface Log {
  debug(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
  child(fields: Fields): Log;
}

/** As pino numbers them. */
const SEVERITY: Readonly<Record<LogLevel, number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  silent: Number.POSITIVE_INFINITY,
};
/** Never said, however deep they are. */
const SECRET = new Set(["token", "secret", "key", "password", "authorization"]);

function plain(name: string, value: unknown): unknown {
  if (SECRET.has(name)) return "[redacted]";
  return typeof value === "bigint" ? String(value) : value;
}

/** `,"a":1` of each field. */
function membersOf(fields: Fields): string {
  let text: string;
  try {
    text = JSON.stringify(fields, plain);
  } catch {
    // Whatever cannot be written must not take down who logs it.
    text = '{"fields":"[unreadable]"}';
  }
  return text === "{}" ? "" : `,${text.slice(1, -1)}`;
}

function logger(writer: LineWriter, least: number, base: string): Log {
  const at = (level: LogLevel) => {
    const severity = SEVERITY[level];
    if (severity < least) return () => {};
    return (event: string, fields: Fields = {}) =>
      writer.write(
        `{"level":${severity},"time":${Date.now()}${base}${membersOf(fields)},"msg":${JSON.stringify(event)}}\n`,
      );
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => logger(writer, least, base + membersOf(fields)),
  };
}

/**
 * JSON lines to `fd` (2 by default, so that stdout stays for results), the same that pino writes; pino itself would
 * cost every sidecar 5 MB.
 */
export function createLog(name: string, level: LogLevel, fd = 2): Log {
  return logger(new LineWriter(fd), SEVERITY[level], membersOf({ name, pid: process.pid }));
}

export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};
