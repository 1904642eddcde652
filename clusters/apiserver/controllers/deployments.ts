import { createHash } from "node:crypto";
import {
  type ApiObject,
  at,
  clone,
  controllerOf,
  isRecord,
  type JsonObject,
  listAt,
  numberAt,
  recordAt,
  textAt,
  timestamp,
} from "../object.ts";
import { builtinKind, type Controller, type ControllerContext, objectKey, splitKey } from "./controller.ts";
import { planRollout } from "./rollout.ts";

const DEPLOYMENTS = "apps/deployments";
const SETS = "apps/replicasets";
const REVISION = "deployment.kubernetes.io/revision";
const HASH = "pod-template-hash";

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}

/** A name for a pod template: the same for the same content. */
function templateHash(template: unknown): string {
  const digest = createHash("sha256")
    .update(JSON.stringify(sorted(template)))
    .digest();
  const alphabet = "bcdfghjklmnpqrstvwxz2456789";
  return [...digest.subarray(0, 10)].map((byte) => alphabet[byte % alphabet.length]).join("");
}

function revisionOf(set: ApiObject): number {
  return Number(set.metadata.annotations?.[REVISION] ?? 0);
}

/** Deployments to ReplicaSets: rolling updates within maxSurge and maxUnavailable, or Recreate. */
export function deploymentController({ store, operations, clock }: ControllerContext): Controller {
  const deployments = builtinKind(operations, DEPLOYMENTS);
  const sets = builtinKind(operations, SETS);

  const setsOf = (deployment: ApiObject) =>
    [...store.values(SETS)].filter(
      (set) =>
        set.metadata.namespace === deployment.metadata.namespace && controllerOf(set)?.uid === deployment.metadata.uid,
    );

  const createSet = (deployment: ApiObject, hash: string, replicas: number, revision: number): ApiObject => {
    const { name, namespace = "", uid = "" } = deployment.metadata;
    const template = clone(recordAt(deployment, "spec", "template"));
    const labels = { ...recordAt(template, "metadata", "labels"), [HASH]: hash };
    template["metadata"] = { ...recordAt(template, "metadata"), labels };
    const selector = clone(recordAt(deployment, "spec", "selector"));
    selector["matchLabels"] = { ...recordAt(selector, "matchLabels"), [HASH]: hash };
    return operations.create(sets, namespace, {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: {
        name: `${name}-${hash}`,
        namespace,
        labels,
        annotations: { [REVISION]: String(revision) },
        ownerReferences: [
          { apiVersion: "apps/v1", kind: "Deployment", name, uid, controller: true, blockOwnerDeletion: true },
        ],
      },
      spec: { replicas, selector, template },
    });
  };

  const scale = (set: ApiObject, replicas: number) => {
    operations.amend(sets, set.metadata.namespace ?? "", set.metadata.name, (object) => {
      const spec = recordAt(object, "spec");
      if (spec["replicas"] === replicas) return;
      spec["replicas"] = replicas;
      object.metadata.generation = (object.metadata.generation ?? 0) + 1;
    });
  };

  const reconcile = (key: string) => {
    const { namespace, name } = splitKey(key);
    const deployment = store.get(DEPLOYMENTS, namespace, name);
    if (deployment === undefined || deployment.metadata.deletionTimestamp !== undefined) return;
    const hash = templateHash(at(deployment, "spec", "template"));
    const all = setsOf(deployment);
    let current = all.find((set) => set.metadata.labels?.[HASH] === hash);
    const old = all.filter((set) => set !== current);
    const highest = Math.max(0, ...old.map(revisionOf));
    const paused = at(deployment, "spec", "paused") === true;
    if (current === undefined && !paused) {
      const plan = planRollout(deployment, undefined, old);
      current = createSet(deployment, hash, plan.current, highest + 1);
    } else if (current !== undefined) {
      const plan = planRollout(deployment, current, old);
      scale(current, plan.current);
      for (const [i, set] of old.entries()) scale(set, plan.old[i] ?? 0);
      if (revisionOf(current) <= highest && !paused) {
        operations.amend(sets, namespace, current.metadata.name, (set) => {
          set.metadata.annotations = { ...set.metadata.annotations, [REVISION]: String(highest + 1) };
        });
      }
    }
    const revision = String(current === undefined ? highest : Math.max(revisionOf(current), highest + 1));
    removeOldSets(deployment, old);
    const newest = current?.metadata.name;
    operations.amend(deployments, namespace, name, (object) => {
      if (current !== undefined) object.metadata.annotations = { ...object.metadata.annotations, [REVISION]: revision };
      object["status"] = statusOf(object, setsOf(deployment), newest, timestamp(clock.wallMs()));
    });
  };

  const removeOldSets = (deployment: ApiObject, old: readonly ApiObject[]) => {
    const limit = numberAt(deployment, 10, "spec", "revisionHistoryLimit");
    const idle = old.filter(
      (set) => numberAt(set, 0, "spec", "replicas") === 0 && numberAt(set, 0, "status", "replicas") === 0,
    );
    const spare = idle.sort((a, b) => revisionOf(a) - revisionOf(b)).slice(0, Math.max(0, idle.length - limit));
    for (const set of spare) operations.delete(sets, set.metadata.namespace ?? "", set.metadata.name);
  };

  return {
    name: "deployments",
    *keysOf({ resource, object }) {
      if (resource === DEPLOYMENTS) yield objectKey(object);
      if (resource !== SETS) return;
      const owner = controllerOf(object);
      if (owner?.kind === "Deployment") yield `${object.metadata.namespace ?? ""}/${owner.name}`;
    },
    *allKeys() {
      for (const deployment of store.values(DEPLOYMENTS)) yield objectKey(deployment);
    },
    reconcile,
  };
}

