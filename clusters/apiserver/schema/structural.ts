import { clone, equal, isRecord, type JsonObject } from "../object.ts";
import { type Cause, duplicate, invalidValue, notSupported, required } from "../status.ts";
import type { Schema } from "./schema.ts";

const EMBEDDED = new Set(["apiVersion", "kind", "metadata"]);

/** Drops what the schema does not know, in place; returns the paths dropped. */
export function prune(value: unknown, schema: Schema, path = "", root = true): string[] {
  if (Array.isArray(value)) {
    const items = schema.items;
    return items === undefined ? [] : value.flatMap((item, i) => prune(item, items, `${path}[${i}]`, false));
  }
  if (!isRecord(value)) return [];
  const dropped: string[] = [];
  const keepsMeta = root || schema["x-kubernetes-embedded-resource"] === true;
  for (const [key, item] of Object.entries(value)) {
    const at = path === "" ? key : `${path}.${key}`;
    const known =
      schema.properties !== undefined && Object.hasOwn(schema.properties, key) ? schema.properties[key] : undefined;
    if (keepsMeta && EMBEDDED.has(key)) continue;
    if (known !== undefined) dropped.push(...prune(item, known, at, false));
    else if (isRecord(schema.additionalProperties))
      dropped.push(...prune(item, schema.additionalProperties, at, false));
    else if (schema.additionalProperties !== true && schema["x-kubernetes-preserve-unknown-fields"] !== true) {
      delete value[key];
      dropped.push(at);
    }
  }
  return dropped;
}

/** Fills in defaults, in place; a null where null is not allowed and a default exists counts as absent. */
export function fillDefaults(value: unknown, schema: Schema): void {
  if (Array.isArray(value)) {
    if (schema.items !== undefined) for (const item of value) fillDefaults(item, schema.items);
    return;
  }
  if (!isRecord(value)) return;
  for (const [key, field] of Object.entries(schema.properties ?? {})) {
    if (field.default === undefined) {
      if (value[key] === null && field.nullable !== true) delete value[key];
    } else if (value[key] === undefined || (value[key] === null && field.nullable !== true)) {
      value[key] = clone(field.default);
    }
    if (value[key] !== undefined) fillDefaults(value[key], field);
  }
  if (isRecord(schema.additionalProperties)) {
    for (const [key, item] of Object.entries(value)) {
      if (schema.properties === undefined || !Object.hasOwn(schema.properties, key))
        fillDefaults(item, schema.additionalProperties);
    }
  }
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

const FORMATS: Readonly<Record<string, RegExp>> = {
  "date-time": /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/,
  date: /^\d{4}-\d\d-\d\d$/,
  ipv4: /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/,
  uuid: /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i,
  byte: /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
  email: /^[^@\s]+@[^@\s]+$/,
  hostname: /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})$/,
};

/** Why `value` breaks `schema`; empty where it does not. Messages as kube-openapi's validator words them. */
export function validate(value: unknown, schema: Schema, path: string): Cause[] {
  if (value === null && schema.nullable === true) return [];
  const field = path === "" ? "<nil>" : path;
  if (schema["x-kubernetes-int-or-string"] === true) {
    if (typeof value !== "string" && typeOf(value) !== "integer") {
      return [invalidType(field, "integer,string", value)];
    }
  } else if (schema.type !== undefined) {
    const actual = typeOf(value);
    if (actual !== schema.type && !(schema.type === "number" && actual === "integer"))
      return [invalidType(field, schema.type, value)];
  }
  return [
    ...validateScalar(value, schema, field),
    ...validateItems(value, schema, field),
    ...validateFields(value, schema, path),
    ...validateCombined(value, schema, path),
  ];
}

function invalidType(field: string, want: string, value: unknown): Cause {
  const cause = invalidValue(
    field,
    typeOf(value),
    `${field} in body must be of type ${want}: ${JSON.stringify(typeOf(value))}`,
  );
  return { ...cause, reason: "FieldValueTypeInvalid" };
}

