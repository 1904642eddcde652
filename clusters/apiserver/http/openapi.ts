import type { Catalog } from "../kinds/catalog.ts";
import type { Kind } from "../kinds/kind.ts";
import { isRecord, type JsonObject } from "../object.ts";
import { builtinSchemas } from "../schema/builtin.ts";
import type { Schema } from "../schema/schema.ts";

const PREFIX = "#/components/schemas/";

function pathOf(group: string, version: string): string {
  return group === "" ? `api/${version}` : `apis/${group}/${version}`;
}

/** `/openapi/v3`: where each group-version's document is. */
export function openApiIndex(catalog: Catalog): JsonObject {
  const paths: JsonObject = {};
  for (const { group, version } of catalog.all()) {
    const path = pathOf(group, version);
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${catalog.generation}` };
  }
  return { paths };
}

/** The document of one group-version; undefined where it is not served. */
export function openApiDocument(catalog: Catalog, group: string, version: string): JsonObject | undefined {
  const kinds = catalog.all().filter((kind) => kind.group === group && kind.version === version);
  if (kinds.length === 0) return undefined;
  const schemas: JsonObject = {};
  const paths: JsonObject = {};
  const collect = new Set<string>();
  for (const kind of kinds) {
    const name = schemaName(kind);
    const root = kind.resolve(kind.schema);
    const gvk = { group: kind.group, version: kind.version, kind: kind.kind };
    schemas[name] = { ...described(withMeta(root, kind), collect), "x-kubernetes-group-version-kind": [gvk] };
    schemas[`${name}List`] = listSchema(name, { ...gvk, kind: `${kind.kind}List` });
    addPaths(paths, kind, name, gvk);
  }
  collect.add("V1ObjectMeta");
  const all = builtinSchemas();
  // The set grows while it is walked.
  for (const name of collect) {
    const schema = all.get(name);
    const component = componentName(name);
    if (schema !== undefined && schemas[component] === undefined) schemas[component] = described(schema, collect);
  }
  schemas[componentName("V1ListMeta")] = {
    type: "object",
    properties: { resourceVersion: { type: "string" }, continue: { type: "string" } },
  };
  return { openapi: "3.0.0", info: { title: "Kubernetes", version: "local" }, paths, components: { schemas } };
}

function schemaName(kind: Kind): string {
  if (kind.schema.ref !== undefined) return componentName(kind.schema.ref);
  return `${kind.group.split(".").reverse().join(".")}.${kind.version}.${kind.kind}`;
}

/** kubectl explain shows what follows the last dot. */
function componentName(type: string): string {
  return `io.k8s.api.${type.replace(/^([A-Z][a-z]+)?V1/, (_, group?: string) => `${(group ?? "").toLowerCase()}v1.`)}`;
}

function withMeta(schema: Schema, kind: Kind): Schema {
  if (!kind.custom) return schema;
  return {
    ...schema,
    properties: {
      ...schema.properties,
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: { ref: "V1ObjectMeta" },
    },
  };
}

/** A schema as the document writes it: references by path, int-or-string spelled out. */
function described(value: unknown, collect: Set<string>): JsonObject {
  if (!isRecord(value)) return {};
  const { ref, ...rest } = value as JsonObject & Schema;
  if (typeof ref === "string") {
    collect.add(ref);
    const { description } = rest;
    return {
      ...(description === undefined ? {} : { description }),
      allOf: [{ $ref: PREFIX + componentName(ref) }],
      default: {},
    };
  }
  const result: JsonObject = { ...rest };
  if (isRecord(rest.properties)) {
    result["properties"] = Object.fromEntries(
      Object.entries(rest.properties).map(([key, field]) => [key, described(field, collect)]),
    );
  }
  if (rest.items !== undefined) result["items"] = described(rest.items, collect);
  if (isRecord(rest.additionalProperties))
    result["additionalProperties"] = described(rest.additionalProperties, collect);
  if (rest["x-kubernetes-int-or-string"] === true) result["oneOf"] = [{ type: "string" }, { type: "integer" }];
  return result;
}

function listSchema(name: string, gvk: JsonObject): JsonObject {
  const properties = {
    apiVersion: { type: "string" },
    kind: { type: "string" },
    metadata: { $ref: PREFIX + componentName("V1ListMeta") },
    items: { type: "array", items: { $ref: PREFIX + name } },
  };
  return { type: "object", properties, required: ["items"], "x-kubernetes-group-version-kind": [gvk] };
}

function parameter(name: string): JsonObject {
  return { name, in: "query", schema: { type: "string", uniqueItems: true } };
}

function operation(action: string, gvk: JsonObject, schema: string, body: readonly string[]): JsonObject {
  const content = (types: readonly string[], value: JsonObject) =>
    Object.fromEntries(types.map((type) => [type, { schema: value }]));
  const writes = body.length > 0;
  return {
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": gvk,
    parameters: writes ? ["dryRun", "fieldManager", "fieldValidation"].map(parameter) : [],
    ...(writes ? { requestBody: { required: true, content: content(body, { $ref: PREFIX + schema }) } } : {}),
    responses: { "200": { description: "OK", content: content(["application/json"], { $ref: PREFIX + schema }) } },
  };
}

const PATCH_TYPES = ["application/json-patch+json", "application/merge-patch+json"];

function addPaths(paths: JsonObject, kind: Kind, schema: string, gvk: JsonObject): void {
  const base = `/${pathOf(kind.group, kind.version)}`;
  const scope = kind.namespaced ? "/namespaces/{namespace}" : "";
  const patchTypes = kind.custom ? PATCH_TYPES : [...PATCH_TYPES, "application/strategic-merge-patch+json"];
  paths[`${base}${scope}/${kind.plural}`] = {
    get: operation("list", gvk, `${schema}List`, []),
    post: operation("post", gvk, schema, ["application/json"]),
  };
  paths[`${base}${scope}/${kind.plural}/{name}`] = {
    get: operation("get", gvk, schema, []),
    put: operation("put", gvk, schema, ["application/json"]),
    patch: operation("patch", gvk, schema, patchTypes),
    delete: operation("delete", gvk, schema, []),
  };
  if (kind.namespaced) paths[`${base}/${kind.plural}`] = { get: operation("list", gvk, `${schema}List`, []) };
}

/** The group and version that `/openapi/v3/<path>` names. */
export function openApiTarget(path: string): { readonly group: string; readonly version: string } | undefined {
  const parts = path.replace("/openapi/v3/", "").split("/");
  if (parts[0] === "api" && parts.length === 2) return { group: "", version: parts[1] ?? "" };
  if (parts[0] === "apis" && parts.length === 3) return { group: parts[1] ?? "", version: parts[2] ?? "" };
  return undefined;
}
