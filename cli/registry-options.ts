import { resolve } from "node:path";
import type { Command } from "commander";
import type { RedisCredentials } from "../registry/redis-url.ts";

/** Flags by which a verb gets into a Redis; the URL itself is each verb's own. */
export interface RegistryFlags {
  readonly registryUser?: string;
  readonly registryPasswordFile?: string;
  readonly registrySentinelUser?: string;
  readonly registrySentinelPasswordFile?: string;
  readonly registryCa?: string;
  readonly registryCert?: string;
  readonly registryKey?: string;
}

/** What `--registry` takes, for its help. */
export const REDIS_URLS =
  "redis://host:port, redis+sentinel://host:port,…/master or redis+cluster://host:port,…; rediss… for TLS";

const PASSWORD_VARIABLE = "MESH_REGISTRY_PASSWORD";

export function withRegistryFlags(command: Command): Command {
  return command
    .option("--registry-user <name>", "ACL user of Redis")
    .option("--registry-password-file <file>", `password of Redis (default: $${PASSWORD_VARIABLE})`)
    .option("--registry-sentinel-user <name>", "ACL user of the Sentinels, where they ask for one")
    .option("--registry-sentinel-password-file <file>", "password of the Sentinels, where they ask for one")
    .option("--registry-ca <file>", "roots for Redis over TLS")
    .option("--registry-cert <file>", "client certificate for Redis, PEM")
    .option("--registry-key <file>", "key of the client certificate, PEM");
}

/** The credentials that flags and environment name. */
export function registryCredentials(flags: RegistryFlags, env: NodeJS.ProcessEnv): RedisCredentials {
  const named = {
    username: flags.registryUser,
    passwordFile: flags.registryPasswordFile,
    sentinelUsername: flags.registrySentinelUser,
    sentinelPasswordFile: flags.registrySentinelPasswordFile,
    caFile: flags.registryCa,
    certFile: flags.registryCert,
    keyFile: flags.registryKey,
    password: env[PASSWORD_VARIABLE] || undefined,
  };
  return Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
}

/** The flags by which a process of its own reaches `url`; those of Sentinels only where there are any. */
export function registryArguments(url: string, flags: RegistryFlags): string[] {
  const sentinel = /^rediss?\+sentinel:/.test(url);
  const file = (path: string | undefined) => (path === undefined ? undefined : resolve(path));
  const named = {
    "--registry": url,
    "--registry-user": flags.registryUser,
    "--registry-password-file": file(flags.registryPasswordFile),
    "--registry-sentinel-user": sentinel ? flags.registrySentinelUser : undefined,
    "--registry-sentinel-password-file": sentinel ? file(flags.registrySentinelPasswordFile) : undefined,
    "--registry-ca": file(flags.registryCa),
    "--registry-cert": file(flags.registryCert),
    "--registry-key": file(flags.registryKey),
  };
  return Object.entries(named).flatMap(([flag, value]) => (value === undefined ? [] : [flag, value]));
}

/** The kind of a registry without its hosts, for /config: "memory", "redis", "rediss+sentinel", … */
export function registryKind(url: string): string {
  return /^[a-z+]+/.exec(url)?.[0] ?? "";
}
