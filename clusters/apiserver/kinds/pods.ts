import { type ApiObject, at, clone, equal, isRecord, listAt, numberAt, recordAt, textAt } from "../object.ts";
import { type Cause, forbidden, forbiddenField } from "../status.ts";
import { AGE_COLUMN, age, column, NAME_COLUMN } from "./columns.ts";
import type { Column, Strategy } from "./kind.ts";
import { defaultPodSpec, podSpecCauses } from "./pod-spec.ts";

/** Whether the Pod's Ready condition is True. */
export function podReady(pod: ApiObject): boolean {
  return listAt(pod, "status", "conditions").some(
    (one) => isRecord(one) && one["type"] === "Ready" && one["status"] === "True",
  );
}

/** Whether the Pod has run to its end. */
export function podFinished(pod: ApiObject): boolean {
  const phase = textAt(pod, "status", "phase");
  return phase === "Succeeded" || phase === "Failed";
}

function statuses(pod: ApiObject): Record<string, unknown>[] {
  return listAt(pod, "status", "containerStatuses").filter(isRecord);
}

function statusText(pod: ApiObject): string {
  let text = textAt(pod, "status", "reason") || textAt(pod, "status", "phase") || "Unknown";
  for (const status of statuses(pod)) {
    const reason = textAt(status, "state", "waiting", "reason") || textAt(status, "state", "terminated", "reason");
    if (reason !== "") text = reason;
  }
  return pod.metadata.deletionTimestamp === undefined ? text : "Terminating";
}

function restarts(pod: ApiObject, wallMs: number): string {
  let count = 0;
  let last = "";
  for (const status of statuses(pod)) {
    count += numberAt(status, 0, "restartCount");
    const finished = textAt(status, "lastState", "terminated", "finishedAt");
    if (finished > last) last = finished;
  }
  return count > 0 && last !== "" ? `${count} (${age(last, wallMs)} ago)` : String(count);
}

export const POD_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  column(
    "Ready",
    (pod) =>
      `${statuses(pod).filter((one) => one["ready"] === true).length}/${listAt(pod, "spec", "containers").length}`,
  ),
  column("Status", statusText),
  column("Restarts", restarts),
  AGE_COLUMN,
  column("IP", (pod) => textAt(pod, "status", "podIP") || "<none>", 1),
  column("Node", (pod) => textAt(pod, "spec", "nodeName") || "<none>", 1),
  column("Nominated Node", (pod) => textAt(pod, "status", "nominatedNodeName") || "<none>", 1),
  column("Readiness Gates", () => "<none>", 1),
];

export const POD_FIELDS = [
  "spec.nodeName",
  "spec.restartPolicy",
  "spec.schedulerName",
  "spec.serviceAccountName",
  "status.phase",
  "status.podIP",
  "status.nominatedNodeName",
];

/** The spec without what an update may change. */
function fixedSpec(pod: ApiObject): unknown {
  const spec = clone(recordAt(pod, "spec"));
  for (const container of [...listAt(spec, "containers"), ...listAt(spec, "initContainers")]) {
    if (isRecord(container)) delete container["image"];
  }
  for (const field of ["activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations"]) delete spec[field];
  return spec;
}

function validateUpdate(pod: ApiObject, old: ApiObject): Cause[] {
  if (equal(fixedSpec(pod), fixedSpec(old))) return [];
  return [
    forbiddenField(
      "spec",
      "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    ),
  ];
}

export const POD_STRATEGY: Strategy = {
  defaults(pod) {
    const spec = pod["spec"];
    defaultPodSpec(spec);
    if (isRecord(spec) && spec["enableServiceLinks"] === undefined) spec["enableServiceLinks"] = true;
  },
  prepareCreate(pod) {
    const spec = pod["spec"];
    if (isRecord(spec) && spec["serviceAccountName"] === undefined) {
      spec["serviceAccountName"] = "default";
      spec["serviceAccount"] = "default";
    }
    pod["status"] = { phase: "Pending", qosClass: "BestEffort" };
  },
  admitCreate(pod, { store }) {
    const namespace = pod.metadata.namespace ?? "";
    const account = textAt(pod, "spec", "serviceAccountName");
    if (store.get("/serviceaccounts", namespace, account) !== undefined) return undefined;
    const of = { group: "", resource: "pods" };
    return forbidden(
      of,
      pod.metadata.name,
      `error looking up service account ${namespace}/${account}: serviceaccount "${account}" not found`,
    );
  },
  validate: (pod) => podSpecCauses(at(pod, "spec"), "spec"),
  validateUpdate,
  graceSeconds(pod, asked) {
    // No node, or nothing left to stop: nobody would confirm the end.
    if (textAt(pod, "spec", "nodeName") === "" || podFinished(pod)) return 0;
    return Math.max(0, asked ?? numberAt(pod, 30, "spec", "terminationGracePeriodSeconds"));
  },
};
