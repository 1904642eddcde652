import { MeshError } from "../core/errors.ts";
import { revisionOf } from "./redis-revision.ts";
import type { Change } from "./store.ts";

/** An entry of the change stream as Redis gives it. */
type StreamEntry = [id: string, fields: string[]];

export interface StreamChange {
  readonly id: string;
  /** Id of the change before. */
  readonly previous: string;
  readonly change: Change;
}

export function streamChange([id, fields]: StreamEntry): StreamChange {
  const field = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) field.set(fields[i] ?? "", fields[i + 1] ?? "");
  const key = field.get("k") ?? "";
  const value = field.get("v");
  const revision = revisionOf(id);
  return {
    id,
    previous: field.get("p") ?? "",
    change: value === undefined ? { key, revision } : { key, value, revision },
  };
}

export function compacted(after: string): MeshError {
  return new MeshError("REGISTRY_COMPACTED", `Cannot watch after revision ${after}: it is not kept. Read again.`);
}
