import { LABELS, PORTS, PROXY_CONTAINER, SLICE_MANAGER } from "../../core/defaults.ts";
import { type Identity, identityOf, type TrustDomain } from "../../core/identity.ts";
import { parseClusterName } from "../../core/mirror-name.ts";
import {
  type AppProtocol,
  type LocalEndpoint,
  type LocalEndpoints,
  type LocalService,
  OPAQUE_PORTS,
  type ServiceExport,
} from "../../core/service.ts";
import type { EndpointSlice, KubeService, KubeServicePort, Pod, ServiceExportObject } from "../../kube/resources.ts";
import { isOurs } from "../ownership.ts";
import { defined } from "../settings/annotations.ts";
import { podSockets, readServiceSettings } from "../settings/service-settings.ts";

/** Label by which the owner of an EndpointSlice is told. */
export const SLICE_MANAGER_LABEL = "endpointslice.kubernetes.io/managed-by";

/**
 * What the registry is to hold of a Service; undefined for what is no service of this cluster's own: mirrors,
 * derived Services, ExternalNames, and those that are being deleted.
 */
export function localService(
  service: KubeService,
  serviceExport: ServiceExportObject | undefined,
): LocalService | undefined {
  const { metadata, spec = {} } = service;
  if (isOurs(service) || spec.type === "ExternalName" || metadata.deletionTimestamp !== undefined) return undefined;
  const { settings, limits, appSockets, opaque } = readServiceSettings(service);
  const exported = exportOf(service, serviceExport);
  const ips = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  return {
    namespace: metadata.namespace ?? "",
    name: metadata.name,
    ports: tcpPorts(service).map(({ name = "", port, appProtocol }) => ({
      name,
      port,
      protocol: "TCP",
      appProtocol: opaque.has(port) ? "opaque" : appProtocolOf(port, appProtocol),
    })),
    headless: spec.clusterIP === "None",
    clusterIps: ips.filter((ip) => ip !== "None" && ip !== ""),
    sessionAffinity: spec.sessionAffinity === "ClientIP",
    ...defined({ settings, limits, appSockets }),
    ...(exported === undefined ? {} : { export: exported }),
  };
}

/** How a Service is exported: a ServiceExport decides where there is one, else the label. */
export function exportOf(
  service: KubeService,
  serviceExport: ServiceExportObject | undefined,
): ServiceExport | undefined {
  const by = serviceExport?.metadata.deletionTimestamp === undefined ? serviceExport : undefined;
  if (by === undefined && service.metadata.labels?.[LABELS.exported] !== "true") return undefined;
  const { annotations, creationTimestamp } = (by ?? service).metadata;
  return {
    to: exportedTo(annotations?.[LABELS.exportTo]),
    clusterset: by !== undefined,
    exportedAtMs: Date.parse(creationTimestamp ?? "") || 0,
  };
}

/** An annotation that is there but names no cluster exports to none: a slip must not open more than was meant. */
function exportedTo(annotation: string | undefined): "all" | readonly string[] {
  if (annotation === undefined) return "all";
  const names = annotation.split(",").map((name) => name.trim());
  return [...new Set(names)].filter(isClusterName).sort();
}

function isClusterName(name: string): boolean {
  try {
    parseClusterName(name);
    return true;
  } catch {
    return false;
  }
}

function tcpPorts(service: KubeService): KubeServicePort[] {
  return (service.spec?.ports ?? []).filter(({ protocol = "TCP" }) => protocol === "TCP");
}

/** Kubernetes' appProtocol (and KEP-3726's names) as the mesh's. Unknown ones are detected by their first bytes. */
export function appProtocolOf(port: number, appProtocol: string | undefined): AppProtocol {
  switch (appProtocol?.toLowerCase()) {
    case undefined:
    case "":
      return OPAQUE_PORTS.has(port) ? "opaque" : "";
    case "http":
    case "kubernetes.io/ws":
      return "http";
    case "http2":
    case "h2c":
    case "kubernetes.io/h2c":
      return "http2";
    case "grpc":
      return "grpc";
    case "tcp":
    case "tls":
    case "https":
    case "opaque":
    case "kubernetes.io/wss":
      return "opaque";
    default:
      return OPAQUE_PORTS.has(port) ? "opaque" : "";
  }
}

