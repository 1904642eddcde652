import { podFinished, podReady } from "../kinds/pods.ts";
import { type ApiObject, at, equal, isRecord, type JsonObject, listAt, recordAt, textAt } from "../object.ts";
import { builtinKind, type Controller, type ControllerContext, objectKey, splitKey } from "./controller.ts";

const SERVICES = "/services";
const PODS = "/pods";
const SLICES = "discovery.k8s.io/endpointslices";
const MANAGER = "endpointslice-controller.k8s.io";
const SERVICE_NAME = "kubernetes.io/service-name";
const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
const HEADLESS = "service.kubernetes.io/headless";
const MAX_ENDPOINTS = 100;

function selects(selector: JsonObject, pod: ApiObject): boolean {
  const entries = Object.entries(selector);
  return entries.length > 0 && entries.every(([key, value]) => pod.metadata.labels?.[key] === value);
}

/** The pod's port that a Service port leads to; undefined where a named port is not there. */
function targetPort(pod: ApiObject, port: unknown): number | undefined {
  const target = at(port, "targetPort");
  if (typeof target === "number") return target;
  const protocol = textAt(port, "protocol") || "TCP";
  for (const container of listAt(pod, "spec", "containers")) {
    for (const one of listAt(container, "ports")) {
      const number = at(one, "containerPort");
      if (at(one, "name") === target && (textAt(one, "protocol") || "TCP") === protocol && typeof number === "number")
        return number;
    }
  }
  return undefined;
}

function portsFor(service: ApiObject, pod: ApiObject): JsonObject[] {
  return listAt(service, "spec", "ports").flatMap((port) => {
    const number = targetPort(pod, port);
    if (number === undefined) return [];
    const appProtocol = textAt(port, "appProtocol");
    const named = { name: textAt(port, "name"), port: number, protocol: textAt(port, "protocol") || "TCP" };
    return [appProtocol === "" ? named : { ...named, appProtocol }];
  });
}

function endpointOf(service: ApiObject, pod: ApiObject): JsonObject {
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const serving = podReady(pod);
  const ready = (serving && !terminating) || at(service, "spec", "publishNotReadyAddresses") === true;
  const nodeName = textAt(pod, "spec", "nodeName");
  const hostname = textAt(pod, "spec", "hostname");
  const named = hostname !== "" && textAt(pod, "spec", "subdomain") === service.metadata.name;
  const { namespace, name, uid } = pod.metadata;
  return {
    addresses: [textAt(pod, "status", "podIP")],
    conditions: { ready, serving, terminating },
    ...(named ? { hostname } : {}),
    targetRef: { kind: "Pod", namespace, name, uid },
    ...(nodeName === "" ? {} : { nodeName }),
  };
}

interface Group {
  readonly ports: JsonObject[];
  readonly endpoints: Map<string, JsonObject>;
}

/** The endpoints of a Service, together where their ports are the same. */
function groupsOf(service: ApiObject, pods: Iterable<ApiObject>): Map<string, Group> {
  const selector = recordAt(service, "spec", "selector");
  const groups = new Map<string, Group>();
  for (const pod of pods) {
    if (pod.metadata.namespace !== service.metadata.namespace || !selects(selector, pod)) continue;
    if (textAt(pod, "status", "podIP") === "" || podFinished(pod)) continue;
    const ports = portsFor(service, pod);
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, endpoints: new Map() };
    group.endpoints.set(pod.metadata.uid ?? pod.metadata.name, endpointOf(service, pod));
    groups.set(key, group);
  }
  // A Service without endpoints still has a slice, so that clients can tell "none" from "unknown".
  if (groups.size === 0) groups.set("[]", { ports: [], endpoints: new Map() });
  return groups;
}

