import { clone, equal, isRecord, type JsonObject, setKey } from "../object.ts";
import type { ResolveSchema, Schema } from "../schema/schema.ts";
import { badRequest } from "../status.ts";

const ORDER = "$setElementOrder/";
const DELETE_PRIMITIVES = "$deleteFromPrimitiveList/";

/**
 * `target` after a strategic merge patch: lists merge by the schema's merge keys; the directives are `$patch`
 * (delete, replace, merge), `$retainKeys`, `$setElementOrder/<list>` and `$deleteFromPrimitiveList/<list>`.
 * Source: apimachinery's strategicpatch and its design note. @throws StatusError 400
 */
export function applyStrategicMerge(target: unknown, patch: unknown, schema: Schema, resolve: ResolveSchema): unknown {
  if (!isRecord(patch)) throw badRequest("a strategic merge patch must be an object");
  return mergeObject(isRecord(target) ? target : {}, patch, schema, resolve);
}

function mergeObject(target: JsonObject, patch: JsonObject, named: Schema, resolve: ResolveSchema): JsonObject {
  const schema = resolve(named);
  if (patch["$patch"] === "replace") return withoutDirectives(patch);
  if (patch["$patch"] === "delete") return {};
  const result: JsonObject = { ...target };
  const retain = patch["$retainKeys"];
  if (Array.isArray(retain)) for (const key of Object.keys(result)) if (!retain.includes(key)) delete result[key];
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith("$")) continue;
    const current = Object.hasOwn(result, key) ? result[key] : undefined;
    if (value === null) {
      delete result[key];
      continue;
    }
    const field = fieldOf(schema, key);
    if (Array.isArray(value)) {
      setKey(result, key, mergeList(Array.isArray(current) ? current : [], value, patch[ORDER + key], field, resolve));
    } else if (isRecord(value))
      setKey(result, key, mergeObject(isRecord(current) ? current : {}, value, field, resolve));
    else setKey(result, key, value);
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith(DELETE_PRIMITIVES) && Array.isArray(value)) {
      const name = key.slice(DELETE_PRIMITIVES.length);
      const current = result[name];
      if (Array.isArray(current)) result[name] = current.filter((item) => !value.some((gone) => equal(gone, item)));
    }
    if (key.startsWith(ORDER) && Array.isArray(value)) {
      const name = key.slice(ORDER.length);
      const current = result[name];
      if (Array.isArray(current))
        result[name] = inOrder(current, value, fieldOf(schema, name)["x-kubernetes-patch-merge-key"]);
    }
  }
  return result;
}

function fieldOf(schema: Schema, key: string): Schema {
  if (schema.properties !== undefined && Object.hasOwn(schema.properties, key)) return schema.properties[key] ?? {};
  return typeof schema.additionalProperties === "object" ? schema.additionalProperties : {};
}

function mergeList(
  target: readonly unknown[],
  patch: readonly unknown[],
  order: unknown,
  field: Schema,
  resolve: ResolveSchema,
): unknown[] {
  const strategy = field["x-kubernetes-patch-strategy"] ?? "";
  if (!strategy.includes("merge")) return patch.map((item) => (isRecord(item) ? withoutDirectives(item) : clone(item)));
  const mergeKey = field["x-kubernetes-patch-merge-key"];
  if (mergeKey === undefined) {
    const result = [...target];
    for (const item of patch) if (!result.some((one) => equal(one, item))) result.push(clone(item));
    return result;
  }
  const replaces = patch.some((item) => isRecord(item) && item["$patch"] === "replace" && item[mergeKey] === undefined);
  let result: unknown[] = replaces ? [] : [...target];
  for (const item of patch) {
    if (!isRecord(item)) throw badRequest(`cannot merge a list by "${mergeKey}": an item is not an object`);
    const value = item[mergeKey];
    if (value === undefined) {
      if (item["$patch"] === "replace") continue;
      throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`);
    }
    if (item["$patch"] === "delete") {
      result = result.filter((one) => !isRecord(one) || one[mergeKey] !== value);
      continue;
    }
    const found = result.findIndex((one) => isRecord(one) && one[mergeKey] === value);
    const current = found < 0 ? undefined : result[found];
    const merged = mergeObject(isRecord(current) ? current : {}, item, field.items ?? {}, resolve);
    if (found < 0) result.push(merged);
    else result[found] = merged;
  }
  return Array.isArray(order) ? inOrder(result, order, mergeKey) : result;
}

/** Items in the order that the patch names; items only the server has keep their place relative to what precedes them. */
function inOrder(items: readonly unknown[], order: readonly unknown[], mergeKey: string | undefined): unknown[] {
  const keyOf = (item: unknown) => JSON.stringify(mergeKey !== undefined && isRecord(item) ? item[mergeKey] : item);
  const rank = new Map(order.map((item, i) => [keyOf(item), i]));
  const named = items
    .filter((item) => rank.has(keyOf(item)))
    .sort((a, b) => (rank.get(keyOf(a)) ?? 0) - (rank.get(keyOf(b)) ?? 0));
  const result: unknown[] = [];
  let next = 0;
  for (const item of items) {
    if (rank.has(keyOf(item))) result.push(named[next++]);
    else result.push(item);
  }
  return result;
}

function withoutDirectives(patch: JsonObject): JsonObject {
  const result: JsonObject = {};
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith("$") || value === null) continue;
    if (Array.isArray(value))
      setKey(
        result,
        key,
        value.map((item: unknown) => (isRecord(item) ? withoutDirectives(item) : clone(item))),
      );
    else setKey(result, key, isRecord(value) ? withoutDirectives(value) : value);
  }
  return result;
}
