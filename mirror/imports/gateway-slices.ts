import { isIP } from "node:net";
import { LABELS, SLICE_MANAGER } from "../../core/defaults.ts";
import type { GatewayAddress } from "../../core/link.ts";
import type { ServicePort } from "../../core/service.ts";
import { apiVersionOf, ENDPOINT_SLICES, type EndpointSlice } from "../../kube/resources.ts";
import { SERVICE_NAME_LABEL } from "../cluster-cache.ts";

/** Label of KEP-1645: the ServiceImport that a slice belongs to. */
export const MCS_SERVICE_LABEL = "multicluster.kubernetes.io/service-name";
/** Label of KEP-1645: the one cluster that a slice's endpoints are of. */
export const MCS_CLUSTER_LABEL = "multicluster.kubernetes.io/source-cluster";
const MANAGER_LABEL = "endpointslice.kubernetes.io/managed-by";
/** More gateways than this of one peer are not listed in slices. */
const MAX_GATEWAYS = 100;

interface SliceSubject {
  readonly namespace: string;
  /** The mirror's name. */
  readonly name: string;
  readonly cluster: string;
  readonly service: string;
  readonly clusterset: boolean;
  readonly ports: readonly ServicePort[];
}

/** Kind of EndpointSlice that can hold `host`. */
function addressTypeOf(host: string): EndpointSlice["addressType"] {
  switch (isIP(host)) {
    case 4:
      return "IPv4";
    case 6:
      return "IPv6";
    default:
      return "FQDN";
  }
}

/** The EndpointSlices of a mirror: its cluster's gateways, one slice per kind of address and relay port. */
export function gatewaySlices(
  subject: SliceSubject,
  gateways: readonly GatewayAddress[],
  ready: boolean,
): EndpointSlice[] {
  const groups = new Map<string, GatewayAddress[]>();
  const ordered = [...gateways].sort((a, b) => (`${a.host}:${a.relayPort}` < `${b.host}:${b.relayPort}` ? -1 : 1));
  for (const gateway of ordered.slice(0, MAX_GATEWAYS)) {
    const key = `${addressTypeOf(gateway.host)}-${gateway.relayPort}`;
    groups.set(key, [...(groups.get(key) ?? []), gateway]);
  }
  return [...groups].map(([key, members]) => {
    const [{ host, relayPort } = { host: "", relayPort: 0 }] = members;
    return {
      apiVersion: apiVersionOf(ENDPOINT_SLICES),
      kind: ENDPOINT_SLICES.kind,
      metadata: {
        name: `${subject.name}-${key.toLowerCase()}`,
        namespace: subject.namespace,
        labels: sliceLabels(subject),
      },
      addressType: addressTypeOf(host),
      endpoints: members.map((gateway) => ({
        addresses: [gateway.host],
        conditions: { ready },
        ...(gateway.zone === "" ? {} : { zone: gateway.zone }),
      })),
      ports: subject.ports.map(({ name }) => ({ name, port: relayPort, protocol: "TCP" })),
    };
  });
}

function sliceLabels(subject: SliceSubject): Record<string, string> {
  return {
    [SERVICE_NAME_LABEL]: subject.name,
    [MANAGER_LABEL]: SLICE_MANAGER,
    [MCS_CLUSTER_LABEL]: subject.cluster,
    ...(subject.clusterset ? { [MCS_SERVICE_LABEL]: subject.service } : {}),
    [LABELS.managedBy]: LABELS.managedByValue,
    [LABELS.originCluster]: subject.cluster,
    [LABELS.originService]: subject.service,
  };
}

/** Whether `actual` says what `wanted` does; what the server or others added does not count. */
export function sameSlice(wanted: EndpointSlice, actual: EndpointSlice): boolean {
  return sliceText(wanted, wanted) === sliceText(actual, wanted);
}

/** Whether two slices differ in nothing but readiness. */
export function sameButReadiness(wanted: EndpointSlice, actual: EndpointSlice): boolean {
  const plain = (slice: EndpointSlice): EndpointSlice => ({
    ...slice,
    endpoints: (slice.endpoints ?? []).map((endpoint) => ({ ...endpoint, conditions: {} })),
  });
  return sameSlice(plain(wanted), plain(actual));
}

function sliceText(slice: EndpointSlice, wanted: EndpointSlice): string {
  const labels = Object.keys(wanted.metadata.labels ?? {}).map((name) => slice.metadata.labels?.[name]);
  // A label that would put the slice into a ServiceImport counts also where it should not be.
  const joined = slice.metadata.labels?.[MCS_SERVICE_LABEL];
  const endpoints = (slice.endpoints ?? []).map((e) => [
    e.addresses,
    e.conditions?.ready,
    e.zone ?? "",
    e.hostname ?? "",
    e.targetRef?.uid ?? "",
  ]);
  const ports = (slice.ports ?? []).map((p) => [p.name ?? "", p.port, p.protocol ?? "TCP"]);
  return JSON.stringify([labels, joined, slice.addressType, endpoints, ports]);
}
