import { asMeshError, errorText } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Listener } from "../transport/transport.ts";

/** Where nftables' redirect sends what leaves a process of this machine. */
export const LOOPBACK: readonly string[] = ["127.0.0.1", "::1"];
/** Every address, of IPv4 too; without IPv6 only those. */
export const ANY: readonly string[] = ["::", "0.0.0.0"];

type Listen = (host: string, port: number) => Promise<Listener>;

/**
 * Listens on the same port of all `hosts`, as one. The first must be had; others are left out where they are not of
 * this machine. @throws MeshError PORT_IN_USE
 */
export async function listenEach(hosts: readonly string[], port: number, log: Log, listen: Listen): Promise<Listener> {
  const [head, ...others] = hosts;
  const first = await listen(head ?? "127.0.0.1", port);
  if (others.length === 0) return first;
  const all = [first];
  for (const host of others) {
    try {
      all.push(await listen(host, first.port));
    } catch (error) {
      const { code } = asMeshError(error, "USAGE", "listen");
      if (code !== "USAGE") {
        await Promise.all(all.map((listener) => listener.close()));
        throw error;
      }
      log.info("listen.skipped", { host, port: first.port, reason: errorText(error) });
    }
  }
  return {
    port: first.port,
    get connections() {
      return all.reduce((sum, { connections }) => sum + connections, 0);
    },
    close: async () => {
      await Promise.all(all.map((listener) => listener.close()));
    },
  };
}

/** Listens on the first of `hosts` that this machine has. @throws MeshError PORT_IN_USE, USAGE */
export async function listenFirst<L extends Listener>(
  hosts: readonly string[],
  listen: (host: string) => Promise<L>,
): Promise<L> {
  const [host = "0.0.0.0", ...others] = hosts;
  try {
    return await listen(host);
  } catch (error) {
    if (others.length === 0 || asMeshError(error, "USAGE", "listen").code !== "USAGE") throw error;
    return await listenFirst(others, listen);
  }
}
