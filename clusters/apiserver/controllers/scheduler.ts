import { podFinished } from "../kinds/pods.ts";
import { type ApiObject, at, isRecord, listAt, recordAt, textAt, timestamp } from "../object.ts";
import { builtinKind, type Controller, type ControllerContext, objectKey, splitKey } from "./controller.ts";

const PODS = "/pods";
const NODES = "/nodes";

function nodeReady(node: ApiObject): boolean {
  if (at(node, "spec", "unschedulable") === true || node.metadata.deletionTimestamp !== undefined) return false;
  return listAt(node, "status", "conditions").some(
    (one) => isRecord(one) && one["type"] === "Ready" && one["status"] === "True",
  );
}

function suits(pod: ApiObject, node: ApiObject): boolean {
  const wanted = recordAt(pod, "spec", "nodeSelector");
  return nodeReady(node) && Object.entries(wanted).every(([key, value]) => node.metadata.labels?.[key] === value);
}

/** Binds pods to the ready node with the fewest; without one they stay Pending and say why. */
export function scheduler({ store, operations, clock }: ControllerContext): Controller {
  const pods = builtinKind(operations, PODS);

  const waiting = (pod: ApiObject) =>
    textAt(pod, "spec", "nodeName") === "" && pod.metadata.deletionTimestamp === undefined && !podFinished(pod);

  const choose = (pod: ApiObject): string | undefined => {
    const load = new Map<string, number>();
    for (const node of store.values(NODES)) if (suits(pod, node)) load.set(node.metadata.name, 0);
    if (load.size > 1) {
      for (const other of store.values(PODS)) {
        const node = textAt(other, "spec", "nodeName");
        const count = load.get(node);
        if (count !== undefined) load.set(node, count + 1);
      }
    }
    return [...load].sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1))[0]?.[0];
  };

  const setCondition = (pod: ApiObject, condition: Record<string, string>) => {
    const others = listAt(pod, "status", "conditions").filter((one) => textAt(one, "type") !== "PodScheduled");
    const before = listAt(pod, "status", "conditions").find((one) => textAt(one, "type") === "PodScheduled");
    const since =
      textAt(before, "status") === condition["status"]
        ? textAt(before, "lastTransitionTime")
        : timestamp(clock.wallMs());
    pod["status"] = {
      ...recordAt(pod, "status"),
      conditions: [...others, { type: "PodScheduled", ...condition, lastTransitionTime: since }],
    };
  };

  return {
    name: "scheduler",
    *keysOf({ resource, object }) {
      if (resource === PODS && waiting(object)) yield objectKey(object);
      if (resource === NODES && nodeReady(object))
        for (const pod of store.values(PODS)) if (waiting(pod)) yield objectKey(pod);
    },
    *allKeys() {
      for (const pod of store.values(PODS)) if (waiting(pod)) yield objectKey(pod);
    },
    reconcile(key) {
      const { namespace, name } = splitKey(key);
      const pod = store.get(PODS, namespace, name);
      if (pod === undefined || !waiting(pod)) return;
      const node = choose(pod);
      operations.amend(pods, namespace, name, (next) => {
        if (node === undefined) {
          const message = "0 nodes are available: no ready node suits the pod.";
          setCondition(next, { status: "False", reason: "Unschedulable", message });
          return;
        }
        next["spec"] = { ...recordAt(next, "spec"), nodeName: node };
        setCondition(next, { status: "True" });
      });
    },
  };
}
