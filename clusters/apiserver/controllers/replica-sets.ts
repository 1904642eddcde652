import { asMeshError } from "../../../core/errors.ts";
import { podFinished, podReady } from "../kinds/pods.ts";
import { type ApiObject, clone, controllerOf, numberAt, recordAt } from "../object.ts";
import { builtinKind, type Controller, type ControllerContext, objectKey, splitKey } from "./controller.ts";

const SETS = "apps/replicasets";
const PODS = "/pods";
const BURST = 500;

/** ReplicaSets to Pods. */
export function replicaSetController({ store, operations }: ControllerContext): Controller {
  const sets = builtinKind(operations, SETS);
  const pods = builtinKind(operations, PODS);

  const createPod = (set: ApiObject) => {
    const template = recordAt(set, "spec", "template");
    const metadata = recordAt(template, "metadata");
    const { name, namespace = "", uid = "" } = set.metadata;
    operations.create(pods, namespace, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        generateName: `${name}-`,
        namespace,
        labels: clone(recordAt(metadata, "labels")),
        annotations: clone(recordAt(metadata, "annotations")),
        ownerReferences: [
          { apiVersion: "apps/v1", kind: "ReplicaSet", name, uid, controller: true, blockOwnerDeletion: true },
        ],
      },
      spec: clone(recordAt(template, "spec")),
    });
  };

  return {
    name: "replicasets",
    *keysOf({ resource, object }) {
      if (resource === SETS) yield objectKey(object);
      if (resource !== PODS) return;
      const owner = controllerOf(object);
      if (owner?.kind === "ReplicaSet") yield `${object.metadata.namespace ?? ""}/${owner.name}`;
    },
    *allKeys() {
      for (const set of store.values(SETS)) yield objectKey(set);
    },
    reconcile(key) {
      const { namespace, name } = splitKey(key);
      const set = store.get(SETS, namespace, name);
      if (set === undefined) return;
      const active = ownedBy(store.values(PODS), set).filter(
        (pod) => pod.metadata.deletionTimestamp === undefined && !podFinished(pod),
      );
      let failure: Error | undefined;
      if (set.metadata.deletionTimestamp === undefined) {
        const wanted = numberAt(set, 0, "spec", "replicas");
        try {
          for (let i = active.length; i < Math.min(wanted, active.length + BURST); i++) createPod(set);
        } catch (error) {
          failure = asMeshError(error, "INTERNAL", `create pods of ${key}`);
        }
        const spare = active.sort(byWorth).slice(0, Math.max(0, active.length - wanted));
        for (const pod of spare) operations.delete(pods, namespace, pod.metadata.name);
      }
      const now = ownedBy(store.values(PODS), set).filter(
        (pod) => pod.metadata.deletionTimestamp === undefined && !podFinished(pod),
      );
      const ready = now.filter(podReady).length;
      operations.amend(sets, namespace, name, (object) => {
        object["status"] = {
          replicas: now.length,
          ...(now.length === 0 ? {} : { fullyLabeledReplicas: now.length }),
          ...(ready === 0 ? {} : { readyReplicas: ready, availableReplicas: ready }),
          observedGeneration: set.metadata.generation,
        };
      });
      if (failure !== undefined) throw failure;
    },
  };
}

function ownedBy(pods: Iterable<ApiObject>, set: ApiObject): ApiObject[] {
  const owned: ApiObject[] = [];
  for (const pod of pods)
    if (pod.metadata.namespace === set.metadata.namespace && controllerOf(pod)?.uid === set.metadata.uid)
      owned.push(pod);
  return owned;
}

/** The pods to give up first come first: not ready, then the youngest. */
function byWorth(a: ApiObject, b: ApiObject): number {
  const ready = Number(podReady(a)) - Number(podReady(b));
  if (ready !== 0) return ready;
  return Number(b.metadata.resourceVersion) - Number(a.metadata.resourceVersion);
}
