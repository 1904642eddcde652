import { randomInt, randomUUID } from "node:crypto";
import type { Catalog } from "./kinds/catalog.ts";
import { groupVersion, type Kind, type KindContext } from "./kinds/kind.ts";
import { metadataCauses, metadataUpdateCauses } from "./kinds/metadata.ts";
import { type ApiObject, clone, equal, isRecord, type JsonObject, type Meta, timestamp } from "./object.ts";
import { applyJsonPatch } from "./patch/json-patch.ts";
import { applyMergePatch } from "./patch/merge-patch.ts";
import { applyStrategicMerge } from "./patch/strategic-merge.ts";
import { missingFields } from "./schema/decode.ts";
import { type FieldValidation, readObject } from "./schema/read-object.ts";
import { validate as validateStructure } from "./schema/structural.ts";
import {
  alreadyExists,
  badRequest,
  type Cause,
  conflict,
  forbidden,
  invalid,
  invalidValue,
  methodNotAllowed,
  modified,
  notFound,
  type ResourceName,
  required,
} from "./status.ts";

export interface WriteOptions {
  readonly dryRun?: boolean;
  readonly fieldValidation?: FieldValidation;
  /** Told of unknown fields when they are dropped with a warning. */
  readonly warn?: (text: string) => void;
}

export interface DeleteOptions {
  readonly dryRun?: boolean;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly gracePeriodSeconds?: number;
  readonly propagation?: "Background" | "Foreground" | "Orphan";
}

export type PatchType = "json" | "merge" | "strategic";

export const FOREGROUND_FINALIZER = "foregroundDeletion";
export const ORPHAN_FINALIZER = "orphan";

const NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789";
const SYSTEM_FIELDS = [
  "uid",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "generation",
  "namespace",
  "resourceVersion",
];

function nameOf({ group, plural }: Kind): ResourceName {
  return { group, resource: plural };
}

/** Five characters that spell no word, as Kubernetes appends to generateName. */
function nameSuffix(): string {
  let suffix = "";
  for (let i = 0; i < 5; i++) suffix += NAME_ALPHABET[randomInt(NAME_ALPHABET.length)];
  return suffix;
}

/**
 * What the API does to objects, apart from HTTP: the same path for clients and for the built-in controllers.
 * All methods are synchronous, so a check and its write cannot be parted.
 */
export class Operations {
  readonly context: KindContext;
  readonly catalog: Catalog;

  constructor(catalog: Catalog, context: KindContext) {
    this.catalog = catalog;
    this.context = context;
  }

  /** @throws StatusError 404 */
  get(kind: Kind, namespace: string, name: string): ApiObject {
    const object = this.context.store.get(kind.resource, namespace, name);
    if (object === undefined) throw notFound(nameOf(kind), name);
    return object;
  }

  /** @throws StatusError 400, 403, 404, 409, 422 */
  create(kind: Kind, namespace: string, body: unknown, options: WriteOptions = {}): ApiObject {
    const { store } = this.context;
    const object = readObject(kind, body, options);
    const meta = object.metadata;
    this.#checkNamespace(kind, namespace, object);
    if (meta.resourceVersion !== undefined && meta.resourceVersion !== "")
      throw badRequest("resourceVersion should not be set on objects to be created");
    const generated = meta.name === "" && meta.generateName !== undefined && meta.generateName !== "";
    if (generated) meta.name = `${(meta.generateName ?? "").slice(0, 58)}${nameSuffix()}`;
    this.#requireNamespace(kind, namespace, meta.name);
    if (store.get(kind.resource, namespace, meta.name) !== undefined) throw alreadyExists(nameOf(kind), meta.name);
    for (const field of SYSTEM_FIELDS) delete meta[field];
    delete meta["managedFields"];
    delete meta["selfLink"];
    if (kind.namespaced) meta.namespace = namespace;
    meta.uid = randomUUID();
    meta.creationTimestamp = timestamp(this.context.wallMs());
    if (kind.generation) meta.generation = 1;
    if (kind.statusSubresource) delete object["status"];
    kind.strategy.prepareCreate?.(object, this.context);
    this.#refuse(kind, object, this.#causes(kind, object));
    const refused = kind.strategy.admitCreate?.(object, this.context);
    if (refused !== undefined) throw refused;
    this.#refuse(kind, object, kind.strategy.assign?.(object, this.context) ?? []);
    if (options.dryRun === true) return object;
    return store.put(kind.resource, stored(kind, object));
  }

  /** Replaces an object, or only its status. @throws StatusError 400, 404, 409, 422 */
  update(
    kind: Kind,
    namespace: string,
    name: string,
    body: unknown,
    options: WriteOptions & { status?: boolean } = {},
  ): ApiObject {
    const existing = this.get(kind, namespace, name);
    const object = readObject(kind, body, options);
    if (object.metadata.name !== name) {
      throw badRequest(`the name of the object (${object.metadata.name}) does not match the name on the URL (${name})`);
    }
    this.#checkNamespace(kind, namespace, object);
    const given = object.metadata.resourceVersion ?? "";
    if (given === "" && !kind.unconditionalUpdate) {
      throw invalid(kind.group, kind.kind, name, [
        invalidValue("metadata.resourceVersion", 0, "must be specified for an update"),
      ]);
    }
    return this.#replace(kind, existing, object, options);
  }

