import { errorText } from "../core/errors.ts";
import { modeOf, type RedisClient, type RedisEndpoint } from "./redis-client.ts";
import type { StoreNode } from "./store.ts";

/** The fields of an INFO reply. */
function infoFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

/** What INFO says of a server. */
function parseNode(address: string, info: string): StoreNode {
  const fields = infoFields(info);
  const number = (name: string) => Number(fields.get(name) ?? 0);
  const offset = number("master_repl_offset");
  const lags: number[] = [];
  for (const [name, value] of fields) {
    const acknowledged = /^slave\d+$/.test(name) ? /\boffset=(\d+)/.exec(value)?.[1] : undefined;
    if (acknowledged !== undefined) lags.push(Math.max(0, offset - Number(acknowledged)));
  }
  return {
    address,
    role: (fields.get("role") ?? "").replace("slave", "replica"),
    version: fields.get("redis_version") ?? "",
    memoryBytes: number("used_memory"),
    maxMemoryBytes: number("maxmemory"),
    lagBytes: Math.max(0, ...lags),
    replicas: number("connected_slaves"),
    problem: "",
  };
}

async function node(address: string, ask: () => Promise<string>): Promise<StoreNode> {
  try {
    return parseNode(address, await ask());
  } catch (error) {
    const unknown = { role: "", version: "", memoryBytes: 0, maxMemoryBytes: 0, lagBytes: 0, replicas: 0 };
    return { address, ...unknown, problem: errorText(error) };
  }
}

/** The servers that `redis` is connected to: the master, or all nodes of a Redis Cluster. */
export async function nodesOf(redis: RedisClient, endpoint: RedisEndpoint): Promise<StoreNode[]> {
  if (redis.nodes !== undefined) {
    const nodes = redis
      .nodes("all")
      .map((each) => node(`${each.options.host}:${each.options.port}`, () => each.info()));
    return (await Promise.all(nodes)).sort((a, b) => a.address.localeCompare(b.address));
  }
  const { host, port, name } = endpoint.server;
  return [await node(modeOf(endpoint) === "sentinel" ? `master ${name}` : `${host}:${port}`, () => redis.info())];
}
