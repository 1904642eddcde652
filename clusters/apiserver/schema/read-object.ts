import { groupVersion, type Kind } from "../kinds/kind.ts";
import { type ApiObject, clone, isRecord, type JsonObject } from "../object.ts";
import { badRequest } from "../status.ts";
import { resolveBuiltin } from "./builtin.ts";
import { decode } from "./decode.ts";
import { fillDefaults, prune } from "./structural.ts";

export type FieldValidation = "Ignore" | "Warn" | "Strict";

interface ReadOptions {
  readonly fieldValidation?: FieldValidation;
  readonly warn?: (text: string) => void;
}

/**
 * An object of `kind` from what a client sent: a copy, with unknown fields dropped (or refused, when strict) and
 * defaults filled in. @throws StatusError 400
 */
export function readObject(kind: Kind, body: unknown, options: ReadOptions): ApiObject {
  if (!isRecord(body))
    throw badRequest(
      `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: want a JSON object`,
    );
  const apiVersion = groupVersion(kind);
  const given: JsonObject = { apiVersion, kind: kind.kind, ...body };
  if (given["apiVersion"] === "") given["apiVersion"] = apiVersion;
  if (given["kind"] === "") given["kind"] = kind.kind;
  if (given["apiVersion"] !== apiVersion || given["kind"] !== kind.kind) {
    const sent = `${String(given["apiVersion"])}, Kind=${String(given["kind"])}`;
    throw badRequest(
      `the API version in the data (${sent}) does not match the expected API version (${apiVersion}, Kind=${kind.kind})`,
    );
  }
  const unknown: string[] = [];
  const object = kind.custom ? readCustom(kind, given, unknown) : readBuiltin(kind, given, unknown);
  if (unknown.length > 0 && options.fieldValidation === "Strict") {
    const fields = unknown.map((field) => `unknown field ${JSON.stringify(field)}`).join(", ");
    throw badRequest(
      `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: strict decoding error: ${fields}`,
    );
  }
  if (unknown.length > 0 && options.fieldValidation !== "Ignore") {
    for (const field of unknown) options.warn?.(`unknown field ${JSON.stringify(field)}`);
  }
  kind.strategy.defaults?.(object);
  return object;
}

function asObject(value: unknown): ApiObject {
  const object = value as ApiObject & { metadata?: unknown };
  if (!isRecord(object.metadata)) object.metadata = { name: "" };
  if (object.metadata.name === undefined) object.metadata.name = "";
  for (const field of ["labels", "annotations"] as const) {
    if (object.metadata[field] !== undefined && Object.keys(object.metadata[field]).length === 0)
      delete object.metadata[field];
  }
  return object;
}

function mismatchError(kind: Kind, mismatch: string): Error {
  return badRequest(`${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: ${mismatch}`);
}

function readBuiltin(kind: Kind, given: JsonObject, unknown: string[]): ApiObject {
  const read = decode(given, kind.schema, kind.resolve);
  if (read.mismatch !== undefined) throw mismatchError(kind, read.mismatch);
  unknown.push(...read.unknown);
  return asObject(clone(read.value));
}

function readCustom(kind: Kind, given: JsonObject, unknown: string[]): ApiObject {
  const metadata = decode(given["metadata"] ?? {}, { ref: "V1ObjectMeta" }, resolveBuiltin);
  if (metadata.mismatch !== undefined) throw mismatchError(kind, metadata.mismatch);
  const object: JsonObject = { ...clone(given), metadata: metadata.value };
  unknown.push(...metadata.unknown.map((field) => `metadata.${field}`));
  unknown.push(...prune(object, kind.schema));
  fillDefaults(object, kind.schema);
  return asObject(object);
}
