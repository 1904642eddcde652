import { createHash } from "node:crypto";
import { LABELS, SLICE_MANAGER } from "../../core/defaults.ts";
import { isServiceName } from "../../core/mirror-name.ts";
import { type LocalService, type ServiceKey, type ServicePort, serviceKey } from "../../core/service.ts";
import type { KubeObject } from "../../kube/client.ts";
import {
  apiVersionOf,
  ENDPOINT_SLICES,
  type EndpointSlice,
  type KubeService,
  SERVICE_IMPORTS,
  SERVICES,
  type ServiceImportObject,
} from "../../kube/resources.ts";
import { SERVICE_NAME_LABEL } from "../cluster-cache.ts";
import { withConditions } from "../conditions.ts";
import { byAge } from "../exports/export-status.ts";
import { SLICE_MANAGER_LABEL } from "../exports/local-service.ts";
import { derivedFor } from "../ownership.ts";
import type { Step } from "../steps.ts";
import { MCS_CLUSTER_LABEL, MCS_SERVICE_LABEL } from "./gateway-slices.ts";
import { deletion, serviceStep, sliceStep } from "./mirror-plan.ts";
import type { OwnService } from "./mirror-service.ts";
import type { Peer } from "./peers.ts";

export interface ImportState {
  readonly cluster: string;
  /** Services of our own that have a ServiceExport. */
  readonly own: readonly LocalService[];
  readonly peers: readonly Peer[];
  hasNamespace(namespace: string): boolean;
  service(namespace: string, name: string): KubeService | undefined;
  slicesOf(key: ServiceKey): readonly EndpointSlice[];
  readonly imports: readonly ServiceImportObject[];
  /** Every Service of ours that is derived from a ServiceImport. */
  readonly derived: readonly KubeService[];
  /** Every EndpointSlice of ours that belongs to one. */
  readonly derivedSlices: readonly EndpointSlice[];
  nowMs(): number;
}

interface Constituent {
  readonly cluster: string;
  readonly exportedAtMs: number;
  readonly service: Pick<LocalService, "namespace" | "name" | "ports" | "headless" | "sessionAffinity">;
}

/** Name of the Service that gives a ServiceImport its address. */
export function derivedName(namespace: string, name: string): string {
  return `derived-${createHash("sha256").update(`${namespace}/${name}`).digest("hex").slice(0, 10)}`;
}

/**
 * ServiceImports (KEP-1645): one for each service that at least one cluster exports and whose namespace is here,
 * with a derived Service for its address and slices of our own endpoints behind it. Leaves ServiceImports without
 * our label alone.
 */
export function planImports(state: ImportState): Step[] {
  const services = constituents(state);
  const existing = new Map(state.imports.map((object) => [keyOf(object), object]));
  const steps: Step[] = [];
  const derived = new Set<ServiceKey>();
  const slices = new Map(state.derivedSlices.map((slice) => [keyOf(slice), slice]));
  const kept = new Set<ServiceKey>();

  for (const [key, exporters] of services) {
    const before = existing.get(key);
    if (before !== undefined && !isManaged(before)) continue;
    const silent = silentClusters(state, before, exporters);
    const spec = mergedSpec(exporters, silent.length > 0 ? before : undefined);
    const [oldest] = exporters;
    if (oldest === undefined) continue;
    const { namespace, name } = oldest.service;
    const own = derivedService(namespace, name, spec);
    derived.add(serviceKey(namespace, own.name));
    const actual = state.service(namespace, own.name);
    if (actual === undefined || derivedFor(actual) === name) {
      const step = serviceStep(own, actual);
      if (step !== undefined) steps.push(step);
    }
    for (const slice of ownSlices(state, exporters, own.name, name)) {
      kept.add(keyOf(slice));
      const step = sliceStep(slice, slices.get(keyOf(slice)));
      if (step !== undefined) steps.push(step);
    }
    const ips = spec.headless ? [] : (actual?.spec?.clusterIPs ?? []).filter((ip) => ip !== "None").slice(0, 2);
    const clusters = [...exporters.map(({ cluster }) => cluster), ...silent].sort();
    const counts = countsText(state, key, clusters);
    steps.push(...importSteps(state, namespace, name, spec, ips, clusters, counts, before));
  }

  for (const [key, object] of existing) {
    if (services.has(key) || !isManaged(object)) continue;
    const { namespace = "", name } = object.metadata;
    // Clusters that are silent may still export it.
    if (silentClusters(state, object, []).length > 0) {
      const kept = serviceKey(namespace, derivedName(namespace, name));
      derived.add(kept);
      continue;
    }
    steps.push(removal(object));
  }
  for (const service of state.derived) if (!derived.has(keyOf(service))) steps.push(deletion(SERVICES, service));
  for (const [key, slice] of slices) if (!kept.has(key)) steps.push(deletion(ENDPOINT_SLICES, slice));
  return steps;
}

