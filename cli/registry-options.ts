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

/** The kind of a registry without its hosts, for /config: "memory", "redis", "rediss+sentinel", … */
export function registryKind(url: string): string {
  return /^[a-z+]+/.exec(url)?.[0] ?? "";
}
