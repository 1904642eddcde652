import { isRecord, type JsonObject, setKey } from "../object.ts";
import type { ResolveSchema, Schema } from "./schema.ts";

/** What reading a value by its schema found. */
export interface Decoded {
  /** The value without fields that the schema does not know, and without nulls. */
  readonly value: unknown;
  /** Paths of the fields dropped. */
  readonly unknown: readonly string[];
  /** Path and reason of the first value of a wrong type, as Go's decoder words it. */
  readonly mismatch: string | undefined;
}

const DATE_TIME = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function jsonType(value: unknown): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "boolean") return "bool";
  return value === null ? "null" : typeof value;
}

/**
 * Reads `value` as the API server's decoder does for built-in kinds: null is absent, unknown fields are dropped
 * and listed, a wrong type is a mismatch.
 */
export function decode(value: unknown, schema: Schema, resolve: ResolveSchema): Decoded {
  const unknown: string[] = [];
  let mismatch: string | undefined;
  const fail = (path: string, text: string) => {
    mismatch ??= `json: cannot unmarshal ${text}${path === "" ? "" : ` into Go struct field ${path}`}`;
  };

  const visit = (item: unknown, named: Schema, path: string): unknown => {
    const node = resolve(named);
    if (item === null) return undefined;
    if (node["x-kubernetes-preserve-unknown-fields"] === true) return item;
    if (node["x-kubernetes-int-or-string"] === true) {
      if (typeof item === "string") return item;
      if (typeof item === "number") return node.format === "quantity" ? String(item) : item;
      fail(path, `${jsonType(item)} of type ${node.format ?? "int-or-string"}`);
      return undefined;
    }
    switch (node.type) {
      case "object":
        if (!isRecord(item)) break;
        return visitObject(item, node, path);
      case "array": {
        if (!Array.isArray(item)) break;
        const items = node.items ?? {};
        return item.map((one: unknown, i) => visit(one, items, `${path}[${i}]`)).filter((one) => one !== undefined);
      }
      case "string":
        if (typeof item !== "string") break;
        if (node.format === "byte" && !BASE64.test(item)) {
          mismatch ??= `illegal base64 data in ${path}`;
          return undefined;
        }
        if (node.format === "date-time" && !DATE_TIME.test(item)) {
          mismatch ??= `parsing time ${JSON.stringify(item)} in ${path}: want RFC 3339`;
          return undefined;
        }
        return item;
      case "integer":
        if (typeof item !== "number") break;
        if (!Number.isInteger(item)) {
          fail(path, `number ${item} of type ${node.format ?? "int64"}`);
          return undefined;
        }
        return item;
      case "number":
        if (typeof item !== "number") break;
        return item;
      case "boolean":
        if (typeof item !== "boolean") break;
        return item;
      default:
        return item;
    }
    fail(path, `${jsonType(item)} of type ${node.type}`);
    return undefined;
  };

  const visitObject = (item: JsonObject, node: Schema, path: string): JsonObject => {
    const result: JsonObject = {};
    for (const [key, field] of Object.entries(item)) {
      const at = path === "" ? key : `${path}.${key}`;
      const known =
        node.properties !== undefined && Object.hasOwn(node.properties, key) ? node.properties[key] : undefined;
      const child = known ?? (typeof node.additionalProperties === "object" ? node.additionalProperties : undefined);
      if (child === undefined) {
        // No properties at all: an object of any shape (FieldsV1).
        if (node.properties === undefined || Object.keys(node.properties).length === 0) setKey(result, key, field);
        else unknown.push(at);
        continue;
      }
      const read = visit(field, child, at);
      if (read !== undefined) setKey(result, key, read);
    }
    return result;
  };

  return { value: visit(value, schema, ""), unknown, mismatch };
}

/** Paths of required strings, numbers and objects that `value` lacks. Lists may be absent: Go reads them as empty. */
export function missingFields(value: unknown, schema: Schema, resolve: ResolveSchema, path = ""): string[] {
  const node = resolve(schema);
  if (Array.isArray(value)) {
    const items = node.items;
    return items === undefined ? [] : value.flatMap((item, i) => missingFields(item, items, resolve, `${path}[${i}]`));
  }
  if (!isRecord(value)) return [];
  const missing: string[] = [];
  for (const name of node.required ?? []) {
    const field = node.properties?.[name];
    if (field === undefined || resolve(field).type === "array" || resolve(field).type === "boolean") continue;
    if (value[name] === undefined || value[name] === "") missing.push(path === "" ? name : `${path}.${name}`);
  }
  for (const [key, item] of Object.entries(value)) {
    if (path === "" && (key === "status" || key === "metadata")) continue;
    const field =
      node.properties?.[key] ?? (typeof node.additionalProperties === "object" ? node.additionalProperties : undefined);
    if (field !== undefined) missing.push(...missingFields(item, field, resolve, path === "" ? key : `${path}.${key}`));
  }
  return missing;
}
