import { type JsonObject, setKey, timestamp } from "../object.ts";
import { badRequest } from "../status.ts";
import { builtinSchemas, resolveBuiltin } from "./builtin.ts";
import protobufFields from "./protobuf-fields.json" with { type: "json" };
import type { Schema } from "./schema.ts";

/** Field number to JSON name, with a `*` where a zero counts; or to the fields of a message that JSON inlines. */
interface Fields {
  readonly [number: string]: string | Fields;
}

const FIELDS = protobufFields as unknown as Readonly<Record<string, Fields>>;
const MAGIC = "k8s\0";
const MAX_DEPTH = 64;

interface Field {
  readonly number: number;
  /** A varint, or the bytes of anything longer. */
  readonly value: bigint | Uint8Array;
}

function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): bigint => {
    let result = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      result |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, result);
    }
    throw badRequest("the protobuf body is damaged");
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const number = Math.floor(tag / 8);
    const wire = tag % 8;
    if (wire === 0) yield { number, value: varint() };
    else {
      const length = wire === 1 ? 8 : wire === 5 ? 4 : wire === 2 ? Number(varint()) : -1;
      if (length < 0 || at + length > bytes.length) throw badRequest("the protobuf body is damaged");
      yield { number, value: bytes.subarray(at, at + length) };
      at += length;
    }
  }
}

function bytesAt(bytes: Uint8Array, number: number): Uint8Array {
  for (const field of fieldsOf(bytes))
    if (field.number === number && typeof field.value !== "bigint") return field.value;
  return new Uint8Array();
}

function varintAt(bytes: Uint8Array, number: number): number {
  for (const field of fieldsOf(bytes))
    if (field.number === number && typeof field.value === "bigint") return Number(field.value);
  return 0;
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("utf8");
}

function json(bytes: Uint8Array): unknown {
  try {
    return bytes.length === 0 ? undefined : JSON.parse(text(bytes));
  } catch {
    throw badRequest("the protobuf body holds JSON that cannot be read");
  }
}

/** One value by its schema; undefined for a zero that JSON leaves out. */
function fieldValue(value: bigint | Uint8Array, named: Schema, keepZero: boolean, depth: number): unknown {
  if (depth > MAX_DEPTH) throw badRequest("the protobuf body is nested too deep");
  const schema = resolveBuiltin(named);
  if (typeof value === "bigint") {
    if (schema.type === "boolean") return value !== 0n || keepZero ? value !== 0n : undefined;
    return value !== 0n || keepZero ? Number(value) : undefined;
  }
  if (named.ref !== undefined) return message(value, FIELDS[named.ref] ?? {}, schema, depth + 1);
  if (schema["x-kubernetes-int-or-string"] === true) {
    if (schema.format === "quantity") return text(bytesAt(value, 1));
    return varintAt(value, 1) === 1 ? text(bytesAt(value, 3)) : varintAt(value, 2);
  }
  if (schema["x-kubernetes-preserve-unknown-fields"] === true) return json(bytesAt(value, 1));
  if (schema.format === "date-time") {
    const seconds = varintAt(value, 1);
    return seconds <= 0 ? undefined : timestamp(seconds * 1000);
  }
  if (schema.format === "byte") return Buffer.from(value).toString("base64");
  return value.length > 0 || keepZero ? text(value) : undefined;
}

function message(bytes: Uint8Array, fields: Fields, schema: Schema, depth: number): JsonObject {
  if (depth > MAX_DEPTH) throw badRequest("the protobuf body is nested too deep");
  const result: JsonObject = {};
  for (const { number, value } of fieldsOf(bytes)) {
    const field = fields[number];
    if (field === undefined) continue;
    if (typeof field !== "string") {
      if (typeof value !== "bigint") Object.assign(result, message(value, field, schema, depth + 1));
      continue;
    }
    const name = field.replace("*", "");
    const named = schema.properties?.[name];
    if (named === undefined) continue;
    if (named.type === "array") {
      const list = Array.isArray(result[name]) ? (result[name] as unknown[]) : [];
      const item = fieldValue(value, named.items ?? {}, true, depth);
      if (item !== undefined) list.push(item);
      result[name] = list;
    } else if (
      named.additionalProperties !== undefined &&
      typeof named.additionalProperties === "object" &&
      typeof value !== "bigint"
    ) {
      const map = (result[name] ?? {}) as JsonObject;
      setKey(map, text(bytesAt(value, 1)), mapValue(value, named.additionalProperties, depth));
      result[name] = map;
    } else {
      const one = fieldValue(value, named, field.endsWith("*"), depth);
      if (one !== undefined) result[name] = one;
    }
  }
  return result;
}

function mapValue(entry: Uint8Array, schema: Schema, depth: number): unknown {
  const value = bytesAt(entry, 2);
  if (schema.type === "array")
    return [...fieldsOf(value)].map((item) => fieldValue(item.value, schema.items ?? {}, true, depth + 1));
  return fieldValue(value, schema, true, depth + 1);
}

function typeOfKind(kind: string, apiVersion: string): string | undefined {
  const core = apiVersion === "v1" ? ["Core"] : [];
  return [...core, "", "Authentication", "Rbac", "Discovery"]
    .map((prefix) => `${prefix}V1${kind}`)
    .find((name) => builtinSchemas().has(name) && FIELDS[name] !== undefined);
}

/**
 * The JSON form of a body in Kubernetes' protobuf encoding, which kubectl's typed commands (create namespace, create
 * deployment, …) send without asking. Source: apimachinery's runtime/serializer/protobuf. @throws StatusError 400
 */
export function decodeProtobuf(body: Uint8Array): unknown {
  if (Buffer.from(body.subarray(0, 4)).toString("latin1") !== MAGIC)
    throw badRequest("the protobuf body lacks its prefix");
  const envelope = body.subarray(4);
  const meta = bytesAt(envelope, 1);
  const apiVersion = text(bytesAt(meta, 1));
  const kind = text(bytesAt(meta, 2));
  const type = typeOfKind(kind, apiVersion);
  if (type === undefined) throw badRequest(`no protobuf form of ${apiVersion}, Kind=${kind} is known; send JSON`);
  return { apiVersion, kind, ...message(bytesAt(envelope, 2), FIELDS[type] ?? {}, resolveBuiltin({ ref: type }), 0) };
}
