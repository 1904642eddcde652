import { type ApiObject, isRecord, type JsonObject, listAt, recordAt, textAt, timestamp } from "../object.ts";
import type { Schema } from "../schema/schema.ts";
import { type Cause, invalidValue, notSupported, required } from "../status.ts";
import { AGE_COLUMN, age, NAME_COLUMN } from "./columns.ts";
import { parseJsonPath } from "./json-path.ts";
import { ALL_VERBS, type Column, type Kind, type KindContext, type ScalePaths, type Strategy } from "./kind.ts";
import { immutable, nameFaults } from "./metadata.ts";

/** Held until the controller has deleted every instance. */
export const INSTANCES_FINALIZER = "customresourcecleanup.apiextensions.k8s.io";

function versions(crd: ApiObject): JsonObject[] {
  return listAt(crd, "spec", "versions").filter(isRecord);
}

function condition(type: string, reason: string, message: string, wallMs: number): JsonObject {
  return { type, status: "True", reason, message, lastTransitionTime: timestamp(wallMs) };
}

function accept(crd: ApiObject, old: ApiObject | undefined, { wallMs }: KindContext): void {
  const storage = textAt(
    versions(crd).find((one) => one["storage"] === true),
    "name",
  );
  const stored = listAt(old, "status", "storedVersions");
  const conditions = listAt(old, "status", "conditions");
  const now = wallMs();
  crd["status"] = {
    conditions:
      conditions.length > 0
        ? conditions
        : [
            condition("NamesAccepted", "NoConflicts", "no conflicts found", now),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted", now),
          ],
    acceptedNames: recordAt(crd, "spec", "names"),
    storedVersions: stored.includes(storage) ? stored : [...stored, storage],
  };
}

function versionCauses(version: JsonObject, field: string): Cause[] {
  const causes: Cause[] = [];
  const name = textAt(version, "name");
  if (name === "") causes.push(required(`${field}.name`));
  else for (const fault of nameFaults(name, "label1035")) causes.push(invalidValue(`${field}.name`, name, fault));
  const schema = recordAt(version, "schema")["openAPIV3Schema"];
  if (!isRecord(schema)) causes.push(required(`${field}.schema.openAPIV3Schema`, "schemas are required"));
  else causes.push(...schemaCauses(schema, `${field}.schema.openAPIV3Schema`, true));
  for (const [i, printed] of listAt(version, "additionalPrinterColumns").entries()) {
    const at = `${field}.additionalPrinterColumns[${i}]`;
    const type = textAt(printed, "type");
    if (!["integer", "number", "string", "boolean", "date"].includes(type)) {
      causes.push(notSupported(`${at}.type`, type, ["boolean", "date", "integer", "number", "string"]));
    }
    const path = textAt(printed, "jsonPath");
    if (parseJsonPath(path) === undefined)
      causes.push(invalidValue(`${at}.jsonPath`, path, "is not a JSON path that can be read"));
  }
  return causes;
}

function schemaCauses(schema: JsonObject, field: string, root: boolean): Cause[] {
  const causes: Cause[] = [];
  const type = schema["type"];
  if (root && type !== "object") causes.push(invalidValue(`${field}.type`, type ?? "", "must be object at the root"));
  const free = schema["x-kubernetes-preserve-unknown-fields"] === true || schema["x-kubernetes-int-or-string"] === true;
  if (type === undefined && !free)
    causes.push(required(`${field}.type`, "must not be empty for specified object fields"));
  if (type !== undefined && !["object", "array", "string", "integer", "number", "boolean"].includes(String(type))) {
    causes.push(notSupported(`${field}.type`, type, ["array", "boolean", "integer", "number", "object", "string"]));
  }
  for (const [name, child] of Object.entries(recordAt(schema, "properties"))) {
    if (isRecord(child)) causes.push(...schemaCauses(child, `${field}.properties[${name}]`, false));
  }
  if (isRecord(schema["items"])) causes.push(...schemaCauses(schema["items"], `${field}.items`, false));
  else if (type === "array") causes.push(required(`${field}.items`, "must be specified"));
  if (isRecord(schema["additionalProperties"]))
    causes.push(...schemaCauses(schema["additionalProperties"], `${field}.additionalProperties`, false));
  return causes;
}

function validate(crd: ApiObject): Cause[] {
  const causes: Cause[] = [];
  const group = textAt(crd, "spec", "group");
  const plural = textAt(crd, "spec", "names", "plural");
  if (group === "") causes.push(required("spec.group"));
  else for (const fault of nameFaults(group, "subdomain")) causes.push(invalidValue("spec.group", group, fault));
  if (!group.includes(".") && group !== "")
    causes.push(invalidValue("spec.group", group, "should be a domain with at least one dot"));
  if (plural === "") causes.push(required("spec.names.plural"));
  if (textAt(crd, "spec", "names", "kind") === "") causes.push(required("spec.names.kind"));
  if (crd.metadata.name !== `${plural}.${group}`) {
    causes.push(invalidValue("metadata.name", crd.metadata.name, `must be spec.names.plural+"."+spec.group`));
  }
  const scope = textAt(crd, "spec", "scope");
  if (scope !== "Namespaced" && scope !== "Cluster")
    causes.push(notSupported("spec.scope", scope, ["Cluster", "Namespaced"]));
  const storages = versions(crd).filter((one) => one["storage"] === true).length;
  if (storages !== 1) {
    causes.push(invalidValue("spec.versions", null, "must have exactly one version marked as storage version"));
  }
  const conversion = textAt(crd, "spec", "conversion", "strategy");
  if (conversion !== "None") causes.push(notSupported("spec.conversion.strategy", conversion, ["None"]));
  for (const [i, version] of versions(crd).entries()) causes.push(...versionCauses(version, `spec.versions[${i}]`));
  return causes;
}

