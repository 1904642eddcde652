import { LABELS, PORTS } from "../../core/defaults.ts";
import type { KubeClient } from "../../kube/client.ts";
import {
  ENDPOINT_SLICES,
  type EndpointSlice,
  type KubeService,
  PODS,
  type Pod,
  SERVICES,
} from "../../kube/resources.ts";
import { NAMESPACE } from "./world.ts";

/** Requests under way at once. */
const CONCURRENCY = 16;
const APP_PORT = 8_080;

export function serviceName(index: number): string {
  return `svc-${String(index).padStart(5, "0")}`;
}

/** Name of the one EndpointSlice of a service. */
export function sliceName(service: string): string {
  return `${service}-pods`;
}

/** The endpoint of a slice that leads to `pod`. */
export function endpointOf(pod: Pod): NonNullable<EndpointSlice["endpoints"]>[number] {
  const { name, uid = "" } = pod.metadata;
  const targetRef = { kind: "Pod", namespace: NAMESPACE, name, uid };
  return { addresses: [pod.status?.podIP ?? "127.0.200.1"], conditions: { ready: true }, targetRef };
}

/** Services to a simulated pod: one that stood behind all of them would be work that no cluster has. */
const SERVICES_PER_POD = 100;

/**
 * Exported Services without selectors, and their slices, from index `from` up to `to`. The first leads to `real`, the others
 * to pods of a node that is not there, which nobody runs.
 */
export async function createServices(kube: KubeClient, real: Pod, from: number, to: number): Promise<void> {
  const pods = new Map<number, Pod>();
  for (let i = Math.floor(from / SERVICES_PER_POD); i * SERVICES_PER_POD < to; i++) pods.set(i, await podOf(kube, i));
  await inParallel(from, to, async (index) => {
    const pod = (index === 0 ? undefined : pods.get(Math.floor(index / SERVICES_PER_POD))) ?? real;
    const name = serviceName(index);
    const service: KubeService = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: NAMESPACE, labels: { [LABELS.exported]: "true" } },
      spec: { ports: [{ name: "http", port: 80, protocol: "TCP", appProtocol: "http" }] },
    };
    const slice: EndpointSlice = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: sliceName(name), namespace: NAMESPACE, labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      ports: [{ name: "http", port: APP_PORT, protocol: "TCP" }],
      endpoints: [endpointOf(pod)],
    };
    await kube.create(SERVICES, service);
    await kube.create(ENDPOINT_SLICES, slice);
  });
}

/** A pod with a sidecar on another node, as far as the API server knows. */
async function podOf(kube: KubeClient, index: number): Promise<Pod> {
  const name = `elsewhere-${index}`;
  const known = await kube.get<Pod>(PODS, name, NAMESPACE);
  if (known !== undefined) return known;
  const annotations = { [LABELS.proxyPort]: String(PORTS.inbound) };
  const created = await kube.create<Pod>(PODS, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: NAMESPACE, annotations },
    spec: {
      nodeName: "elsewhere",
      serviceAccountName: "web",
      containers: [{ name: "web", image: "causeway.dev/sample-web:1" }],
    },
  });
  return { ...created, status: { podIP: `127.0.200.${1 + (index % 250)}` } };
}

async function inParallel(from: number, to: number, run: (index: number) => Promise<void>): Promise<void> {
  let next = from;
  const worker = async () => {
    for (let index = next++; index < to; index = next++) await run(index);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}
