import { type ApiObject, at, equal, isRecord, listAt, numberAt, recordAt, textAt } from "../object.ts";
import { matchLabelSelector } from "../selector/labels.ts";
import { type Cause, invalidValue, notSupported, required } from "../status.ts";
import { AGE_COLUMN, column, NAME_COLUMN, selectorText } from "./columns.ts";
import type { Column, ScalePaths, Strategy } from "./kind.ts";
import { immutable, labelCauses, selectorCauses } from "./metadata.ts";
import { defaultPodSpec, podSpecCauses } from "./pod-spec.ts";

export const REPLICA_PATHS: ScalePaths = {
  specReplicas: "spec.replicas",
  statusReplicas: "status.replicas",
  labelSelector: undefined,
};

function workloadCauses(object: ApiObject): Cause[] {
  const causes: Cause[] = [];
  const replicas = numberAt(object, 0, "spec", "replicas");
  if (replicas < 0) causes.push(invalidValue("spec.replicas", replicas, "must be greater than or equal to 0"));
  const selector = at(object, "spec", "selector");
  const empty =
    !isRecord(selector) ||
    equal(selector, {}) ||
    (Object.keys(recordAt(selector, "matchLabels")).length === 0 && listAt(selector, "matchExpressions").length === 0);
  if (!isRecord(selector)) causes.push(required("spec.selector"));
  else if (empty) causes.push(invalidValue("spec.selector", selector, "empty selector is invalid for deployment"));
  causes.push(...selectorCauses(selector, "spec.selector"));
  const labels = recordAt(object, "spec", "template", "metadata", "labels") as Record<string, string>;
  causes.push(...labelCauses(labels, "spec.template.metadata.labels"));
  if (!empty && !matchLabelSelector(selector)(labels)) {
    causes.push(invalidValue("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"));
  }
  if (at(object, "spec", "template") === undefined) causes.push(required("spec.template"));
  else causes.push(...podSpecCauses(at(object, "spec", "template", "spec"), "spec.template.spec"));
  const policy = textAt(object, "spec", "template", "spec", "restartPolicy");
  if (policy === "OnFailure" || policy === "Never")
    causes.push(notSupported("spec.template.spec.restartPolicy", policy, ["Always"]));
  return causes;
}

function defaultTemplate(object: ApiObject): void {
  if (!isRecord(object["spec"])) object["spec"] = {};
  const spec = recordAt(object, "spec");
  if (spec["replicas"] === undefined) spec["replicas"] = 1;
  const template = spec["template"];
  if (!isRecord(template)) return;
  if (template["metadata"] === undefined) template["metadata"] = {};
  defaultPodSpec(template["spec"]);
}

function intOrPercent(value: unknown): boolean {
  return typeof value === "number" ? value >= 0 : typeof value === "string" && /^\d+%$/.test(value);
}

function strategyCauses(deployment: ApiObject): Cause[] {
  const type = textAt(deployment, "spec", "strategy", "type");
  const rolling = at(deployment, "spec", "strategy", "rollingUpdate");
  if (type === "Recreate") {
    if (rolling === undefined) return [];
    return [
      {
        reason: "FieldValueForbidden",
        field: "spec.strategy.rollingUpdate",
        message: "Forbidden: may not be specified when strategy `type` is 'Recreate'",
      },
    ];
  }
  if (type !== "RollingUpdate") return [notSupported("spec.strategy.type", type, ["Recreate", "RollingUpdate"])];
  const causes: Cause[] = [];
  for (const field of ["maxSurge", "maxUnavailable"]) {
    const value = at(rolling, field);
    if (!intOrPercent(value)) {
      causes.push(
        invalidValue(`spec.strategy.rollingUpdate.${field}`, value, "must be an integer or a percentage (e.g '5%')"),
      );
    }
  }
  const zero = (value: unknown) => value === 0 || value === "0%";
  if (zero(at(rolling, "maxSurge")) && zero(at(rolling, "maxUnavailable"))) {
    causes.push(invalidValue("spec.strategy.rollingUpdate.maxUnavailable", 0, "may not be 0 when `maxSurge` is 0"));
  }
  return causes;
}

export const DEPLOYMENT_STRATEGY: Strategy = {
  defaults(deployment) {
    defaultTemplate(deployment);
    const spec = recordAt(deployment, "spec");
    if (!isRecord(spec["strategy"])) spec["strategy"] = {};
    const strategy = recordAt(spec, "strategy");
    if (strategy["type"] === undefined) strategy["type"] = "RollingUpdate";
    if (strategy["type"] === "RollingUpdate") {
      const rolling = recordAt(strategy, "rollingUpdate");
      strategy["rollingUpdate"] = { maxSurge: "25%", maxUnavailable: "25%", ...rolling };
    }
    if (spec["revisionHistoryLimit"] === undefined) spec["revisionHistoryLimit"] = 10;
    if (spec["progressDeadlineSeconds"] === undefined) spec["progressDeadlineSeconds"] = 600;
  },
  prepareCreate(deployment) {
    deployment["status"] = {};
  },
  validate: (deployment) => [...workloadCauses(deployment), ...strategyCauses(deployment)],
  validateUpdate: (deployment, old) =>
    immutable("spec.selector", at(deployment, "spec", "selector"), at(old, "spec", "selector")),
};

export const REPLICA_SET_STRATEGY: Strategy = {
  defaults: defaultTemplate,
  prepareCreate(set) {
    set["status"] = { replicas: 0 };
  },
  validate: workloadCauses,
  validateUpdate: (set, old) => immutable("spec.selector", at(set, "spec", "selector"), at(old, "spec", "selector")),
};

function containers(object: ApiObject, field: "name" | "image"): string {
  return listAt(object, "spec", "template", "spec", "containers")
    .map((one) => textAt(one, field))
    .join(",");
}

const WIDE: readonly Column[] = [
  column("Containers", (object) => containers(object, "name"), 1),
  column("Images", (object) => containers(object, "image"), 1),
  column("Selector", (object) => selectorText(recordAt(object, "spec", "selector", "matchLabels")), 1),
];

export const DEPLOYMENT_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  column("Ready", (one) => `${numberAt(one, 0, "status", "readyReplicas")}/${numberAt(one, 0, "spec", "replicas")}`),
  column("Up-to-date", (one) => numberAt(one, 0, "status", "updatedReplicas"), 0, "integer"),
  column("Available", (one) => numberAt(one, 0, "status", "availableReplicas"), 0, "integer"),
  AGE_COLUMN,
  ...WIDE,
];

export const REPLICA_SET_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  column("Desired", (one) => numberAt(one, 0, "spec", "replicas"), 0, "integer"),
  column("Current", (one) => numberAt(one, 0, "status", "replicas"), 0, "integer"),
  column("Ready", (one) => numberAt(one, 0, "status", "readyReplicas"), 0, "integer"),
  AGE_COLUMN,
  ...WIDE,
];