/** Services with a selector to EndpointSlices. */
export function endpointSliceController({ store, operations }: ControllerContext): Controller {
  const slices = builtinKind(operations, SLICES);

  // By Service: to look through all slices for each Service is quadratic, and drowned a server of ten thousand.
  const byService = new Map<string, Set<string>>();
  const index = ({ metadata }: ApiObject, there: boolean) => {
    if (metadata.labels?.[MANAGED_BY] !== MANAGER) return;
    const service = `${metadata.namespace ?? ""}/${metadata.labels[SERVICE_NAME] ?? ""}`;
    const names = byService.get(service) ?? new Set();
    if (there) names.add(metadata.name);
    else names.delete(metadata.name);
    if (names.size === 0) byService.delete(service);
    else byService.set(service, names);
  };
  for (const slice of store.values(SLICES)) index(slice, true);
  store.subscribe(({ type, resource, object, previous }) => {
    if (resource !== SLICES) return;
    if (previous !== undefined) index(previous, false);
    if (type !== "DELETED") index(object, true);
  });
  const ours = (namespace: string, service: string) =>
    [...(byService.get(`${namespace}/${service}`) ?? [])].flatMap((name) => {
      const slice = store.get(SLICES, namespace, name);
      return slice === undefined || slice.metadata.deletionTimestamp !== undefined ? [] : [slice];
    });

  const metadataOf = (service: ApiObject): JsonObject => {
    const headless = textAt(service, "spec", "clusterIP") === "None";
    const { name, uid } = service.metadata;
    return {
      labels: {
        ...service.metadata.labels,
        [SERVICE_NAME]: name,
        [MANAGED_BY]: MANAGER,
        ...(headless ? { [HEADLESS]: "" } : {}),
      },
      ownerReferences: [{ apiVersion: "v1", kind: "Service", name, uid, controller: true, blockOwnerDeletion: true }],
    };
  };

  /** Endpoints keep the slice that they are in, so that a change touches few slices. */
  const fill = (service: ApiObject, group: Group, existing: ApiObject[]) => {
    const left = new Map(group.endpoints);
    const contents = existing.map((slice) => {
      const kept: JsonObject[] = [];
      for (const endpoint of listAt(slice, "endpoints")) {
        const uid = textAt(endpoint, "targetRef", "uid");
        const now = left.get(uid);
        if (now === undefined || kept.length >= MAX_ENDPOINTS) continue;
        left.delete(uid);
        kept.push(now);
      }
      return { slice: slice as ApiObject | undefined, endpoints: kept };
    });
    for (const endpoint of left.values()) {
      let free = contents.find(({ endpoints }) => endpoints.length < MAX_ENDPOINTS);
      if (free === undefined) {
        free = { slice: undefined, endpoints: [] };
        contents.push(free);
      }
      free.endpoints.push(endpoint);
    }
    if (contents.length === 0) contents.push({ slice: undefined, endpoints: [] });
    const used = contents.filter(({ endpoints }, i) => endpoints.length > 0 || (group.endpoints.size === 0 && i === 0));
    for (const { slice, endpoints } of used) write(service, group, slice, endpoints);
    for (const { slice } of contents.filter((one) => !used.includes(one))) if (slice !== undefined) remove(slice);
  };

  const write = (service: ApiObject, { ports }: Group, slice: ApiObject | undefined, endpoints: JsonObject[]) => {
    const { name, namespace = "" } = service.metadata;
    const wanted = metadataOf(service);
    if (slice === undefined) {
      const metadata = { ...wanted, generateName: `${name}-`, namespace };
      operations.create(slices, namespace, {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata,
        addressType: "IPv4",
        endpoints,
        ports,
      });
      return;
    }
    const metadata = { ...slice.metadata, ...wanted };
    const next = { ...slice, metadata, endpoints, ports };
    if (!equal(next, slice)) operations.update(slices, namespace, slice.metadata.name, next);
  };

  const remove = (slice: ApiObject) => {
    operations.delete(slices, slice.metadata.namespace ?? "", slice.metadata.name);
  };

  return {
    name: "endpointslices",
    *keysOf({ resource, object, previous }) {
      const namespace = object.metadata.namespace ?? "";
      if (resource === SERVICES) yield objectKey(object);
      if (resource === SLICES && object.metadata.labels?.[MANAGED_BY] === MANAGER) {
        yield `${namespace}/${object.metadata.labels[SERVICE_NAME] ?? ""}`;
      }
      if (resource !== PODS) return;
      for (const service of store.values(SERVICES)) {
        if (service.metadata.namespace !== namespace) continue;
        const selector = recordAt(service, "spec", "selector");
        if (selects(selector, object) || (previous !== undefined && selects(selector, previous)))
          yield objectKey(service);
      }
    },
    *allKeys() {
      for (const service of store.values(SERVICES)) yield objectKey(service);
    },
    reconcile(key) {
      const { namespace, name } = splitKey(key);
      const service = store.get(SERVICES, namespace, name);
      if (service === undefined || service.metadata.deletionTimestamp !== undefined) return; // garbage collection has its slices
      const selector = at(service, "spec", "selector");
      const existing = ours(namespace, name);
      if (
        textAt(service, "spec", "type") === "ExternalName" ||
        !isRecord(selector) ||
        Object.keys(selector).length === 0
      ) {
        for (const slice of existing) remove(slice);
        return;
      }
      const groups = groupsOf(service, store.values(PODS));
      const byPorts = new Map<string, ApiObject[]>();
      for (const slice of existing) {
        const ports = JSON.stringify(listAt(slice, "ports").map((port) => portKey(port)));
        byPorts.set(ports, [...(byPorts.get(ports) ?? []), slice]);
      }
      const spare = new Set(existing);
      for (const group of groups.values()) {
        const ports = JSON.stringify(group.ports.map((port) => portKey(port)));
        // Changed ports go into a slice that nobody else needs, rather than into a new one.
        const mine = byPorts.get(ports) ?? (groups.size === 1 ? existing : []);
        for (const slice of mine) spare.delete(slice);
        fill(service, group, mine);
      }
      for (const slice of spare) remove(slice);
    },
  };
}

function portKey(port: unknown): JsonObject {
  return {
    name: textAt(port, "name"),
    port: at(port, "port"),
    protocol: textAt(port, "protocol"),
    appProtocol: at(port, "appProtocol"),
  };
}
