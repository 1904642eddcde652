import { type ApiObject, at } from "../object.ts";
import type { Column } from "./kind.ts";

/** A duration as kubectl prints ages: 5s, 3m20s, 4h, 12d, 2y30d. */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds <= 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 192) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
  if (days < 730) return `${days}d`;
  return `${Math.floor(days / 365)}y`;
}

/** How long ago `time` was. */
export function age(time: unknown, wallMs: number): string {
  const ms = typeof time === "string" ? Date.parse(time) : Number.NaN;
  return Number.isNaN(ms) ? "<unknown>" : humanDuration(wallMs - ms);
}

/** A column over what `value` finds. */
export function column(
  name: string,
  value: (object: ApiObject, wallMs: number) => unknown,
  priority = 0,
  type: Column["type"] = "string",
): Column {
  return { name, type, priority, value };
}

export const NAME_COLUMN: Column = {
  name: "Name",
  type: "string",
  format: "name",
  description: "Name must be unique within a namespace.",
  priority: 0,
  value: (object) => object.metadata.name,
};

export const AGE_COLUMN: Column = {
  name: "Age",
  type: "string",
  description: "Time since the object was created.",
  priority: 0,
  value: (object, wallMs) => age(object.metadata.creationTimestamp, wallMs),
};

export const DEFAULT_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  {
    name: "Created At",
    type: "date",
    priority: 0,
    value: (object) => object.metadata.creationTimestamp ?? "",
  },
];

/** How many entries an object's map has. */
export function count(...path: string[]): (object: ApiObject) => number {
  return (object) => {
    const value = at(object, ...path);
    return typeof value === "object" && value !== null ? Object.keys(value).length : 0;
  };
}

/** `a=1,b=2`, or `<none>`. */
export function selectorText(labels: unknown): string {
  if (typeof labels !== "object" || labels === null) return "<none>";
  const parts = Object.entries(labels).map(([key, value]) => `${key}=${String(value)}`);
  return parts.length === 0 ? "<none>" : parts.sort().join(",");
}