function condition(
  old: readonly unknown[],
  type: string,
  status: string,
  reason: string,
  message: string,
  now: string,
): JsonObject {
  const before = old.find((one) => textAt(one, "type") === type);
  const changed = textAt(before, "status") !== status;
  const same = !changed && textAt(before, "reason") === reason && textAt(before, "message") === message;
  return {
    type,
    status,
    reason,
    message,
    lastUpdateTime: same ? textAt(before, "lastUpdateTime") : now,
    lastTransitionTime: changed ? now : textAt(before, "lastTransitionTime"),
  };
}

function statusOf(
  deployment: ApiObject,
  sets: readonly ApiObject[],
  newest: string | undefined,
  now: string,
): JsonObject {
  const sum = (field: string) => sets.reduce((total, set) => total + numberAt(set, 0, "status", field), 0);
  const current = sets.find((set) => set.metadata.name === newest);
  const wanted = numberAt(deployment, 0, "spec", "replicas");
  const replicas = sum("replicas");
  const available = sum("availableReplicas");
  const updated = numberAt(current, 0, "status", "replicas");
  const unavailable = Math.max(0, Math.max(wanted, replicas) - available);
  const old = listAt(deployment, "status", "conditions");
  const { maxUnavailable } = planRollout(deployment, current, []);
  const enough = available >= wanted - maxUnavailable;
  const complete =
    updated === wanted && replicas === wanted && numberAt(current, 0, "status", "availableReplicas") >= wanted;
  const name = newest ?? deployment.metadata.name;
  const conditions = [
    enough
      ? condition(old, "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
      : condition(
          old,
          "Available",
          "False",
          "MinimumReplicasUnavailable",
          "Deployment does not have minimum availability.",
          now,
        ),
    complete
      ? condition(
          old,
          "Progressing",
          "True",
          "NewReplicaSetAvailable",
          `ReplicaSet "${name}" has successfully progressed.`,
          now,
        )
      : condition(old, "Progressing", "True", "ReplicaSetUpdated", `ReplicaSet "${name}" is progressing.`, now),
  ];
  return {
    observedGeneration: deployment.metadata.generation,
    ...(replicas === 0 ? {} : { replicas }),
    ...(updated === 0 ? {} : { updatedReplicas: updated }),
    ...(sum("readyReplicas") === 0 ? {} : { readyReplicas: sum("readyReplicas") }),
    ...(available === 0 ? {} : { availableReplicas: available }),
    ...(unavailable === 0 ? {} : { unavailableReplicas: unavailable }),
    conditions,
  };
}
