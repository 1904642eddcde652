import { randomUUID } from "node:crypto";
import { type Clock, systemClock } from "../../core/clock.ts";
import { MeshError } from "../../core/errors.ts";
import type {
  ExecResult,
  ExecStreams,
  Informer,
  InformerOptions,
  KubeClient,
  KubeObject,
  ListOptions,
  ResourceType,
  TokenReviewResult,
} from "../../kube/client.ts";
import { ENDPOINT_SLICES, NAMESPACES, SERVICES } from "../../kube/resources.ts";
import { FakeInformer } from "./fake-informer.ts";
import { matchesSelectors } from "./fake-selectors.ts";

type Stored = KubeObject & { spec?: unknown; status?: unknown };
type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A call that reached the server. */
export interface FakeCall {
  readonly verb: "get" | "list" | "create" | "replace" | "replaceStatus" | "mergePatch" | "mergePatchStatus" | "delete";
  readonly type: ResourceType;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
}

const WRITES: ReadonlySet<FakeCall["verb"]> = new Set([
  "create",
  "replace",
  "replaceStatus",
  "mergePatch",
  "mergePatchStatus",
  "delete",
]);

/**
 * An API server in memory behind the Kubernetes port: resourceVersions and conflicts, generations, status apart
 * from spec, finalizers, owner references, namespaces that must exist and take their contents along, cluster IPs,
 * informers. Events reach informers in later microtasks, in order, unless `partition()` holds them back.
 */
export class FakeKube implements KubeClient {
  readonly server = "https://fake.invalid";
  /** Every call so far, oldest first. */
  readonly calls: FakeCall[] = [];
  /** Throw from here to make a call fail before it has any effect. */
  intercept: (call: FakeCall, object: KubeObject | undefined) => void = () => {};
  /** Refuse loopback addresses in EndpointSlices, as a real API server does. */
  refuseLoopback = false;
  onExec: KubeClient["exec"] = () => {
    throw new MeshError("EXEC_FAILED", "Cannot run the command: this API server runs none.");
  };
  readonly #clock: Clock;
  readonly #objects = new Map<string, Map<string, Stored>>();
  readonly #informers = new Set<FakeInformer<KubeObject>>();
  #revision = 0;
  #nextIp = 1;
  #partitioned = false;
  readonly #absent = new Set<string>();

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** The API server goes away: calls fail with CLUSTER_UNREACHABLE and informers hear nothing, until `heal()`. */
  partition(): void {
    this.#partitioned = true;
  }

