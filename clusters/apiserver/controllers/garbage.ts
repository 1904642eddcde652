import { type ApiObject, controllerOf } from "../object.ts";
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER } from "../operations.ts";
import type { StoreEvent } from "../store/store.ts";
import type { Controller, ControllerContext } from "./controller.ts";

/** Deletes what no living owner wants, and carries out foreground and orphaning deletions. Keys are UIDs. */
export function garbageController({ store, operations }: ControllerContext): Controller {
  /** UIDs of dependents by the UID of an owner. */
  const dependents = new Map<string, Set<string>>();

  const track = (object: ApiObject, gone: boolean) => {
    const uid = object.metadata.uid ?? "";
    for (const owner of object.metadata.ownerReferences ?? []) {
      const known = dependents.get(owner.uid) ?? new Set();
      if (gone) known.delete(uid);
      else known.add(uid);
      if (known.size === 0) dependents.delete(owner.uid);
      else dependents.set(owner.uid, known);
    }
  };

  const dependentsOf = (uid: string) => [...(dependents.get(uid) ?? [])].flatMap((one) => store.byUid(one) ?? []);

  /** An owner counts only where a reference can lead: in the same namespace, or outside any. */
  const alive = (dependent: ApiObject, ownerUid: string) => {
    const owner = store.byUid(ownerUid)?.object;
    return (
      owner !== undefined &&
      (owner.metadata.namespace === undefined || owner.metadata.namespace === dependent.metadata.namespace)
    );
  };

  const dropReference = (resource: string, object: ApiObject, ownerUids: ReadonlySet<string>) => {
    const kind = operations.catalog.byResource(resource);
    if (kind === undefined) return;
    operations.amend(kind, object.metadata.namespace ?? "", object.metadata.name, (next) => {
      const left = (next.metadata.ownerReferences ?? []).filter((owner) => !ownerUids.has(owner.uid));
      if (left.length === 0) delete next.metadata.ownerReferences;
      else next.metadata.ownerReferences = left;
    });
  };

  const dropFinalizer = (resource: string, object: ApiObject, finalizer: string) => {
    const kind = operations.catalog.byResource(resource);
    if (kind === undefined) return;
    operations.amend(kind, object.metadata.namespace ?? "", object.metadata.name, (next) => {
      const left = (next.metadata.finalizers ?? []).filter((one) => one !== finalizer);
      if (left.length === 0) delete next.metadata.finalizers;
      else next.metadata.finalizers = left;
    });
  };

  const collect = (resource: string, object: ApiObject) => {
    const owners = object.metadata.ownerReferences ?? [];
    if (owners.length === 0 || object.metadata.deletionTimestamp !== undefined) return;
    const dead = owners.filter((owner) => !alive(object, owner.uid));
    const waiting = owners.filter(
      (owner) => store.byUid(owner.uid)?.object.metadata.finalizers?.includes(FOREGROUND_FINALIZER) === true,
    );
    const kind = operations.catalog.byResource(resource);
    if (kind === undefined || dead.length + waiting.length === 0) return;
    if (dead.length + waiting.length < owners.length) {
      dropReference(resource, object, new Set([...dead, ...waiting].map((owner) => owner.uid)));
      return;
    }
    const propagation = waiting.length > 0 && dependents.has(object.metadata.uid ?? "") ? "Foreground" : "Background";
    operations.delete(kind, object.metadata.namespace ?? "", object.metadata.name, {
      uid: object.metadata.uid ?? "",
      propagation,
    });
  };

  const release = (resource: string, object: ApiObject) => {
    if (object.metadata.deletionTimestamp === undefined) return;
    const uid = object.metadata.uid ?? "";
    const finalizers = object.metadata.finalizers ?? [];
    if (finalizers.includes(ORPHAN_FINALIZER)) {
      for (const one of dependentsOf(uid)) dropReference(one.resource, one.object, new Set([uid]));
      dropFinalizer(resource, object, ORPHAN_FINALIZER);
    } else if (finalizers.includes(FOREGROUND_FINALIZER)) {
      const blocking = dependentsOf(uid).filter(
        ({ object: one }) =>
          one.metadata.ownerReferences?.some((owner) => owner.uid === uid && owner.blockOwnerDeletion === true) ===
          true,
      );
      for (const one of dependentsOf(uid)) collect(one.resource, one.object);
      if (blocking.length === 0) dropFinalizer(resource, object, FOREGROUND_FINALIZER);
    }
  };

  return {
    name: "garbage",
    *keysOf({ type, object, previous }: StoreEvent) {
      if (previous !== undefined) track(previous, true);
      if (type !== "DELETED") track(object, false);
      const { uid = "", ownerReferences = [], finalizers = [] } = object.metadata;
      if (type === "DELETED") {
        yield* dependents.get(uid) ?? [];
        for (const owner of ownerReferences) yield owner.uid;
      } else if (
        ownerReferences.length > 0 ||
        finalizers.includes(FOREGROUND_FINALIZER) ||
        finalizers.includes(ORPHAN_FINALIZER)
      )
        yield uid;
      if (
        type !== "DELETED" &&
        controllerOf(object) === undefined &&
        dependents.has(uid) &&
        object.metadata.deletionTimestamp !== undefined
      )
        yield uid;
    },
    *allKeys() {
      for (const resource of store.resources()) {
        for (const object of store.values(resource)) {
          track(object, false);
          if (object.metadata.uid !== undefined) yield object.metadata.uid;
        }
      }
    },
    reconcile(uid) {
      const found = store.byUid(uid);
      if (found === undefined) return;
      collect(found.resource, found.object);
      const still = store.byUid(uid);
      if (still !== undefined) release(still.resource, still.object);
    },
  };
}
