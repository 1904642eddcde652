import { pino } from "pino";

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

const REDACTED = ["token", "secret", "key", "password", "authorization", "*.token", "*.secret", "*.key", "*.password"];

function wrap(logger: pino.Logger): Log {
  return {
    debug: (event, fields = {}) => logger.debug(fields, event),
    info: (event, fields = {}) => logger.info(fields, event),
    warn: (event, fields = {}) => logger.warn(fields, event),
    error: (event, fields = {}) => logger.error(fields, event),
    child: (fields) => wrap(logger.child(fields)),
  };
}

/** JSON lines to `fd` (2 by default, so that stdout stays for results). */
export function createLog(name: string, level: LogLevel, fd = 2): Log {
  const options = { name, level, redact: { paths: REDACTED, censor: "[redacted]" }, base: { name, pid: process.pid } };
  return wrap(pino(options, pino.destination({ fd, sync: false, minLength: 0 })));
}

export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};
