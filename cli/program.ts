import { type Command, InvalidArgumentError, Option } from "commander";
import { MeshError } from "../core/errors.ts";
import { isSocketPath } from "../proxy/inbound/app-addresses.ts";
import type { Console, OutputFormat } from "./failure.ts";

/** What every verb gets. */
export interface VerbContext extends Console {
  readonly env: NodeJS.ProcessEnv;
  /** Aborts on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** Sets the process's exit status without an error, as `exec` does. */
  exit(code: number): void;
}

export interface CommonOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly output: OutputFormat;
}

/** Adds `--context`, `--kubeconfig` and `-o`. */
export function withCommonOptions(command: Command, contextMeans = "kubeconfig context of the cluster"): Command {
  return command
    .option("--context <name>", contextMeans)
    .option(
      "--kubeconfig <file>",
      "kubeconfig to use (default: $KUBECONFIG, then the local clusters' own, then ~/.kube/config)",
    )
    .addOption(new Option("-o, --output <format>", "how to print").choices(["table", "json", "yaml"]).default("table"));
}

/** A whole number within bounds, for commander. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max)
      throw new InvalidArgumentError(`want a whole number from ${min} to ${max}.`);
    return value;
  };
}

/** "15m", "90s", "500ms", "1h" in ms, for commander. */
export function durationMs(text: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text);
  if (match === null) throw new InvalidArgumentError('want a duration such as "500ms", "30s", "15m" or "1h".');
  const unit = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[match[2] as "ms" | "s" | "m" | "h"];
  return Number(match[1]) * unit;
}

/** "host:port,host:port" for commander, as `host:port` each, IPv6 in brackets. */
export function hostPorts(text: string): [string, ...string[]] {
  const [first = "", ...others] = text.split(",").map((part) => {
    const { host, port } = hostPort(part.trim());
    return `${host.includes(":") ? `[${host}]` : host}:${port}`;
  });
  return [first, ...others];
}

/** "host:port" for commander. */
export function hostPort(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw new InvalidArgumentError("want host:port.");
  return { host: match[1] ?? match[2] ?? "", port };
}

/** "<port>=<absolute path>", given once or more often, for commander. */
export function appSocket(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const [, port = "", path = ""] = /^([1-9][0-9]{0,4})=(\/.+)$/.exec(text) ?? [];
  if (port === "" || Number(port) > 65_535 || !isSocketPath(path)) {
    throw new InvalidArgumentError("want <port>=<path>: a port of the app and an absolute path of at most 107 bytes.");
  }
  if (before[port] !== undefined) throw new InvalidArgumentError(`port ${port} has a socket already.`);
  return { ...before, [port]: path };
}

/** What of several may be given. @throws MeshError USAGE */
export function requireOption<T>(value: T | undefined, flag: string, why: string): T {
  if (value !== undefined) return value;
  throw new MeshError("USAGE", `Cannot go on without ${flag}: ${why}.`);
}
