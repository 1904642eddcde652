import { SYSTEM_NAMESPACE } from "../core/defaults.ts";
import { hasCode } from "../core/errors.ts";
import type { GatewayAddress } from "../core/link.ts";
import type { KubeClient } from "../kube/client.ts";
import { CONFIG_MAPS, type ConfigMap } from "../kube/resources.ts";

/** Public, like causeway-trust: where the cluster's gateways are, for whoever makes a join token. */
const NAME = "causeway-gateways";

/** Says in the cluster where this replica's gateway is reached. */
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
