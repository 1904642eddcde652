import { LABELS } from "../../core/defaults.ts";
import type { AppProtocol, ServicePort } from "../../core/service.ts";
import { apiVersionOf, type KubeService, type KubeServicePort, SERVICES } from "../../kube/resources.ts";

/** A Service of ours: without selector, its endpoints written by us. */
export interface OwnService {
  readonly namespace: string;
  readonly name: string;
  readonly ports: readonly ServicePort[];
  readonly headless: boolean;
  readonly sessionAffinity: boolean;
  readonly labels: Readonly<Record<string, string>>;
}

export function mirrorLabels(cluster: string, service: string): Record<string, string> {
  return {
    [LABELS.managedBy]: LABELS.managedByValue,
    [LABELS.originCluster]: cluster,
    [LABELS.originService]: service,
  };
}

/** `service` as a new object. */
export function toKube(service: OwnService): KubeService {
  return {
    apiVersion: apiVersionOf(SERVICES),
    kind: SERVICES.kind,
    metadata: { name: service.name, namespace: service.namespace, labels: { ...service.labels } },
    spec: {
      type: "ClusterIP",
      ...(service.headless ? { clusterIP: "None" } : {}),
      sessionAffinity: service.sessionAffinity && !service.headless ? "ClientIP" : "None",
      ports: service.ports.map(kubePort),
    },
  };
}

/** How `actual` falls short of `wanted`; "kind" is what cannot be changed in place. */
export function difference(wanted: OwnService, actual: KubeService): "none" | "fields" | "kind" {
  const { spec = {} } = actual;
  if (wanted.headless !== (spec.clusterIP === "None") || (spec.type ?? "ClusterIP") !== "ClusterIP") return "kind";
  const text = (service: KubeService) =>
    JSON.stringify([
      Object.keys(wanted.labels).map((name) => service.metadata.labels?.[name]),
      Object.keys(service.spec?.selector ?? {}).length,
      service.spec?.sessionAffinity ?? "None",
      (service.spec?.ports ?? []).map((p) => [p.name ?? "", p.port, p.protocol ?? "TCP", p.appProtocol ?? ""]),
    ]);
  const exported = actual.metadata.labels?.[LABELS.exported] !== undefined;
  return text(toKube(wanted)) === text(actual) && !exported ? "none" : "fields";
}

/** `actual` with our part of it repaired; what is not ours (annotations, other labels, the address) stays. */
export function repaired(wanted: OwnService, actual: KubeService): KubeService {
  const fresh = toKube(wanted);
  const { selector: _, sessionAffinityConfig: ___, ...spec } = actual.spec ?? {};
  const { [LABELS.exported]: __, ...labels } = actual.metadata.labels ?? {};
  return {
    ...actual,
    metadata: { ...actual.metadata, labels: { ...labels, ...wanted.labels } },
    spec: { ...spec, ...fresh.spec, ...(spec.clusterIP === undefined ? {} : { clusterIP: spec.clusterIP }) },
  };
}

function kubePort({ name, port, protocol, appProtocol }: ServicePort): KubeServicePort {
  const app = kubeAppProtocol(appProtocol);
  return { ...(name === "" ? {} : { name }), port, protocol, ...(app === undefined ? {} : { appProtocol: app }) };
}

/** The mesh's protocol in Kubernetes' words (KEP-3726); undefined for detection. */
function kubeAppProtocol(appProtocol: AppProtocol): string | undefined {
  switch (appProtocol) {
    case "":
      return undefined;
    case "http2":
      return "kubernetes.io/h2c";
    case "opaque":
      return "tcp";
    case "http":
    case "grpc":
      return appProtocol;
    default:
      return appProtocol satisfies never;
  }
}
