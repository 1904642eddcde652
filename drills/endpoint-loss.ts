import { MeshError } from "../core/errors.ts";
import type { KubeClient } from "../kube/client.ts";
import { ENDPOINT_SLICES, type EndpointSlice, PODS } from "../kube/resources.ts";
import type { Fault } from "./drill.ts";

/**
 * All pods behind a service die at once and without grace (their processes get SIGKILL); whatever manages them
 * brings new ones.
 */
export function endpointLoss(kube: KubeClient, cluster: string, namespace: string, service: string): Fault {
  return {
    description: `every pod behind ${namespace}/${service} in ${cluster} killed`,
    lost: cluster,
    async inject() {
      const pods = await podsBehind(kube, namespace, service);
      if (pods.length === 0)
        throw new MeshError(
          "DRILL_FAILED",
          `Cannot kill pods behind ${namespace}/${service} in ${cluster}: there are none.`,
        );
      await Promise.all(
        pods.map(({ name, uid }) => kube.delete(PODS, name, namespace, { uid, gracePeriodSeconds: 0 })),
      );
    },
    async heal() {},
  };
}

async function podsBehind(
  kube: KubeClient,
  namespace: string,
  service: string,
): Promise<{ name: string; uid: string }[]> {
  const slices = await kube.list<EndpointSlice>(ENDPOINT_SLICES, {
    namespace,
    labelSelector: `kubernetes.io/service-name=${service}`,
  });
  const pods = new Map<string, { name: string; uid: string }>();
  for (const { targetRef } of slices.flatMap((slice) => slice.endpoints ?? [])) {
    const { kind, name, uid } = targetRef ?? {};
    if (kind === "Pod" && name !== undefined && uid !== undefined) pods.set(uid, { name, uid });
  }
  return [...pods.values()];
}
