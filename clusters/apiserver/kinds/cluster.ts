import { type ApiObject, at, isRecord, listAt, recordAt, textAt } from "../object.ts";
import { forbidden } from "../status.ts";
import { AGE_COLUMN, column, NAME_COLUMN } from "./columns.ts";
import type { Column, Strategy } from "./kind.ts";

/** Namespaces that a cluster cannot be without. */
const KEPT = new Set(["default", "kube-system", "kube-public"]);

export const NAMESPACE_STRATEGY: Strategy = {
  prepareCreate(namespace) {
    namespace["spec"] = { finalizers: ["kubernetes"] };
    namespace["status"] = { phase: "Active" };
    namespace.metadata.labels = {
      "kubernetes.io/metadata.name": namespace.metadata.name,
      ...namespace.metadata.labels,
    };
  },
  prepareUpdate(namespace, old) {
    namespace["spec"] = old["spec"] ?? {};
    namespace.metadata.labels = {
      "kubernetes.io/metadata.name": namespace.metadata.name,
      ...namespace.metadata.labels,
    };
  },
  admitDelete(namespace) {
    if (!KEPT.has(namespace.metadata.name)) return undefined;
    return forbidden(
      { group: "", resource: "namespaces" },
      namespace.metadata.name,
      "this namespace may not be deleted",
    );
  },
  beginDelete(namespace) {
    namespace["status"] = { ...recordAt(namespace, "status"), phase: "Terminating" };
  },
  heldBack: (namespace) => listAt(namespace, "spec", "finalizers").length > 0,
};

export const NAMESPACE_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  column("Status", (one) => textAt(one, "status", "phase")),
  AGE_COLUMN,
];

export const NODE_STRATEGY: Strategy = {
  defaults(node) {
    if (!isRecord(node["spec"])) node["spec"] = {};
  },
};

function ready(node: ApiObject): string {
  const condition = listAt(node, "status", "conditions").find((one) => isRecord(one) && one["type"] === "Ready");
  const state = textAt(condition, "status");
  const text = state === "True" ? "Ready" : state === "" ? "Unknown" : "NotReady";
  return at(node, "spec", "unschedulable") === true ? `${text},SchedulingDisabled` : text;
}

function roles(node: ApiObject): string {
  const prefix = "node-role.kubernetes.io/";
  const found = Object.keys(node.metadata.labels ?? {}).filter((key) => key.startsWith(prefix));
  return found.map((key) => key.slice(prefix.length)).join(",") || "<none>";
}

function address(node: ApiObject, type: string): string {
  return (
    textAt(
      listAt(node, "status", "addresses").find((one) => isRecord(one) && one["type"] === type),
      "address",
    ) || "<none>"
  );
}

export const NODE_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  column("Status", ready),
  column("Roles", roles),
  AGE_COLUMN,
  column("Version", (node) => textAt(node, "status", "nodeInfo", "kubeletVersion")),
  column("Internal-IP", (node) => address(node, "InternalIP"), 1),
  column("External-IP", (node) => address(node, "ExternalIP"), 1),
  column("OS-Image", (node) => textAt(node, "status", "nodeInfo", "osImage") || "<unknown>", 1),
  column("Kernel-Version", (node) => textAt(node, "status", "nodeInfo", "kernelVersion") || "<unknown>", 1),
  column(
    "Container-Runtime",
    (node) => textAt(node, "status", "nodeInfo", "containerRuntimeVersion") || "<unknown>",
    1,
  ),
];
