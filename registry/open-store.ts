import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import type { Clock } from "../core/clock.ts";
import { errorText, MeshError } from "../core/errors.ts";
import { parseClusterName } from "../core/mirror-name.ts";
import type { Random } from "../core/random.ts";
import { MemoryStore } from "./memory-store.ts";
import type { ServerOptions } from "./redis-connection.ts";
import { RedisStore } from "./redis-store.ts";
import type { RegistryStore } from "./store.ts";

/** How to open a registry. Secrets come as files or values, never in the URL: that shows in process lists and logs. */
export interface StoreOptions {
  /** The cluster whose state the store holds. */
  readonly cluster: string;
  readonly clock: Clock;
  readonly random: Random;
  /** ACL user; Redis's default user without. */
  readonly username?: string;
  readonly password?: string;
  /** Holds the password; a line end after it is ignored. */
  readonly passwordFile?: string;
  /** PEM of the roots that Redis's certificate must chain to; the system's without. Only with `rediss:`. */
  readonly caFile?: string;
  /** Client certificate and key, PEM, where Redis asks for one. Only with `rediss:`. */
  readonly certFile?: string;
  readonly keyFile?: string;
  /** For one answer, and for a connection to be made; 2,000 without. */
  readonly timeoutMs?: number;
}

function usage(text: string): MeshError {
  return new MeshError("USAGE", `Cannot open the registry: ${text}`);
}

async function fileText(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw usage(`the ${what} is unreadable (${errorText(error)}). Check the path and its permissions.`);
  }
}

function parse(url: string): URL {
  try {
    return new URL(url);
  } catch {
    throw usage('the URL is malformed. Give "memory:", "redis://host:port" or "rediss://host:port".');
  }
}

async function tlsOptions(host: string, options: StoreOptions): Promise<NonNullable<ServerOptions["tls"]>> {
  const { caFile, certFile, keyFile } = options;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw usage("a client certificate needs its key and the other way round. Give both files.");
  }
  return {
    minVersion: "TLSv1.2",
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(caFile === undefined ? {} : { ca: await fileText(caFile, "CA file") }),
    ...(certFile === undefined ? {} : { cert: await fileText(certFile, "certificate file") }),
    ...(keyFile === undefined ? {} : { key: await fileText(keyFile, "key file") }),
  };
}

async function redisOptions(url: URL, options: StoreOptions): Promise<ServerOptions> {
  if (url.password !== "") {
    throw usage("the URL holds a password, which process lists and logs would show. Put it into a file.");
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  if (host === "") throw usage('the URL has no host. Give "redis://host:port".');
  const db = /^\/?(\d{0,3})$/.exec(url.pathname)?.[1];
  if (db === undefined || url.search !== "" || url.hash !== "") {
    throw usage("only a database number may follow host and port in the URL. Give the rest as options.");
  }
  const secure = url.protocol === "rediss:";
  if (!secure && (options.caFile ?? options.certFile ?? options.keyFile) !== undefined) {
    throw usage("certificates are given for a plain connection. Use rediss://.");
  }
  if (url.username !== "") throw usage("the URL holds a user. Give it as an option, with a password file.");
  const username = options.username ?? "";
  const password =
    options.passwordFile === undefined
      ? options.password
      : (await fileText(options.passwordFile, "password file")).replace(/\r?\n$/, "");
  if (username !== "" && password === undefined)
    throw usage("a user is given without a password. Give a password file.");
  return {
    host,
    port: url.port === "" ? 6379 : Number(url.port),
    db: Number(db),
    ...(username === "" ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(secure ? { tls: await tlsOptions(host, options) } : {}),
  };
}

/**
 * The store that `url` names: `memory:` (this process only), `redis://host:port[/db]` or `rediss://…` (TLS). Does not
 * wait for a connection.
 * @throws MeshError USAGE for another URL, a user or password in it, or an unreadable file; NAME_INVALID
 */
export async function openStore(url: string, options: StoreOptions): Promise<RegistryStore> {
  const parsed = parse(url);
  const cluster = parseClusterName(options.cluster);
  switch (parsed.protocol) {
    case "memory:":
      return new MemoryStore({ clock: options.clock });
    case "redis:":
    case "rediss:": {
      const server = await redisOptions(parsed, options);
      const endpoint = { server, timeoutMs: options.timeoutMs ?? 2_000 };
      return new RedisStore({ cluster, endpoint, random: options.random });
    }
    default:
      throw usage(`"${parsed.protocol.slice(0, 40)}" is unknown. Give "memory:", "redis://…" or "rediss://…".`);
  }
}