function validateScalar(value: unknown, schema: Schema, field: string): Cause[] {
  const causes: Cause[] = [];
  const bad = (text: string) => causes.push(invalidValue(field, value, `${field} in body ${text}`));
  if (schema.enum !== undefined && !schema.enum.some((one) => equal(one, value)))
    causes.push(notSupported(field, value, schema.enum));
  if (typeof value === "string") {
    const length = [...value].length;
    if (schema.minLength !== undefined && length < schema.minLength)
      bad(`should be at least ${schema.minLength} chars long`);
    if (schema.maxLength !== undefined && length > schema.maxLength) {
      causes.push({
        reason: "FieldValueTooLong",
        field,
        message: `Too long: may not be more than ${schema.maxLength} bytes`,
      });
    }
    if (schema.pattern !== undefined && !matches(schema.pattern, value)) bad(`should match '${schema.pattern}'`);
    const format = schema.format === undefined ? undefined : FORMATS[schema.format];
    if (format !== undefined && !format.test(value)) bad(`must be of type ${schema.format}: ${JSON.stringify(value)}`);
  }
  if (typeof value === "number") {
    const { minimum, maximum, multipleOf } = schema;
    if (minimum !== undefined && (schema.exclusiveMinimum === true ? value <= minimum : value < minimum)) {
      bad(`should be greater than ${schema.exclusiveMinimum === true ? "" : "or equal to "}${minimum}`);
    }
    if (maximum !== undefined && (schema.exclusiveMaximum === true ? value >= maximum : value > maximum)) {
      bad(`should be less than ${schema.exclusiveMaximum === true ? "" : "or equal to "}${maximum}`);
    }
    if (
      multipleOf !== undefined &&
      multipleOf > 0 &&
      Math.abs(value / multipleOf - Math.round(value / multipleOf)) > 1e-9
    ) {
      bad(`should be a multiple of ${multipleOf}`);
    }
    if (schema.format === "int32" && (value > 2_147_483_647 || value < -2_147_483_648)) bad("must be of type int32");
  }
  return causes;
}

function validateItems(value: unknown, schema: Schema, field: string): Cause[] {
  if (!Array.isArray(value)) return [];
  const causes: Cause[] = [];
  if (schema.minItems !== undefined && value.length < schema.minItems) {
    causes.push(invalidValue(field, value.length, `${field} in body should have at least ${schema.minItems} items`));
  }
  if (schema.maxItems !== undefined && value.length > schema.maxItems) {
    const message = `Too many: ${value.length}: must have at most ${schema.maxItems} items`;
    causes.push({ reason: "FieldValueTooMany", field, message });
  }
  const keys = schema["x-kubernetes-list-map-keys"];
  const unique =
    schema.uniqueItems === true ||
    schema["x-kubernetes-list-type"] === "set" ||
    (schema["x-kubernetes-list-type"] === "map" && keys !== undefined);
  const seen = new Set<string>();
  for (const [i, item] of value.entries()) {
    if (schema.items !== undefined) causes.push(...validate(item, schema.items, `${field}[${i}]`));
    if (!unique) continue;
    const key =
      keys === undefined
        ? item
        : Object.fromEntries(keys.map((name) => [name, isRecord(item) ? item[name] : undefined]));
    const text = JSON.stringify(key);
    if (seen.has(text)) causes.push(duplicate(`${field}[${i}]`, key));
    seen.add(text);
  }
  return causes;
}

function validateFields(value: unknown, schema: Schema, path: string): Cause[] {
  if (!isRecord(value)) return [];
  const causes: Cause[] = [];
  const child = (name: string) => (path === "" ? name : `${path}.${name}`);
  for (const name of schema.required ?? []) if (value[name] === undefined) causes.push(required(child(name)));
  const count = Object.keys(value).length;
  if (schema.minProperties !== undefined && count < schema.minProperties) {
    causes.push(invalidValue(path, count, `${path} in body should have at least ${schema.minProperties} properties`));
  }
  if (schema.maxProperties !== undefined && count > schema.maxProperties) {
    causes.push({
      reason: "FieldValueTooMany",
      field: path,
      message: `Too many: ${count}: must have at most ${schema.maxProperties} items`,
    });
  }
  for (const [key, item] of Object.entries(value)) {
    const known =
      schema.properties !== undefined && Object.hasOwn(schema.properties, key) ? schema.properties[key] : undefined;
    if (known !== undefined) {
      if (!(path === "" && key === "metadata")) causes.push(...validate(item, known, child(key)));
    } else if (isRecord(schema.additionalProperties))
      causes.push(...validate(item, schema.additionalProperties, child(key)));
  }
  return causes;
}

function validateCombined(value: unknown, schema: Schema, path: string): Cause[] {
  const field = path === "" ? "<nil>" : path;
  const causes: Cause[] = [];
  const body: JsonObject | unknown = value;
  const bad = (text: string) => causes.push(invalidValue(field, body, `${field} in body ${text}`));
  for (const one of schema.allOf ?? []) causes.push(...validate(value, one, path));
  if (schema.anyOf !== undefined && !schema.anyOf.some((one) => validate(value, one, path).length === 0))
    bad("must validate at least one schema (anyOf)");
  if (
    schema.oneOf !== undefined &&
    schema.oneOf.filter((one) => validate(value, one, path).length === 0).length !== 1
  ) {
    bad("must validate one and only one schema (oneOf)");
  }
  if (schema.not !== undefined && validate(value, schema.not, path).length === 0)
    bad("must not validate the schema (not)");
  return causes;
}

/** RE2 patterns that JavaScript cannot read are not checked: the CRD's author tested them against Go. */
function matches(pattern: string, value: string): boolean {
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true;
  }
}