/** Who exports what, oldest first. */
function constituents(state: ImportState): Map<ServiceKey, Constituent[]> {
  const found = new Map<ServiceKey, Constituent[]>();
  const add = (constituent: Constituent) => {
    const { namespace, name } = constituent.service;
    if (!state.hasNamespace(namespace) || !isServiceName(name)) return;
    const key = serviceKey(namespace, name);
    found.set(key, [...(found.get(key) ?? []), constituent]);
  };
  for (const service of state.own) {
    if (service.export?.clusterset === true) {
      add({ cluster: state.cluster, exportedAtMs: service.export.exportedAtMs, service });
    }
  }
  for (const peer of state.peers) {
    for (const service of peer.importing ? peer.services : []) {
      if (service.clusterset) add({ cluster: peer.cluster, exportedAtMs: service.exportedAtMs, service });
    }
  }
  for (const exporters of found.values()) exporters.sort(byAge);
  return found;
}

/** Clusters that a ServiceImport names and that neither export it now nor have certainly stopped. */
function silentClusters(
  state: ImportState,
  before: ServiceImportObject | undefined,
  exporters: readonly Constituent[],
): string[] {
  const present = new Set(exporters.map(({ cluster }) => cluster));
  return (before?.status?.clusters ?? [])
    .map(({ cluster }) => cluster)
    .filter((cluster) => {
      const peer = state.peers.find((p) => p.cluster === cluster);
      return !present.has(cluster) && peer !== undefined && peer.importing && !peer.confirmed;
    });
}

interface MergedSpec {
  readonly headless: boolean;
  readonly sessionAffinity: boolean;
  readonly ports: readonly ServicePort[];
}

/** The oldest export decides; ports are the union, by name. `before` adds the ports of those who are silent. */
function mergedSpec(exporters: readonly Constituent[], before: ServiceImportObject | undefined): MergedSpec {
  const ports: ServicePort[] = [];
  const known: ServicePort[] = (before?.spec.ports ?? []).map(({ name = "", port }) => ({
    name,
    port,
    protocol: "TCP",
    appProtocol: "",
  }));
  for (const port of [...exporters.flatMap(({ service }) => service.ports), ...known]) {
    if (!ports.some((p) => p.name === port.name || p.port === port.port)) ports.push(port);
  }
  // Kubernetes wants names as soon as there are two ports.
  const named = ports.length < 2 ? ports : ports.map((p) => (p.name === "" ? { ...p, name: `port-${p.port}` } : p));
  const oldest = exporters[0]?.service;
  return { headless: oldest?.headless ?? false, sessionAffinity: oldest?.sessionAffinity ?? false, ports: named };
}

function derivedService(namespace: string, name: string, spec: MergedSpec): OwnService {
  const labels = { [LABELS.managedBy]: LABELS.managedByValue, [LABELS.derivedFor]: name };
  return { namespace, name: derivedName(namespace, name), ...spec, labels };
}

/** Our own endpoints behind the derived Service: copies of the Service's slices, without those of our making. */
function ownSlices(
  state: ImportState,
  exporters: readonly Constituent[],
  derived: string,
  name: string,
): EndpointSlice[] {
  const own = exporters.find(({ cluster }) => cluster === state.cluster)?.service;
  if (own === undefined) return [];
  const sources = state
    .slicesOf(serviceKey(own.namespace, own.name))
    .filter((slice) => slice.metadata.labels?.[SLICE_MANAGER_LABEL] !== SLICE_MANAGER);
  return sources.map((source) => ({
    apiVersion: apiVersionOf(ENDPOINT_SLICES),
    kind: ENDPOINT_SLICES.kind,
    metadata: {
      name: `${derived}-${createHash("sha256").update(source.metadata.name).digest("hex").slice(0, 8)}`,
      namespace: own.namespace,
      labels: {
        [SERVICE_NAME_LABEL]: derived,
        [SLICE_MANAGER_LABEL]: SLICE_MANAGER,
        [MCS_CLUSTER_LABEL]: state.cluster,
        [MCS_SERVICE_LABEL]: name,
        [LABELS.managedBy]: LABELS.managedByValue,
        [LABELS.derivedFor]: name,
      },
    },
    addressType: source.addressType,
    endpoints: (source.endpoints ?? []).map(({ nodeName: _, ...endpoint }) => endpoint),
    ports: source.ports ?? [],
  }));
}