/**
 * The endpoints of a Service, one per Pod, sorted by id. A slice's reference to a Pod that is not known (yet, or
 * any more) yields none: without its Pod there is no telling its identity, and an endpoint without identity
 * would be called in the clear.
 */
export function localEndpoints(
  service: KubeService,
  slices: readonly EndpointSlice[],
  podOf: (namespace: string, name: string) => Pod | undefined,
  trustDomain: TrustDomain,
): LocalEndpoints {
  const { name, namespace = "" } = service.metadata;
  const found = new Map<string, LocalEndpoint>();
  // IPv4 first: of a dual-stack Pod's two slices, that address is taken.
  const ordered = slices.filter(isEndpointSource).sort((a, b) => (sliceOrder(a) < sliceOrder(b) ? -1 : 1));
  for (const slice of ordered) {
    const ports = portsThrough(service, slice);
    for (const entry of slice.endpoints ?? []) {
      const [address] = entry.addresses;
      const ref = entry.targetRef?.kind === "Pod" ? entry.targetRef : undefined;
      const pod = ref && podOf(ref.namespace ?? namespace, ref.name ?? "");
      if (address === undefined || (ref !== undefined && (pod === undefined || isOther(pod, ref.uid)))) continue;
      const id = pod?.metadata.uid ?? address;
      const known = found.get(id);
      if (known !== undefined) {
        // Ports with different target ports lie in slices of their own; the address is the first slice's.
        const ready = known.address === address ? known.ready || isReady(entry, pod) : known.ready;
        found.set(id, { ...known, ready, ports: { ...ports, ...known.ports } });
        continue;
      }
      const { identity, proxyPort } = sidecarOf(pod, trustDomain);
      found.set(id, {
        id,
        address,
        ready: isReady(entry, pod),
        ports,
        ...(identity === undefined ? {} : { identity }),
        proxyPort,
        zone: entry.zone ?? "",
        pod: pod?.metadata.name ?? "",
        ...defined({ appSockets: podSockets(pod).appSockets }),
      });
    }
  }
  const endpoints = [...found.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  return { namespace, name, endpoints };
}

/** Slices with addresses that are not of our own making. */
function isEndpointSource(slice: EndpointSlice): boolean {
  return slice.addressType !== "FQDN" && slice.metadata.labels?.[SLICE_MANAGER_LABEL] !== SLICE_MANAGER;
}

function sliceOrder(slice: EndpointSlice): string {
  return `${slice.addressType}/${slice.metadata.name}`;
}

function isOther(pod: Pod, uid: string | undefined): boolean {
  return uid !== undefined && uid !== pod.metadata.uid;
}

type SliceEndpoint = NonNullable<EndpointSlice["endpoints"]>[number];

function isReady(endpoint: SliceEndpoint, pod: Pod | undefined): boolean {
  // Absent means ready (discovery/v1). A Pod being deleted is known here before its slice says so.
  const { ready = true, terminating = false } = endpoint.conditions ?? {};
  return ready && !terminating && pod?.metadata.deletionTimestamp === undefined;
}

function portsThrough(service: KubeService, slice: EndpointSlice): Record<string, number> {
  const ports: Record<string, number> = {};
  for (const { name = "", port } of tcpPorts(service)) {
    const target = slice.ports?.find((p) => (p.name ?? "") === name && (p.protocol ?? "TCP") === "TCP");
    if (target?.port !== undefined) ports[String(port)] = target.port;
  }
  return ports;
}

function sidecarOf(pod: Pod | undefined, trustDomain: TrustDomain): { identity?: Identity; proxyPort: number } {
  const annotated = pod?.metadata.annotations?.[LABELS.proxyPort];
  const injected = pod?.spec?.containers.some(({ name }) => name === PROXY_CONTAINER) ?? false;
  if (pod === undefined || (annotated === undefined && !injected)) return { proxyPort: 0 };
  const port = Number(annotated ?? PORTS.inbound);
  const proxyPort = Number.isInteger(port) && port > 0 && port < 65_536 ? port : PORTS.inbound;
  const account = pod.spec?.serviceAccountName ?? "default";
  return { identity: identityOf(trustDomain, pod.metadata.namespace ?? "", account), proxyPort };
}
