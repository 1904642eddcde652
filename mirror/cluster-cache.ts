import { type ServiceKey, serviceKey } from "../core/service.ts";
import type { Informer, KubeClient, KubeObject } from "../kube/client.ts";
import {
  GRPC_ROUTES,
  type GrpcRoute,
  HTTP_ROUTES,
  type HttpRoute,
  REFERENCE_GRANTS,
  type ReferenceGrant,
  type RouteObject,
} from "../kube/gateway-api.ts";
import {
  ENDPOINT_SLICES,
  type EndpointSlice,
  type KubeService,
  LINKS,
  type Link,
  NAMESPACES,
  PODS,
  type Pod,
  SERVICE_EXPORTS,
  SERVICE_IMPORTS,
  SERVICES,
  type ServiceExportObject,
  type ServiceImportObject,
} from "../kube/resources.ts";
import { derivedFor, originOf } from "./ownership.ts";

/** Those of a kind that are ours, kept apart: to look through all Services for them at each change takes long where there are many. */
class OwnObjects<T extends KubeObject> {
  readonly #mirrors = new Map<string, T>();
  readonly #derived = new Map<string, T>();

  constructor(informer: Informer<T>) {
    informer.onEvent(({ type, object }) => {
      const there = type !== "delete";
      note(this.#mirrors, object, there && originOf(object) !== undefined);
      note(this.#derived, object, there && derivedFor(object) !== undefined);
    });
  }

  mirrors(): readonly T[] {
    return [...this.#mirrors.values()];
  }

  derived(): readonly T[] {
    return [...this.#derived.values()];
  }
}

function note<T extends KubeObject>(objects: Map<string, T>, object: T, there: boolean): void {
  if (there) objects.set(objectKey(object), object);
  else objects.delete(objectKey(object));
}

/** Label that ties an EndpointSlice to its Service. */
export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

/** What the mirror sees of its cluster, with the lookups it needs. Keeps the last good state while the API server is away. */
export class ClusterCache {
  readonly services: Informer<KubeService>;
  readonly slices: Informer<EndpointSlice>;
  readonly pods: Informer<Pod>;
  readonly namespaces: Informer<KubeObject>;
  readonly exports: Informer<ServiceExportObject>;
  readonly imports: Informer<ServiceImportObject>;
  readonly links: Informer<Link>;
  /** These kinds may be missing: a cluster without Gateway API has no routes. */
  readonly httpRoutes: Informer<HttpRoute>;
  readonly grpcRoutes: Informer<GrpcRoute>;
  readonly grants: Informer<ReferenceGrant>;
  readonly #ownServices: OwnObjects<KubeService>;
  readonly #ownSlices: OwnObjects<EndpointSlice>;
  readonly #slicesOf = new Map<ServiceKey, Map<string, EndpointSlice>>();
  readonly #serviceOfSlice = new Map<string, ServiceKey>();
  readonly #servicesOfPod = new Map<string, Set<ServiceKey>>();
  readonly #serviceListeners = new Set<(key: ServiceKey) => void>();
  readonly #changeListeners = new Set<() => void>();
  readonly #routingListeners = new Set<(name: ServiceKey | undefined) => void>();

  constructor(kube: KubeClient) {
    this.services = kube.informer<KubeService>(SERVICES);
    this.slices = kube.informer<EndpointSlice>(ENDPOINT_SLICES);
    this.pods = kube.informer<Pod>(PODS);
    this.namespaces = kube.informer<KubeObject>(NAMESPACES);
    this.exports = kube.informer<ServiceExportObject>(SERVICE_EXPORTS);
    this.imports = kube.informer<ServiceImportObject>(SERVICE_IMPORTS);
    this.links = kube.informer<Link>(LINKS);
    this.httpRoutes = kube.informer<HttpRoute>(HTTP_ROUTES, { optional: true });
    this.grpcRoutes = kube.informer<GrpcRoute>(GRPC_ROUTES, { optional: true });
    this.grants = kube.informer<ReferenceGrant>(REFERENCE_GRANTS, { optional: true });
    this.#ownServices = new OwnObjects(this.services);
    this.#ownSlices = new OwnObjects(this.slices);
    this.slices.onEvent(({ type, object }) => this.#onSlice(object, type === "delete"));
    this.services.onEvent(({ object }) => this.#onNamed(object));
    this.exports.onEvent(({ object }) => this.#onNamed(object));
    this.pods.onEvent(({ object }) => {
      for (const key of this.#servicesOfPod.get(objectKey(object)) ?? []) this.#touch(key);
    });
    for (const informer of [this.namespaces, this.imports, this.links]) informer.onEvent(() => this.#changed());
    for (const informer of [this.httpRoutes, this.grpcRoutes, this.grants])
      informer.onEvent(() => this.#routingChanged(undefined));
    for (const informer of [this.services, this.imports])
      informer.onEvent(({ object }) =>
        this.#routingChanged(serviceKey(object.metadata.namespace ?? "", object.metadata.name)),
      );
  }

  /** Starts all informers; resolves when each has its first list, rejects when `signal` aborts. */
  async start(signal: AbortSignal): Promise<void> {
    const all = Object.values(this.#all()).map((informer) => informer.start(signal));
    const optional = [this.httpRoutes, this.grpcRoutes, this.grants].map((informer) => informer.start(signal));
    // Only routes wait for these: a role that may not list them yet does all else.
    const routing = Promise.all([...all, ...optional]).then(() => this.#routingChanged(undefined));
    // Should the others fail first, this failure is theirs.
    routing.catch(() => {});
    await Promise.all(all);
    this.#changed();
    await routing;
  }

  get routingSynced(): boolean {
    const needed = [this.httpRoutes, this.grpcRoutes, this.grants, this.services, this.imports];
    return needed.every((informer) => informer.synced);
  }

  /** Every HTTPRoute and GRPCRoute. */
  routes(): readonly RouteObject[] {
    return [...this.httpRoutes.list(), ...this.grpcRoutes.list()];
  }

  /** Kinds whose first list is still missing. */
  missing(): string[] {
    return Object.entries(this.#all()).flatMap(([kind, informer]) => (informer.synced ? [] : [kind]));
  }

  get synced(): boolean {
    return this.missing().length === 0;
  }

  /** Services with the labels of a mirror. */
  mirrors(): readonly KubeService[] {
    return this.#ownServices.mirrors();
  }

  mirrorSlices(): readonly EndpointSlice[] {
    return this.#ownSlices.mirrors();
  }

  /** Services of ours that are derived from a ServiceImport. */
  derived(): readonly KubeService[] {
    return this.#ownServices.derived();
  }

  derivedSlices(): readonly EndpointSlice[] {
    return this.#ownSlices.derived();
  }

  slicesOf(key: ServiceKey): readonly EndpointSlice[] {
    return [...(this.#slicesOf.get(key)?.values() ?? [])];
  }

  /** Whether objects can be created in `namespace`. */
  hasNamespace(namespace: string): boolean {
    const found = this.namespaces.get(namespace);
    return found !== undefined && found.metadata.deletionTimestamp === undefined;
  }

  /** Called for each Service of which something changed: itself, its export, its endpoints, a Pod behind it. */
  onService(listener: (key: ServiceKey) => void): void {
    this.#serviceListeners.add(listener);
  }

  /** Called after any change of anything. */
  onChange(listener: () => void): void {
    this.#changeListeners.add(listener);
  }

  /** Called after any change of routes, and with its name of each Service and ServiceImport, which they may name. */
  onRouting(listener: (name: ServiceKey | undefined) => void): void {
    this.#routingListeners.add(listener);
  }

  #all(): Readonly<Record<string, Informer<KubeObject>>> {
    const { services, slices, pods, namespaces, exports, imports, links } = this;
    return { services, slices, pods, namespaces, exports, imports, links };
  }

  #onNamed({ metadata: { namespace = "", name } }: KubeObject): void {
    this.#touch(serviceKey(namespace, name));
  }

  #onSlice(slice: EndpointSlice, deleted: boolean): void {
    const { namespace = "", labels } = slice.metadata;
    const service = labels?.[SERVICE_NAME_LABEL];
    const key = deleted || service === undefined ? undefined : serviceKey(namespace, service);
    const before = this.#serviceOfSlice.get(objectKey(slice));
    if (before !== undefined && before !== key) this.#putSlice(before, slice, true);
    if (key === undefined) this.#serviceOfSlice.delete(objectKey(slice));
    else {
      this.#serviceOfSlice.set(objectKey(slice), key);
      this.#putSlice(key, slice, false);
    }
  }

  #putSlice(key: ServiceKey, slice: EndpointSlice, remove: boolean): void {
    const slices = this.#slicesOf.get(key) ?? new Map<string, EndpointSlice>();
    const before = podsOf(slices.get(slice.metadata.name));
    if (remove) slices.delete(slice.metadata.name);
    else slices.set(slice.metadata.name, slice);
    if (slices.size === 0) this.#slicesOf.delete(key);
    else this.#slicesOf.set(key, slices);
    this.#indexPods(key, new Set([...before, ...podsOf(slice)]));
    this.#touch(key);
  }

  #indexPods(key: ServiceKey, pods: ReadonlySet<string>): void {
    const now = new Set(this.slicesOf(key).flatMap(podsOf));
    for (const pod of pods) {
      const keys = this.#servicesOfPod.get(pod) ?? new Set<ServiceKey>();
      if (now.has(pod)) keys.add(key);
      else keys.delete(key);
      if (keys.size === 0) this.#servicesOfPod.delete(pod);
      else this.#servicesOfPod.set(pod, keys);
    }
  }

  #touch(key: ServiceKey): void {
    for (const listener of this.#serviceListeners) listener(key);
    this.#changed();
  }

  #routingChanged(name: ServiceKey | undefined): void {
    for (const listener of this.#routingListeners) listener(name);
  }

  #changed(): void {
    for (const listener of this.#changeListeners) listener();
  }
}

function podsOf(slice: EndpointSlice | undefined): string[] {
  const namespace = slice?.metadata.namespace ?? "";
  return (slice?.endpoints ?? []).flatMap(({ targetRef }) =>
    targetRef?.kind === "Pod" ? [`${targetRef.namespace ?? namespace}/${targetRef.name ?? ""}`] : [],
  );
}

function objectKey({ metadata: { namespace = "", name } }: KubeObject): string {
  return `${namespace}/${name}`;
}