export const CUSTOM_RESOURCE_DEFINITION_STRATEGY: Strategy = {
  defaults(crd) {
    const names = recordAt(crd, "spec", "names");
    const kind = textAt(names, "kind");
    if (names["singular"] === undefined) names["singular"] = kind.toLowerCase();
    if (names["listKind"] === undefined) names["listKind"] = `${kind}List`;
    const spec = crd["spec"];
    if (isRecord(spec) && spec["conversion"] === undefined) spec["conversion"] = { strategy: "None" };
    for (const version of versions(crd)) {
      if (version["served"] === undefined) version["served"] = false;
      if (version["storage"] === undefined) version["storage"] = false;
    }
  },
  prepareCreate(crd, context) {
    accept(crd, undefined, context);
    crd.metadata.finalizers = [...new Set([...(crd.metadata.finalizers ?? []), INSTANCES_FINALIZER])];
  },
  prepareUpdate(crd, old, context) {
    accept(crd, old, context);
  },
  validate,
  validateUpdate(crd, old) {
    return ["group", "scope"].flatMap((field) =>
      immutable(`spec.${field}`, recordAt(crd, "spec")[field], recordAt(old, "spec")[field]),
    );
  },
};

function printerColumns(version: JsonObject): Column[] {
  const given = listAt(version, "additionalPrinterColumns").filter(isRecord);
  if (given.length === 0) return [NAME_COLUMN, AGE_COLUMN];
  const columns: Column[] = [NAME_COLUMN];
  for (const one of given) {
    const read = parseJsonPath(textAt(one, "jsonPath")) ?? (() => undefined);
    const type = textAt(one, "type") as Column["type"];
    const described = textAt(one, "description");
    columns.push({
      name: textAt(one, "name"),
      // The server prints ages, so that the cell is text.
      type: type === "date" ? "date" : type,
      priority: typeof one["priority"] === "number" ? one["priority"] : 0,
      ...(described === "" ? {} : { description: described }),
      value: (object, wallMs) => {
        const found = read(object);
        if (found === undefined) return type === "date" ? "" : null;
        if (type === "date") return age(found, wallMs);
        return typeof found === "object" ? JSON.stringify(found) : type === "string" ? String(found) : found;
      },
    });
  }
  return columns;
}

function withoutDot(path: string): string {
  return path.startsWith(".") ? path.slice(1) : path;
}

function scaleOf(version: JsonObject): ScalePaths | undefined {
  const scale = recordAt(version, "subresources")["scale"];
  if (!isRecord(scale)) return undefined;
  const selector = textAt(scale, "labelSelectorPath");
  return {
    specReplicas: withoutDot(textAt(scale, "specReplicasPath")),
    statusReplicas: withoutDot(textAt(scale, "statusReplicasPath")),
    labelSelector: selector === "" ? undefined : withoutDot(selector),
  };
}

/** The kinds that a CustomResourceDefinition serves, one per served version. */
export function customKinds(crd: ApiObject): Kind[] {
  const names = recordAt(crd, "spec", "names");
  const group = textAt(crd, "spec", "group");
  const plural = textAt(names, "plural");
  const namespaced = textAt(crd, "spec", "scope") === "Namespaced";
  const storageVersion = textAt(
    versions(crd).find((one) => one["storage"] === true),
    "name",
  );
  const strings = (field: string) => listAt(names, field).filter((one): one is string => typeof one === "string");
  return versions(crd)
    .filter((version) => version["served"] === true)
    .map((version): Kind => {
      const selectable = listAt(version, "selectableFields").map((one) => withoutDot(textAt(one, "jsonPath")));
      return {
        group,
        version: textAt(version, "name"),
        storageVersion,
        kind: textAt(names, "kind"),
        plural,
        singular: textAt(names, "singular"),
        shortNames: strings("shortNames"),
        categories: strings("categories"),
        namespaced,
        resource: `${group}/${plural}`,
        names: "subdomain",
        schema: recordAt(version, "schema", "openAPIV3Schema") as Schema,
        resolve: (schema) => schema,
        custom: true,
        statusSubresource: isRecord(recordAt(version, "subresources")["status"]),
        scale: scaleOf(version),
        generation: true,
        unconditionalUpdate: false,
        returnsDeleted: false,
        verbs: ALL_VERBS,
        subresources: [],
        fields: new Set(["metadata.name", ...(namespaced ? ["metadata.namespace"] : []), ...selectable]),
        columns: printerColumns(version),
        strategy: {},
      };
    });
}