  heal(): void {
    this.#partitioned = false;
    for (const informer of this.#informers) informer.relist();
  }

  /** The server has no such kind, until it is `true` again; what was of it is gone. */
  serves(type: ResourceType, served: boolean): void {
    if (served) this.#absent.delete(type.plural);
    else {
      this.#absent.add(type.plural);
      this.#objects.delete(typeKey(type));
    }
    for (const informer of this.#informers) informer.relist();
  }

  /** Calls so far that change something. */
  writes(): FakeCall[] {
    return this.calls.filter((call) => WRITES.has(call.verb));
  }

  /** Puts an object in place, status and all, making its namespace where it is missing; replaces what is there. */
  seed<T extends KubeObject>(type: ResourceType, object: T): T {
    const namespace = object.metadata.namespace;
    if (type.namespaced && namespace !== undefined && this.#find(NAMESPACES, namespace, undefined) === undefined) {
      this.seed(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    }
    const old = this.#find(type, object.metadata.name, namespace);
    const next = structuredClone(object) as Stored;
    this.#complete(type, next, old);
    this.#store(type, next);
    return structuredClone(next) as KubeObject as T;
  }

  /** Removes an object at once, whatever its finalizers. */
  unseed(type: ResourceType, name: string, namespace?: string): void {
    const object = this.#find(type, name, namespace);
    if (object !== undefined) this.#remove(type, object);
  }

  async get<T extends KubeObject>(type: ResourceType, name: string, namespace?: string): Promise<T | undefined> {
    await this.#enter({ verb: "get", type, namespace, name });
    const object = this.#find(type, name, namespace);
    return object && (structuredClone(object) as KubeObject as T);
  }

  async list<T extends KubeObject>(type: ResourceType, options: ListOptions = {}): Promise<T[]> {
    await this.#enter({ verb: "list", type, namespace: options.namespace, name: undefined });
    return this.#select(type, options) as KubeObject[] as T[];
  }

  async create<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    const { name, namespace } = object.metadata;
    await this.#enter({ verb: "create", type, namespace, name }, object);
    this.#checkNamespace(type, namespace);
    if (this.#find(type, name, namespace)) throw this.#error("KUBE_CONFLICT", type, name, "already exists");
    const next = structuredClone(object) as Stored;
    delete next.status;
    delete next.metadata.resourceVersion;
    delete next.metadata.deletionTimestamp;
    this.#complete(type, next, undefined);
    this.#validate(type, next, undefined);
    this.#store(type, next);
    return structuredClone(next) as KubeObject as T;
  }

  async replace<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    const { name, namespace } = object.metadata;
    await this.#enter({ verb: "replace", type, namespace, name }, object);
    const old = this.#existing(type, name, namespace, object.metadata.resourceVersion);
    const next = structuredClone(object) as Stored;
    delete next.status;
    if (old.status !== undefined) next.status = structuredClone(old.status);
    return this.#change(type, old, next) as KubeObject as T;
  }

  async replaceStatus<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    const { name, namespace } = object.metadata;
    await this.#enter({ verb: "replaceStatus", type, namespace, name }, object);
    const old = this.#existing(type, name, namespace, object.metadata.resourceVersion);
    const next = structuredClone(old);
    next.status = structuredClone((object as Stored).status);
    return this.#change(type, old, next) as KubeObject as T;
  }

  async mergePatch<T extends KubeObject>(
    type: ResourceType,
    name: string,
    namespace: string | undefined,
    patch: object,
  ): Promise<T> {
    await this.#enter({ verb: "mergePatch", type, namespace, name });
    const old = this.#existing(type, name, namespace, (patch as Partial<KubeObject>).metadata?.resourceVersion);
    const next = merge(old as unknown as Json, { ...patch, status: undefined } as unknown as Json) as unknown as Stored;
    if (old.status === undefined) delete next.status;
    else next.status = structuredClone(old.status);
    return this.#change(type, old, next) as KubeObject as T;
  }

  async mergePatchStatus<T extends KubeObject>(
    type: ResourceType,
    name: string,
    namespace: string | undefined,
    patch: object,
  ): Promise<T> {
    await this.#enter({ verb: "mergePatchStatus", type, namespace, name });
    const old = this.#existing(type, name, namespace, (patch as Partial<KubeObject>).metadata?.resourceVersion);
    const next = structuredClone(old);
    next.status = merge((old.status ?? {}) as Json, ((patch as Stored).status ?? {}) as Json);
    return this.#change(type, old, next) as KubeObject as T;
  }

  async delete(
    type: ResourceType,
    name: string,
    namespace?: string,
    options: { uid?: string; gracePeriodSeconds?: number } = {},
  ): Promise<boolean> {
    await this.#enter({ verb: "delete", type, namespace, name });
    const object = this.#find(type, name, namespace);
    if (object === undefined) return false;
    if (options.uid !== undefined && options.uid !== object.metadata.uid) {
      throw this.#error("KUBE_CONFLICT", type, name, "has another uid");
    }
    if ((object.metadata.finalizers ?? []).length === 0) this.#remove(type, object);
    else if (object.metadata.deletionTimestamp === undefined) {
      const next = structuredClone(object);
      next.metadata.deletionTimestamp = this.#timestamp();
      this.#bump(next);
      this.#store(type, next);
    }
    return true;
  }

  informer<T extends KubeObject>(type: ResourceType, options: InformerOptions = {}): Informer<T> {
    const informer = new FakeInformer<KubeObject>({
      list: () => {
        const absent = this.#absent.has(type.plural) && options.optional !== true;
        return this.#partitioned || absent ? undefined : this.#select(type, options);
      },
      matches: (changed, object) => sameType(changed, type) && matchesSelectors(object, options),
    });
    this.#informers.add(informer);
    return informer as unknown as Informer<T>;
  }

  async reviewToken(token: string, audiences: readonly string[]): Promise<TokenReviewResult> {
    const [marker, namespace, name] = token.split(":");
    const authenticated = marker === "fake" && namespace !== undefined && name !== undefined;
    return authenticated
      ? { authenticated, username: `system:serviceaccount:${namespace}:${name}`, audiences, error: "" }
      : { authenticated, username: "", audiences: [], error: "unknown token" };
  }

  async requestToken(namespace: string, serviceAccount: string, _audiences: readonly string[], ttlSeconds: number) {
    const expiresAtMs = this.#clock.wallMs() + ttlSeconds * 1000;
    return { token: `fake:${namespace}:${serviceAccount}`, expiresAtMs };
  }

  async version(): Promise<string> {
    return "v1.35.0-fake";
  }

  exec(
    namespace: string,
    pod: string,
    container: string | undefined,
    command: readonly string[],
    streams: ExecStreams,
    signal: AbortSignal,
  ): Promise<ExecResult> {
    return this.onExec(namespace, pod, container, command, streams, signal);
  }

  async #enter(call: FakeCall, object?: KubeObject): Promise<void> {
    await Promise.resolve();
    if (this.#partitioned) throw new MeshError("CLUSTER_UNREACHABLE", `Cannot reach ${this.server}: partitioned.`);
    if (this.#absent.has(call.type.plural))
      throw this.#error("KUBE_NOT_FOUND", call.type, call.name ?? "", "no such kind");
    this.calls.push(call);
    this.intercept(call, object);
  }

  #change(type: ResourceType, old: Stored, next: Stored): Stored {
    this.#complete(type, next, old);
    this.#validate(type, next, old);
    if (
      JSON.stringify({ ...next, metadata: { ...next.metadata, resourceVersion: "", generation: 0 } }) ===
      JSON.stringify({ ...old, metadata: { ...old.metadata, resourceVersion: "", generation: 0 } })
    ) {
      return structuredClone(old);
    }
    const finalizers = next.metadata.finalizers ?? [];
    if (next.metadata.deletionTimestamp !== undefined && finalizers.length === 0) this.#remove(type, next);
    else this.#store(type, next);
    return structuredClone(next);
  }

  /** What the server itself writes into an object. */
  #complete(type: ResourceType, next: Stored, old: Stored | undefined): void {
    const meta = next.metadata;
    meta.uid = old?.metadata.uid ?? meta.uid ?? randomUUID();
    meta.creationTimestamp = old?.metadata.creationTimestamp ?? meta.creationTimestamp ?? this.#timestamp();
    if (old?.metadata.deletionTimestamp !== undefined) meta.deletionTimestamp = old.metadata.deletionTimestamp;
    else if (old !== undefined) delete meta.deletionTimestamp;
    const specChanged = JSON.stringify(next.spec) !== JSON.stringify(old?.spec);
    meta.generation = (old?.metadata.generation ?? 0) + (specChanged || old === undefined ? 1 : 0);
    if (sameType(type, SERVICES)) this.#completeService(next, old);
    this.#bump(next);
  }