  /** @throws StatusError 400, 404, 409, 415, 422 */
  patch(
    kind: Kind,
    namespace: string,
    name: string,
    type: PatchType,
    patch: unknown,
    options: WriteOptions & { status?: boolean } = {},
  ): ApiObject {
    const existing = this.get(kind, namespace, name);
    const current = inVersion(kind, existing);
    const patched = this.#patched(kind, current, type, patch);
    const object = readObject(kind, patched, options);
    // A patch that leaves the version alone means whatever is there now.
    return this.#replace(kind, existing, object, options);
  }

  /** @throws StatusError 404, 409 */
  delete(
    kind: Kind,
    namespace: string,
    name: string,
    options: DeleteOptions = {},
  ): { readonly object: ApiObject; readonly gone: boolean } {
    const { store, wallMs } = this.context;
    const existing = this.get(kind, namespace, name);
    const { uid, resourceVersion } = existing.metadata;
    if (options.uid !== undefined && options.uid !== uid) {
      throw conflict(
        nameOf(kind),
        name,
        `Precondition failed: UID in precondition: ${options.uid}, UID in object meta: ${uid}`,
      );
    }
    if (options.resourceVersion !== undefined && options.resourceVersion !== resourceVersion) {
      throw conflict(
        nameOf(kind),
        name,
        `Precondition failed: ResourceVersion in precondition: ${options.resourceVersion}, ResourceVersion in object meta: ${resourceVersion}`,
      );
    }
    const refused = kind.strategy.admitDelete?.(existing);
    if (refused !== undefined) throw refused;
    const object = clone(existing);
    const meta = object.metadata;
    const asked = kind.strategy.graceSeconds?.(existing, options.gracePeriodSeconds) ?? 0;
    const before = meta.deletionGracePeriodSeconds;
    // A second deletion may shorten the grace, never lengthen it.
    const grace = meta.deletionTimestamp !== undefined && before !== undefined ? Math.min(asked, before) : asked;
    const finalizers = new Set(meta.finalizers ?? []);
    if (options.propagation !== undefined) {
      finalizers.delete(FOREGROUND_FINALIZER);
      finalizers.delete(ORPHAN_FINALIZER);
      if (options.propagation === "Foreground") finalizers.add(FOREGROUND_FINALIZER);
      if (options.propagation === "Orphan") finalizers.add(ORPHAN_FINALIZER);
    }
    if (finalizers.size > 0) meta.finalizers = [...finalizers];
    else delete meta.finalizers;
    const held = grace > 0 || finalizers.size > 0 || kind.strategy.heldBack?.(object) === true;
    if (!held) {
      if (options.dryRun !== true) store.remove(kind.resource, existing);
      return { object: existing, gone: true };
    }
    if (meta.deletionTimestamp === undefined || (before !== undefined && grace < before)) {
      meta.deletionTimestamp = timestamp(wallMs() + grace * 1000);
      meta.deletionGracePeriodSeconds = grace;
      if (meta.generation !== undefined) meta.generation++;
      kind.strategy.beginDelete?.(object);
    }
    if (options.dryRun === true || equal(object, existing)) return { object, gone: false };
    return { object: store.put(kind.resource, object), gone: false };
  }

  /** Ends a deletion whose last hold was taken away by other means than an update. */
  finish(kind: Kind, object: ApiObject): boolean {
    const meta = object.metadata;
    const held = (meta.finalizers ?? []).length > 0 || kind.strategy.heldBack?.(object) === true;
    if (meta.deletionTimestamp === undefined || held || (meta.deletionGracePeriodSeconds ?? 0) > 0) return false;
    this.context.store.remove(kind.resource, object);
    return true;
  }

  /** For built-in controllers: changes what is stored past validation, or removes it when nothing holds it back. */
  amend(kind: Kind, namespace: string, name: string, change: (object: ApiObject) => void): ApiObject | undefined {
    const existing = this.context.store.get(kind.resource, namespace, name);
    if (existing === undefined) return undefined;
    const object = clone(existing);
    change(object);
    if (this.finish(kind, object)) return undefined;
    return equal(object, existing) ? existing : this.context.store.put(kind.resource, object);
  }

