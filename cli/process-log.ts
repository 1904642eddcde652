import { createLog, type Log, type LogLevel } from "../core/log.ts";

const LEVELS: readonly string[] = ["trace", "debug", "info", "warn", "error", "silent"];

/** `$MESH_LOG_LEVEL`, where it is a level. */
export function logLevel(env: NodeJS.ProcessEnv): LogLevel | undefined {
  const level = env["MESH_LOG_LEVEL"];
  return level !== undefined && LEVELS.includes(level) ? (level as LogLevel) : undefined;
}

/** The log of a long-running process: JSON lines on standard error. */
export function processLog(name: string, env: NodeJS.ProcessEnv): Log {
  return createLog(name, logLevel(env) ?? "info");
}
