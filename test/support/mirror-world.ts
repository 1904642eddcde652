import { MIRROR_FINALIZER } from "../../core/defaults.ts";
import type { LinkState } from "../../core/link.ts";
import type { RemoteService } from "../../core/service.ts";
import type { EndpointSlice, KubeService, Link, Pod, ServiceExportObject } from "../../kube/resources.ts";

/** Kubernetes objects and registry values as tests of the mirror want them; `over` replaces what matters. */
export function kubeService(namespace: string, name: string, over: Partial<KubeService> = {}): KubeService {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace, creationTimestamp: "2026-01-01T00:00:00Z", ...over.metadata },
    spec: {
      type: "ClusterIP",
      clusterIP: "10.96.9.9",
      clusterIPs: ["10.96.9.9"],
      ports: [{ name: "http", port: 80 }],
      ...over.spec,
    },
  };
}

export function kubePod(
  namespace: string,
  name: string,
  uid: string,
  over: { meshed?: boolean; serviceAccountName?: string } = {},
): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      uid,
      ...(over.meshed === false ? {} : { annotations: { "causeway.dev/proxy-port": "4143" } }),
    },
    spec: { serviceAccountName: over.serviceAccountName ?? "default", containers: [{ name: "app", image: "app" }] },
  };
}

export function podSlice(
  namespace: string,
  service: string,
  pods: { name: string; uid: string; address: string; ready?: boolean }[],
): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${service}-abcde`, namespace, labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: pods.map(({ name, uid, address, ready = true }) => ({
      addresses: [address],
      conditions: { ready },
      targetRef: { kind: "Pod", namespace, name, uid },
    })),
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  };
}

export function serviceExport(
  namespace: string,
  name: string,
  annotations?: Record<string, string>,
): ServiceExportObject {
  return {
    apiVersion: "multicluster.x-k8s.io/v1alpha1",
    kind: "ServiceExport",
    metadata: { name, namespace, creationTimestamp: "2026-01-02T00:00:00Z", ...(annotations ? { annotations } : {}) },
  };
}

export function linkTo(cluster: string, over: Partial<Link["spec"]> = {}, finalizers = [MIRROR_FINALIZER]): Link {
  return {
    apiVersion: "causeway.dev/v1alpha1",
    kind: "Link",
    metadata: { name: cluster, finalizers },
    spec: {
      cluster,
      trustDomain: `${cluster}.mesh`,
      gateways: [{ host: "192.0.2.1", federationPort: 4180, relayPort: 4143 }],
      rootFingerprint: `sha256:${"0".repeat(64)}`,
      dial: true,
      import: true,
      export: true,
      secretName: `link-${cluster}`,
      ...over,
    },
  };
}

export function remoteService(
  cluster: string,
  namespace: string,
  name: string,
  over: Partial<RemoteService> = {},
): RemoteService {
  return {
    cluster,
    namespace,
    name,
    ports: [{ name: "http", port: 80, protocol: "TCP", appProtocol: "http" }],
    headless: false,
    sessionAffinity: false,
    clusterset: false,
    exportedAtMs: 1_000,
    ...over,
  };
}

export function linkState(cluster: string, over: Partial<LinkState> = {}): LinkState {
  return { cluster, health: "alive", ramp: 1, active: true, sinceMs: 0, rttMs: 1, reason: "", refused: [], ...over };
}