  #patched(kind: Kind, current: ApiObject, type: PatchType, patch: unknown): unknown {
    switch (type) {
      case "json":
        return applyJsonPatch(current, patch);
      case "merge":
        if (!isRecord(patch)) throw badRequest("a merge patch must be an object");
        return applyMergePatch(current, patch);
      case "strategic":
        return applyStrategicMerge(current, patch, kind.schema, kind.resolve);
      default:
        return type satisfies never;
    }
  }

  #replace(
    kind: Kind,
    existing: ApiObject,
    object: ApiObject,
    options: WriteOptions & { status?: boolean },
  ): ApiObject {
    const { store } = this.context;
    const { name } = existing.metadata;
    if (options.status === true && !kind.statusSubresource) throw methodNotAllowed();
    const meta = object.metadata;
    if (meta.uid !== undefined && meta.uid !== "" && meta.uid !== existing.metadata.uid) {
      throw conflict(
        nameOf(kind),
        name,
        `Precondition failed: UID in precondition: ${meta.uid}, UID in object meta: ${existing.metadata.uid}`,
      );
    }
    if (
      meta.resourceVersion !== undefined &&
      meta.resourceVersion !== "" &&
      meta.resourceVersion !== existing.metadata.resourceVersion
    ) {
      throw modified(nameOf(kind), name);
    }
    if (meta.name !== name) {
      throw invalid(kind.group, kind.kind, name, [invalidValue("metadata.name", meta.name, "field is immutable")]);
    }
    const next = options.status === true ? withStatus(kind, existing, object) : object;
    keepSystemFields(next.metadata, existing.metadata);
    if (options.status !== true) {
      if (kind.statusSubresource) {
        if (existing["status"] === undefined) delete next["status"];
        else next["status"] = clone(existing["status"]);
      }
      kind.strategy.prepareUpdate?.(next, existing, this.context);
      const causes = [...this.#causes(kind, next), ...metadataUpdateCauses(next, existing)];
      this.#refuse(kind, next, causes.length > 0 ? causes : (kind.strategy.validateUpdate?.(next, existing) ?? []));
      if (
        existing.metadata.generation !== undefined &&
        !equal(wanted(kind, next), wanted(kind, inVersion(kind, existing)))
      ) {
        next.metadata.generation = existing.metadata.generation + 1;
      }
    } else if (kind.custom) this.#refuse(kind, next, validateStructure(next, kind.schema, ""));
    if (options.dryRun === true) return next;
    const result = stored(kind, next);
    if (this.finish(kind, result)) return result;
    return equal(result, existing) ? existing : store.put(kind.resource, result);
  }

  #causes(kind: Kind, object: ApiObject): Cause[] {
    const causes = metadataCauses(object, kind.names);
    const own = kind.custom
      ? validateStructure(object, kind.schema, "")
      : (kind.strategy.validate?.(object, this.context) ?? []);
    const fields = new Set(own.map((cause) => cause.field));
    const missing = kind.custom
      ? []
      : missingFields(object, kind.schema, kind.resolve).filter((field) => !fields.has(field));
    return [...causes, ...missing.map((field) => required(field)), ...own];
  }

  #refuse(kind: Kind, object: ApiObject, causes: readonly Cause[]): void {
    if (causes.length > 0) throw invalid(kind.group, kind.kind, object.metadata.name, causes);
  }

  #checkNamespace(kind: Kind, namespace: string, object: ApiObject): void {
    const given = object.metadata.namespace;
    if (!kind.namespaced) {
      if (given !== undefined && given !== "")
        throw badRequest("namespace must not be provided for a cluster-scoped object");
      return;
    }
    if (given !== undefined && given !== "" && given !== namespace) {
      throw badRequest(`the namespace of the provided object does not match the namespace sent on the request`);
    }
  }

  #requireNamespace(kind: Kind, namespace: string, name: string): void {
    if (!kind.namespaced) return;
    const found = this.context.store.get("/namespaces", "", namespace);
    if (found === undefined) throw notFound({ group: "", resource: "namespaces" }, namespace);
    if (found.metadata.deletionTimestamp !== undefined) {
      throw forbidden(
        nameOf(kind),
        name,
        `unable to create new content in namespace ${namespace} because it is being terminated`,
      );
    }
  }
}

function keepSystemFields(meta: Meta, old: Meta): void {
  for (const field of SYSTEM_FIELDS) {
    if (old[field] === undefined) delete meta[field];
    else meta[field] = old[field];
  }
  delete meta["managedFields"];
  delete meta["selfLink"];
  if (meta.finalizers?.length === 0) delete meta.finalizers;
  if (old.generateName !== undefined && meta.generateName === undefined) meta.generateName = old.generateName;
}

function withStatus(kind: Kind, existing: ApiObject, object: ApiObject): ApiObject {
  const next = inVersion(kind, clone(existing));
  if (object["status"] === undefined) delete next["status"];
  else next["status"] = object["status"];
  return next;
}

/** What generation counts: all but metadata and, where it is separate, status. */
function wanted(kind: Kind, object: ApiObject): JsonObject {
  const rest: JsonObject = { ...object };
  delete rest["metadata"];
  if (kind.statusSubresource) delete rest["status"];
  return rest;
}

/** `object` as the kind's version shows it (conversion None: only apiVersion differs). */
export function inVersion(kind: Kind, object: ApiObject): ApiObject {
  const apiVersion = groupVersion(kind);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}

function stored(kind: Kind, object: ApiObject): ApiObject {
  return inVersion({ ...kind, version: kind.storageVersion }, object);
}
