import { isRecord } from "../object.ts";

type Step =
  | { readonly field: string }
  | { readonly index: number }
  | { readonly where: readonly string[]; readonly equals: string }
  | { readonly every: true };

const TOKEN =
  /\.?\[\?\(@\.([^=!<>]+?)\s*==\s*(?:"([^"]*)"|'([^']*)')\)\]|\.?\[(-?\d+)\]|\.?\[\*\]|\.?\['([^']*)'\]|\.?\["([^"]*)"\]|\.((?:\\.|[^.[\\])+)/gy;

/** The part of JSONPath that printer columns use; undefined where the text is something else. */
export function parseJsonPath(text: string): ((object: unknown) => unknown) | undefined {
  const steps: Step[] = [];
  const source = text.startsWith(".") || text.startsWith("[") ? text : `.${text}`;
  const token = new RegExp(TOKEN.source, "gy");
  while (token.lastIndex < source.length) {
    const match = token.exec(source);
    if (match === null) return undefined;
    const [whole, path, double, single, index, quoted, quotedToo, field] = match;
    if (path !== undefined) steps.push({ where: path.split("."), equals: double ?? single ?? "" });
    else if (index !== undefined) steps.push({ index: Number(index) });
    else if (whole.endsWith("[*]")) steps.push({ every: true });
    else steps.push({ field: quoted ?? quotedToo ?? (field ?? "").replace(/\\(.)/g, "$1") });
  }
  return (object) => {
    let values: unknown[] = [object];
    for (const step of steps) values = values.flatMap((value) => take(value, step));
    return values.length === 0 ? undefined : values.length === 1 ? values[0] : values.map(String).join(",");
  };
}

function take(value: unknown, step: Step): unknown[] {
  if ("field" in step) {
    if (!isRecord(value) || !Object.hasOwn(value, step.field)) return [];
    const found = value[step.field];
    return found === undefined || found === null ? [] : [found];
  }
  if (!Array.isArray(value)) return [];
  if ("index" in step) {
    const found: unknown = value.at(step.index);
    return found === undefined ? [] : [found];
  }
  if ("every" in step) return value;
  return value.filter((item: unknown) => {
    let inner = item;
    for (const name of step.where) inner = isRecord(inner) ? inner[name] : undefined;
    return inner !== undefined && String(inner) === step.equals;
  });
}
