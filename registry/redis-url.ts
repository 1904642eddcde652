import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { errorText, MeshError } from "../core/errors.ts";
import type { RedisEndpoint, RedisMode, RedisNode, ServerOptions } from "./redis-client.ts";

/** How to get into Redis. Secrets come as files or values, never in the URL: that shows in process lists and logs. */
export interface RedisCredentials {
  /** ACL user; Redis's default user without. */
  readonly username?: string;
  readonly password?: string;
  /** Holds the password; a line end after it is ignored. */
  readonly passwordFile?: string;
  /** Of the Sentinels, where they ask for one. */
  readonly sentinelUsername?: string;
  readonly sentinelPasswordFile?: string;
  /** PEM of the roots that Redis's certificate must chain to; the system's without. Only with TLS. */
  readonly caFile?: string;
  /** Client certificate and key, PEM, where Redis asks for one. Only with TLS. */
  readonly certFile?: string;
  readonly keyFile?: string;
  /** For one answer, and for a connection to be made; 2,000 without. */
  readonly timeoutMs?: number;
}

interface RedisUrl {
  readonly mode: RedisMode;
  readonly secure: boolean;
  readonly nodes: readonly RedisNode[];
  readonly master: string;
  readonly db: number;
}

const URL_FORMS =
  '"memory:", "redis://host:port", "redis+sentinel://host:port,host:port/master" or "redis+cluster://host:port,host:port"; "rediss" in place of "redis" for TLS';

const SHAPE = /^(redis|rediss)(?:\+(sentinel|cluster))?:\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/;
const MAX_NODES = 64;

/** @throws MeshError USAGE; its message never repeats what may be a secret */
function registryUsage(text: string): MeshError {
  return new MeshError("USAGE", `Cannot open the registry: ${text}`);
}

function parseNode(text: string, defaultPort: number): RedisNode {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (host === undefined || port < 1 || port > 65_535) {
    throw registryUsage(`a host in the URL is missing or malformed. Give ${URL_FORMS}.`);
  }
  return { host, port };
}

/** @throws MeshError USAGE for what is none of URL_FORMS, and for a user or password in it */
function parseRedisUrl(url: string): RedisUrl {
  const match = SHAPE.exec(url);
  if (match === null) throw registryUsage(`the URL is malformed. Give ${URL_FORMS}.`);
  const [, scheme, kind, authority = "", path = "", query = ""] = match;
  if (authority.includes("@")) {
    throw registryUsage(
      "the URL holds a user or a password, which process lists and logs would show. Give the user as an option, the password in a file.",
    );
  }
  const mode: RedisMode = kind === "sentinel" || kind === "cluster" ? kind : "single";
  const hosts = authority.split(",");
  if (hosts.length > (mode === "single" ? 1 : MAX_NODES)) throw registryUsage("the URL names too many hosts.");
  const nodes = hosts.map((host) => parseNode(host, mode === "sentinel" ? 26_379 : 6_379));
  const dbText = mode === "sentinel" ? (/^(?:db=(\d{1,3}))?$/.exec(query)?.[1] ?? (query === "" ? "0" : "")) : path;
  if (mode !== "sentinel" && query !== "") {
    throw registryUsage("only a database number may follow host and port in the URL. Give the rest as options.");
  }
  if (mode === "sentinel" && !/^[A-Za-z0-9_.-]{1,255}$/.test(path)) {
    throw registryUsage('the URL of Sentinels names no master. Give "redis+sentinel://host:port,host:port/master".');
  }
  if (!/^\d{0,3}$/.test(dbText) || (mode === "sentinel" && dbText === "")) {
    throw registryUsage('only a database number may follow in the URL ("/1", or "?db=1" with Sentinel).');
  }
  if (mode === "cluster" && Number(dbText) !== 0) throw registryUsage("Redis Cluster has no database but 0.");
  const master = mode === "sentinel" ? path : "";
  return { mode, secure: scheme === "rediss", nodes, master, db: Number(dbText) };
}

async function fileText(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw registryUsage(`the ${what} is unreadable (${errorText(error)}). Check the path and its permissions.`);
  }
}

async function secret(path: string, what: string): Promise<string> {
  return (await fileText(path, what)).replace(/\r?\n$/, "");
}

async function tlsOptions(url: RedisUrl, options: RedisCredentials): Promise<NonNullable<ServerOptions["tls"]>> {
  const { caFile, certFile, keyFile } = options;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw registryUsage("a client certificate needs its key and the other way round. Give both files.");
  }
  const host = url.nodes[0]?.host ?? "";
  return {
    minVersion: "TLSv1.2",
    // Of several nodes each is checked by the name it is dialled under.
    ...(url.mode === "single" && isIP(host) === 0 ? { servername: host } : {}),
    ...(caFile === undefined ? {} : { ca: await fileText(caFile, "CA file") }),
    ...(certFile === undefined ? {} : { cert: await fileText(certFile, "certificate file") }),
    ...(keyFile === undefined ? {} : { key: await fileText(keyFile, "key file") }),
  };
}

/** @throws MeshError USAGE for a URL that is malformed or holds a secret, and for files that cannot be read */
export async function redisEndpoint(text: string, options: RedisCredentials): Promise<RedisEndpoint> {
  const url = parseRedisUrl(text);
  const { mode, secure, nodes, master, db } = url;
  if (!secure && (options.caFile ?? options.certFile ?? options.keyFile) !== undefined) {
    throw registryUsage('certificates are given for a plain connection. Use "rediss" in place of "redis".');
  }
  const { username = "", passwordFile, sentinelUsername, sentinelPasswordFile } = options;
  if (mode !== "sentinel" && (sentinelUsername ?? sentinelPasswordFile) !== undefined) {
    throw registryUsage("a user or password for Sentinels is given, but no Sentinel.");
  }
  const password = passwordFile === undefined ? options.password : await secret(passwordFile, "password file");
  if (username !== "" && password === undefined) {
    throw registryUsage("a user is given without a password. Give a password file.");
  }
  const tls = secure ? await tlsOptions(url, options) : undefined;
  const sentinel: ServerOptions =
    mode === "sentinel"
      ? {
          sentinels: nodes.map(({ host, port }) => ({ host, port })),
          name: master,
          ...(tls === undefined ? {} : { sentinelTLS: tls, enableTLSForSentinelMode: true }),
          ...(sentinelUsername === undefined ? {} : { sentinelUsername }),
          ...(sentinelPasswordFile === undefined
            ? {}
            : { sentinelPassword: await secret(sentinelPasswordFile, "password file of the Sentinels") }),
        }
      : {};
  const server: ServerOptions = {
    ...(mode === "single" ? nodes[0] : {}),
    ...(mode === "cluster" ? {} : { db }),
    ...(username === "" ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
    ...sentinel,
  };
  const timeoutMs = options.timeoutMs ?? 2_000;
  return mode === "cluster" ? { server, clusterNodes: nodes, timeoutMs } : { server, timeoutMs };
}
