import { type Clock, every } from "../core/clock.ts";
import { LEASE_TTL_MS, SYSTEM_NAMESPACE } from "../core/defaults.ts";
import { errorText, hasCode } from "../core/errors.ts";
import type { GatewayAddress } from "../core/link.ts";
import type { Log } from "../core/log.ts";
import type { KubeClient } from "../kube/client.ts";
import { CONFIG_MAPS, type ConfigMap } from "../kube/resources.ts";

/** Public, like causeway-trust: where the cluster's gateways are, for whoever makes a join token. */
const NAME = "causeway-gateways";

/** Says in the cluster where the gateway of `replica`, as it is named in the registry, is reached. */
export async function advertiseGateway(kube: KubeClient, replica: string, address: GatewayAddress): Promise<void> {
  const data = { [replica]: JSON.stringify(address) };
  try {
    await kube.mergePatch(CONFIG_MAPS, NAME, SYSTEM_NAMESPACE, { data });
  } catch (error) {
    if (!hasCode(error, "KUBE_NOT_FOUND")) throw error;
    const metadata = { name: NAME, namespace: SYSTEM_NAMESPACE };
    await kube.create<ConfigMap>(CONFIG_MAPS, { apiVersion: "v1", kind: "ConfigMap", metadata, data });
  }
}

/** The advertised gateways; none where no gateway has started yet. */
export async function advertisedGateways(kube: KubeClient): Promise<GatewayAddress[]> {
  const map = await kube.get<ConfigMap>(CONFIG_MAPS, NAME, SYSTEM_NAMESPACE);
  return Object.values(map?.data ?? {}).map((text) => JSON.parse(text) as GatewayAddress);
}

/**
 * Takes replicas away that the registry has not known at two looks in a row, a lease apart; returns what ends that. A
 * registry that knows nobody says nothing.
 */
export function tidyAdvertised(deps: {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  /** Replicas that live. */
  readonly known: () => ReadonlySet<string>;
}): () => void {
  const { kube, clock, log, known } = deps;
  let missing = new Set<string>();
  let looking = false;
  const look = async () => {
    const map = await kube.get<ConfigMap>(CONFIG_MAPS, NAME, SYSTEM_NAMESPACE);
    const alive = known();
    const absent = alive.size === 0 ? [] : Object.keys(map?.data ?? {}).filter((replica) => !alive.has(replica));
    const gone = absent.filter((replica) => missing.has(replica));
    missing = new Set(absent);
    if (gone.length === 0) return;
    const data = Object.fromEntries(gone.map((replica) => [replica, null]));
    await kube.mergePatch(CONFIG_MAPS, NAME, SYSTEM_NAMESPACE, { data });
    log.info("gateways no longer advertised", { replicas: gone });
  };
  return every(clock, LEASE_TTL_MS, () => {
    if (looking) return;
    looking = true;
    look()
      .catch((error: unknown) => log.debug("advertised gateways not looked at", { reason: errorText(error) }))
      .finally(() => {
        looking = false;
      });
  });
}
