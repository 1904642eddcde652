import type { KubeObject, ListOptions } from "../../kube/client.ts";

/** Whether `object` is in `options.namespace` and meets both selectors (equality, sets, existence). */
export function matchesSelectors(object: KubeObject, options: ListOptions): boolean {
  if (options.namespace !== undefined && object.metadata.namespace !== options.namespace) return false;
  const labels = object.metadata.labels ?? {};
  const fields: Record<string, string> = {
    "metadata.name": object.metadata.name,
    "metadata.namespace": object.metadata.namespace ?? "",
  };
  return (
    requirements(options.labelSelector).every((text) => meets(labels, text)) &&
    requirements(options.fieldSelector).every((text) => meets(fields, text))
  );
}

function requirements(selector: string | undefined): string[] {
  const parts = (selector ?? "").match(/[^,(]+(\([^)]*\))?/g) ?? [];
  return parts.map((text) => text.trim()).filter((text) => text !== "");
}

function meets(values: Readonly<Record<string, string>>, text: string): boolean {
  const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(text);
  if (set !== null) {
    const [, key = "", operator, list = ""] = set;
    const found = list
      .split(",")
      .map((item) => item.trim())
      .includes(values[key] ?? "");
    return (operator === "in") === (found && key in values);
  }
  const equality = /^([^!=\s]+)\s*(!=|==?)\s*(.*)$/.exec(text);
  if (equality !== null) {
    const [, key = "", operator, value = ""] = equality;
    return (operator === "!=") !== (values[key] === value);
  }
  return text.startsWith("!") ? !(text.slice(1) in values) : text in values;
}
