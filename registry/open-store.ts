import type { Clock } from "../core/clock.ts";
import { parseClusterName } from "../core/mirror-name.ts";
import type { Random } from "../core/random.ts";
import { MemoryStore } from "./memory-store.ts";
import { RedisStore } from "./redis-store.ts";
import { type RedisCredentials, redisEndpoint } from "./redis-url.ts";
import type { AdministeredStore } from "./store.ts";

/** How to open a registry. */
export interface StoreOptions extends RedisCredentials {
  /** The cluster whose state the store holds. */
  readonly cluster: string;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * The store that `url` names: `memory:` (this process only) or a Redis: `redis://host:port[/db]`,
 * `redis+sentinel://host:port,…/master[?db=n]`, `redis+cluster://host:port,…`; with `rediss` over TLS. Does not wait for
 * a connection. Files with credentials are read again every few seconds, and when Redis refuses what they said.
 * @throws MeshError USAGE for another URL, a user or password in it, or an unreadable file; NAME_INVALID
 */
export async function openStore(url: string, options: StoreOptions): Promise<AdministeredStore> {
  const cluster = parseClusterName(options.cluster);
  if (url === "memory:") return new MemoryStore({ clock: options.clock });
  const { random, clock } = options;
  const reread = () => redisEndpoint(url, options);
  return new RedisStore({ cluster, endpoint: await reread(), reread, random, clock });
}
