import { type ApiObject, equal, isRecord, listAt, textAt } from "../object.ts";
import { type Cause, forbiddenField, notSupported, required } from "../status.ts";
import { AGE_COLUMN, column, NAME_COLUMN } from "./columns.ts";
import type { Column, Strategy } from "./kind.ts";

function ruleCauses(role: ApiObject): Cause[] {
  const causes: Cause[] = [];
  for (const [i, rule] of listAt(role, "rules").entries()) {
    if (listAt(rule, "verbs").length === 0)
      causes.push(required(`rules[${i}].verbs`, "verbs must contain at least one value"));
    if (listAt(rule, "nonResourceURLs").length > 0) continue;
    if (listAt(rule, "apiGroups").length === 0)
      causes.push(required(`rules[${i}].apiGroups`, "resource rules must supply at least one api group"));
    if (listAt(rule, "resources").length === 0)
      causes.push(required(`rules[${i}].resources`, "resource rules must supply at least one resource"));
  }
  return causes;
}

export const ROLE_STRATEGY: Strategy = {
  defaults(role) {
    if (!Array.isArray(role["rules"])) role["rules"] = [];
  },
  validate: ruleCauses,
};

function bindingCauses(binding: ApiObject): Cause[] {
  const causes: Cause[] = [];
  const kinds = binding.kind === "ClusterRoleBinding" ? ["ClusterRole"] : ["Role", "ClusterRole"];
  const kind = textAt(binding, "roleRef", "kind");
  if (!kinds.includes(kind)) causes.push(notSupported("roleRef.kind", kind, kinds));
  if (textAt(binding, "roleRef", "name") === "") causes.push(required("roleRef.name"));
  for (const [i, subject] of listAt(binding, "subjects").entries()) {
    const at = `subjects[${i}]`;
    if (textAt(subject, "name") === "") causes.push(required(`${at}.name`));
    const kindOf = textAt(subject, "kind");
    if (!["ServiceAccount", "User", "Group"].includes(kindOf))
      causes.push(notSupported(`${at}.kind`, kindOf, ["Group", "ServiceAccount", "User"]));
    if (kindOf === "ServiceAccount" && binding.kind === "ClusterRoleBinding" && textAt(subject, "namespace") === "") {
      causes.push(required(`${at}.namespace`));
    }
  }
  return causes;
}

export const BINDING_STRATEGY: Strategy = {
  defaults(binding) {
    const ref = binding["roleRef"];
    if (isRecord(ref) && ref["apiGroup"] === undefined) ref["apiGroup"] = "rbac.authorization.k8s.io";
    for (const subject of listAt(binding, "subjects")) {
      if (!isRecord(subject) || subject["apiGroup"] !== undefined) continue;
      if (subject["kind"] === "User" || subject["kind"] === "Group") subject["apiGroup"] = "rbac.authorization.k8s.io";
      if (
        subject["kind"] === "ServiceAccount" &&
        subject["namespace"] === undefined &&
        binding.metadata.namespace !== undefined
      ) {
        subject["namespace"] = binding.metadata.namespace;
      }
    }
  },
  validate: bindingCauses,
  validateUpdate: (binding, old) =>
    equal(binding["roleRef"], old["roleRef"]) ? [] : [forbiddenField("roleRef", "cannot change roleRef")],
};

export const ROLE_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  column("Created At", (role) => role.metadata.creationTimestamp ?? "", 0, "date"),
];

export const BINDING_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  column("Role", (binding) => `${textAt(binding, "roleRef", "kind")}/${textAt(binding, "roleRef", "name")}`),
  AGE_COLUMN,
];