  #completeService(next: Stored, old: Stored | undefined): void {
    type Spec = {
      type?: string;
      clusterIP?: string;
      clusterIPs?: string[];
      ports?: { port: number; protocol?: string; targetPort?: unknown }[];
    };
    const spec = (next as { spec?: Spec }).spec ?? {};
    next.spec = spec;
    const before = (old as { spec?: Spec } | undefined)?.spec;
    spec.type ??= "ClusterIP";
    if (spec.type !== "ExternalName") {
      spec.clusterIP ??= before?.clusterIP ?? `10.96.${this.#nextIp >> 8}.${this.#nextIp++ & 255}`;
      spec.clusterIPs ??= [spec.clusterIP];
    }
    for (const port of spec.ports ?? []) {
      port.protocol ??= "TCP";
      port.targetPort ??= port.port;
    }
  }

  #validate(type: ResourceType, next: Stored, old: Stored | undefined): void {
    if (sameType(type, SERVICES)) {
      const ip = (object: Stored | undefined) => (object?.spec as { clusterIP?: string } | undefined)?.clusterIP;
      if (ip(old) !== undefined && ip(next) !== ip(old)) {
        throw this.#error("KUBE_INVALID", type, next.metadata.name, "spec.clusterIP: field is immutable");
      }
    }
    if (sameType(type, ENDPOINT_SLICES) && this.refuseLoopback) {
      const endpoints = (next as { endpoints?: { addresses: string[] }[] }).endpoints ?? [];
      const bad = endpoints.flatMap((e) => e.addresses).find((address) => address.startsWith("127."));
      if (bad !== undefined) {
        const text = `endpoints[0].addresses[0]: Invalid value: "${bad}": may not be in the loopback range`;
        throw this.#error("KUBE_INVALID", type, next.metadata.name, text);
      }
    }
  }

  #existing(type: ResourceType, name: string, namespace: string | undefined, resourceVersion?: string): Stored {
    const old = this.#find(type, name, namespace);
    if (old === undefined) throw this.#error("KUBE_NOT_FOUND", type, name, "not found");
    if (resourceVersion !== undefined && resourceVersion !== old.metadata.resourceVersion) {
      throw this.#error("KUBE_CONFLICT", type, name, "the object has been modified");
    }
    return old;
  }

  #checkNamespace(type: ResourceType, namespace: string | undefined): void {
    if (!type.namespaced) return;
    const owner = this.#find(NAMESPACES, namespace ?? "", undefined);
    if (owner === undefined) throw this.#error("KUBE_NOT_FOUND", NAMESPACES, namespace ?? "", "not found");
    if (owner.metadata.deletionTimestamp !== undefined) {
      throw this.#error("KUBE_DENIED", NAMESPACES, namespace ?? "", "is being terminated");
    }
  }

  #find(type: ResourceType, name: string, namespace: string | undefined): Stored | undefined {
    return this.#objects.get(typeKey(type))?.get(objectKey(name, type.namespaced ? namespace : undefined));
  }

  #select(type: ResourceType, options: ListOptions): Stored[] {
    const all = [...(this.#objects.get(typeKey(type))?.values() ?? [])];
    return all.filter((object) => matchesSelectors(object, options)).map((object) => structuredClone(object));
  }

  #store(type: ResourceType, object: Stored): void {
    const key = typeKey(type);
    const objects = this.#objects.get(key) ?? new Map<string, Stored>();
    this.#objects.set(key, objects);
    objects.set(objectKey(object.metadata.name, object.metadata.namespace), object);
    this.#announce(type, "set", object);
  }

  #remove(type: ResourceType, object: Stored): void {
    this.#objects.get(typeKey(type))?.delete(objectKey(object.metadata.name, object.metadata.namespace));
    this.#bump(object);
    this.#announce(type, "delete", object);
    queueMicrotask(() => this.#collect(type, object));
  }

  /** Takes along what the removed object owned, and what was in it where it was a namespace. */
  #collect(type: ResourceType, removed: Stored): void {
    for (const [key, objects] of this.#objects) {
      for (const object of [...objects.values()]) {
        const owned = (object.metadata.ownerReferences ?? []).some((owner) => owner.uid === removed.metadata.uid);
        const inside = sameType(type, NAMESPACES) && object.metadata.namespace === removed.metadata.name;
        if (owned || inside) this.#remove(parseTypeKey(key), object);
      }
    }
  }

  #announce(type: ResourceType, event: "set" | "delete", object: Stored): void {
    if (this.#partitioned) return;
    const seen = structuredClone(object);
    for (const informer of this.#informers) {
      queueMicrotask(() => informer.notice(type, { type: event, object: seen }));
    }
  }

  #bump(object: Stored): void {
    object.metadata.resourceVersion = String(++this.#revision);
  }

  #timestamp(): string {
    return `${new Date(this.#clock.wallMs()).toISOString().slice(0, 19)}Z`;
  }

  #error(
    code: "KUBE_CONFLICT" | "KUBE_NOT_FOUND" | "KUBE_INVALID" | "KUBE_DENIED",
    type: ResourceType,
    name: string,
    state: string,
  ) {
    return new MeshError(code, `Cannot change ${type.plural} "${name}": ${state}`);
  }
}

function typeKey({ group, version, plural, kind, namespaced }: ResourceType): string {
  return [group, version, plural, kind, namespaced].join("|");
}

function parseTypeKey(key: string): ResourceType {
  const [group = "", version = "", plural = "", kind = "", namespaced = ""] = key.split("|");
  return { group, version, plural, kind, namespaced: namespaced === "true" };
}

function sameType(a: ResourceType, b: ResourceType): boolean {
  return a.group === b.group && a.plural === b.plural;
}

function objectKey(name: string, namespace: string | undefined): string {
  return `${namespace ?? ""}/${name}`;
}

/** RFC 7386. */
function merge(target: Json, patch: Json): Json {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return structuredClone(patch);
  const base = target !== null && typeof target === "object" && !Array.isArray(target) ? target : {};
  const out: { [key: string]: Json } = { ...structuredClone(base) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === undefined) continue;
    if (value === null) delete out[key];
    else out[key] = merge(out[key] ?? null, value);
  }
  return out;
}
