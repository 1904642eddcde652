import builtinTypes from "./builtin-types.json" with { type: "json" };
import { MERGE_TAGS } from "./merge-keys.ts";
import type { Schema } from "./schema.ts";

interface TypeDescription {
  readonly description: string;
  /** `<type>[!] <description>`, `!` meaning required. */
  readonly fields: Readonly<Record<string, string>>;
}

const TYPES: Readonly<Record<string, TypeDescription>> = builtinTypes;

function schemaOfType(type: string): Schema {
  if (type.startsWith("[]")) return { type: "array", items: schemaOfType(type.slice(2)) };
  if (type.startsWith("map:")) return { type: "object", additionalProperties: schemaOfType(type.slice(4)) };
  switch (type) {
    case "string":
    case "boolean":
    case "number":
      return { type };
    case "int32":
    case "int64":
      return { type: "integer", format: type };
    case "date-time":
    case "byte":
      return { type: "string", format: type };
    case "int-or-string":
      return { "x-kubernetes-int-or-string": true, format: "int-or-string" };
    case "quantity":
      return { "x-kubernetes-int-or-string": true, format: "quantity" };
    case "any":
      return { "x-kubernetes-preserve-unknown-fields": true };
    default:
      return { ref: type };
  }
}

function build(name: string, { description, fields }: TypeDescription): Schema {
  const properties: Record<string, Schema> = {};
  const required: string[] = [];
  for (const [field, text] of Object.entries(fields)) {
    const space = text.indexOf(" ");
    const head = space < 0 ? text : text.slice(0, space);
    const described =
      space < 0 ? (TYPES[head.replace(/^(\[\]|map:)|!$/g, "")]?.description ?? "") : text.slice(space + 1);
    if (head.endsWith("!")) required.push(field);
    const tag = MERGE_TAGS[`${name}.${field}`];
    properties[field] = {
      ...schemaOfType(head.replace("!", "")),
      ...(described === "" ? {} : { description: described }),
      ...(tag === undefined ? {} : { "x-kubernetes-patch-strategy": tag.strategy }),
      ...(tag?.key === undefined ? {} : { "x-kubernetes-patch-merge-key": tag.key }),
    };
  }
  return { type: "object", description, properties, ...(required.length === 0 ? {} : { required }) };
}

const SCHEMAS: ReadonlyMap<string, Schema> = new Map(
  Object.entries(TYPES).map(([name, type]) => [name, build(name, type)]),
);

/** Every built-in type by name. */
export function builtinSchemas(): ReadonlyMap<string, Schema> {
  return SCHEMAS;
}

/** The schema itself, or the built-in type that it names. */
export function resolveBuiltin(schema: Schema): Schema {
  return schema.ref === undefined
    ? schema
    : (SCHEMAS.get(schema.ref) ?? { "x-kubernetes-preserve-unknown-fields": true });
}
