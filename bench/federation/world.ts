import { systemClock } from "../../core/clock.ts";
import { PORTS } from "../../core/defaults.ts";
import type { KubeClient } from "../../kube/client.ts";
import { connectKube } from "../../kube/client-node-adapter.ts";
import { PODS, type Pod } from "../../kube/resources.ts";
import { openStore } from "../../registry/open-store.ts";
import type { AdministeredStore } from "../../registry/store.ts";
import { LocalMesh } from "../../test/support/local-mesh.ts";

/** The cluster whose services are exported, and the one that mirrors them and has the client. */
export const EXPORTER = "east";
export const IMPORTER = "west";
export const NAMESPACE = "shop";

export type Side = typeof EXPORTER | typeof IMPORTER;

/** Two local clusters of the product's own processes, not linked yet, and ways to act on them and to look at them. */
export interface FederationWorld {
  readonly mesh: LocalMesh;
  readonly kube: Readonly<Record<Side, KubeClient>>;
  readonly store: Readonly<Record<Side, AdministeredStore>>;
  /** The exporter's two pods behind every service. */
  readonly pods: readonly [Pod, Pod];
  /** Outbound port of the client's sidecar. */
  readonly proxy: { readonly host: string; readonly port: number };
  close(): Promise<void>;
}

export async function startWorld(env: NodeJS.ProcessEnv): Promise<FederationWorld> {
  const mesh = await LocalMesh.start({ env });
  const stores: AdministeredStore[] = [];
  const close = async () => {
    await Promise.all(stores.map((store) => store.close()));
    await mesh.stop();
  };
  try {
    const kubeOf = (context: string) => connectKube({ kubeconfigPath: mesh.kubeconfig, context });
    const storeOf = async (cluster: string) => {
      const { redis, redisDirectory } = mesh.layout(cluster);
      const credentials = { passwordFile: `${redisDirectory}/password` };
      const url = `redis://${redis.host}:${redis.port}`;
      const store = await openStore(url, { cluster, clock: systemClock, random: Math.random, ...credentials });
      stores.push(store);
      return store;
    };
    const kube = { [EXPORTER]: await kubeOf(EXPORTER), [IMPORTER]: await kubeOf(IMPORTER) } as const;
    const store = { [EXPORTER]: await storeOf(EXPORTER), [IMPORTER]: await storeOf(IMPORTER) } as const;
    const [first, second] = await kube[EXPORTER].list<Pod>(PODS, { namespace: NAMESPACE, labelSelector: "app=web" });
    if (first === undefined || second === undefined) throw new Error("The sample app has fewer than two pods.");
    const proxy = { host: await mesh.podAddress(IMPORTER, "client"), port: PORTS.outbound };
    return { mesh, kube, store, pods: [first, second], proxy, close };
  } catch (error) {
    await close();
    throw error;
  }
}