function importSteps(
  state: ImportState,
  namespace: string,
  name: string,
  merged: MergedSpec,
  ips: string[],
  clusters: readonly string[],
  counts: string,
  before: ServiceImportObject | undefined,
): Step[] {
  const spec: ServiceImportObject["spec"] = {
    type: merged.headless ? "Headless" : "ClusterSetIP",
    ...(ips.length === 0 ? {} : { ips }),
    ports: merged.ports.map(({ name: portName, port, protocol }) => ({
      ...(portName === "" ? {} : { name: portName }),
      port,
      protocol,
    })),
    sessionAffinity: merged.sessionAffinity ? "ClientIP" : "None",
  };
  const target = { type: SERVICE_IMPORTS, namespace, name };
  if (before === undefined) {
    const object: ServiceImportObject = {
      apiVersion: apiVersionOf(SERVICE_IMPORTS),
      kind: SERVICE_IMPORTS.kind,
      metadata: { name, namespace, labels: { [LABELS.managedBy]: LABELS.managedByValue } },
      spec,
    };
    return [{ ...target, action: "create", object }];
  }
  if (before.metadata.deletionTimestamp !== undefined) return [];
  const steps: Step[] = [];
  if (specText(before.spec) !== specText(spec)) {
    const object: ServiceImportObject = {
      ...before,
      spec: { ...spec, ...(ips.length === 0 && before.spec.ips && !merged.headless ? { ips: before.spec.ips } : {}) },
    };
    if (specText(before.spec) !== specText(object.spec)) steps.push({ ...target, action: "replace", object });
  } else if (counts !== "" && before.metadata.annotations?.[LABELS.endpoints] !== counts) {
    const edit = (current: KubeObject) => withCounts(current, counts);
    steps.push({ ...target, action: "edit", part: "object", what: counts, edit, lazy: true });
  }
  const ready = merged.headless || ips.length > 0;
  const edit = (current: KubeObject) => withStatus(current as ServiceImportObject, clusters, ready, state.nowMs());
  if (edit(before) !== undefined) {
    steps.push({ ...target, action: "edit", part: "status", what: `${clusters.join(",")} ${ready}`, edit });
  }
  return steps;
}

function withCounts(object: KubeObject, counts: string): KubeObject | undefined {
  const { annotations } = object.metadata;
  if (annotations?.[LABELS.endpoints] === counts) return undefined;
  return { ...object, metadata: { ...object.metadata, annotations: { ...annotations, [LABELS.endpoints]: counts } } };
}

/** How many endpoints each of `clusters` has, for people and for `mesh failover status`; "" where nobody knows. */
function countsText(state: ImportState, key: ServiceKey, clusters: readonly string[]): string {
  const texts = clusters.flatMap((cluster) => {
    const own = cluster === state.cluster;
    const counts = own ? ownCounts(state, key) : state.peers.find((p) => p.cluster === cluster)?.counts?.(key);
    return counts === undefined ? [] : [`${cluster}=${counts.ready}/${counts.total}`];
  });
  return texts.join(",");
}

function ownCounts(state: ImportState, key: ServiceKey): { ready: number; total: number } {
  const endpoints = state
    .slicesOf(key)
    .filter((slice) => slice.metadata.labels?.[SLICE_MANAGER_LABEL] !== SLICE_MANAGER)
    .flatMap((slice) => slice.endpoints ?? []);
  return { ready: endpoints.filter(({ conditions }) => conditions?.ready !== false).length, total: endpoints.length };
}

function withStatus(
  object: ServiceImportObject,
  clusters: readonly string[],
  ready: boolean,
  nowMs: number,
): ServiceImportObject | undefined {
  const wanted = ready
    ? { type: "Ready", status: "True" as const, reason: "Ready", message: "" }
    : { type: "Ready", status: "False" as const, reason: "Pending", message: "Waiting for an address." };
  const conditions = withConditions(object.status?.conditions, [wanted], nowMs);
  const same = JSON.stringify((object.status?.clusters ?? []).map((c) => c.cluster)) === JSON.stringify(clusters);
  if (conditions === undefined && same) return undefined;
  const status = { ...object.status, clusters: clusters.map((cluster) => ({ cluster })) };
  return { ...object, status: conditions === undefined ? status : { ...status, conditions } };
}

function specText(spec: ServiceImportObject["spec"]): string {
  const ports = spec.ports.map((p) => [p.name ?? "", p.port, p.protocol ?? "TCP"]);
  return JSON.stringify([spec.type, spec.ips ?? [], ports, spec.sessionAffinity ?? "None"]);
}

function isManaged(object: KubeObject): boolean {
  return object.metadata.labels?.[LABELS.managedBy] === LABELS.managedByValue;
}

function removal(object: ServiceImportObject): Step {
  const { namespace, name, uid } = object.metadata;
  return { type: SERVICE_IMPORTS, namespace, name, action: "delete", uid };
}

function keyOf({ metadata: { namespace = "", name } }: KubeObject): ServiceKey {
  return serviceKey(namespace, name);
}
