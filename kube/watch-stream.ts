import { MeshError } from "../core/errors.ts";
import type { ApiStatus } from "./api-error.ts";
import type { KubeObject } from "./client.ts";

/** An event as the API server writes it, one JSON object per line. */
export type WatchEvent<T extends KubeObject> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T }
  | { readonly type: "BOOKMARK"; readonly object: KubeObject }
  | { readonly type: "ERROR"; readonly object: ApiStatus };

/** An event is at most one object, and etcd holds none above 1.5 MiB by default. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;

/** @throws MeshError KUBE_FAILED on what is no event, LIMIT_EXCEEDED on a line without end */
export async function* watchEvents<T extends KubeObject>(chunks: AsyncIterable<Buffer>): AsyncGenerator<WatchEvent<T>> {
  for await (const line of lines(chunks)) yield parseEvent<T>(line);
}

function parseEvent<T extends KubeObject>(line: string): WatchEvent<T> {
  let event: { type?: unknown; object?: { metadata?: { name?: unknown; resourceVersion?: unknown } } | null } | null;
  try {
    event = JSON.parse(line) as typeof event;
  } catch (error) {
    throw new MeshError("KUBE_FAILED", "Cannot read the watch: a line is not JSON. It is opened again.", {
      cause: error,
    });
  }
  const { type, object } = event ?? {};
  if (typeof object === "object" && object !== null) {
    if (type === "ERROR") return { type, object: object as ApiStatus };
    const { name, resourceVersion } = object.metadata ?? {};
    if (typeof resourceVersion === "string") {
      if (type === "BOOKMARK") return { type, object: object as KubeObject };
      const change = type === "ADDED" || type === "MODIFIED" || type === "DELETED";
      if (change && typeof name === "string") return { type, object: object as T };
    }
  }
  throw new MeshError("KUBE_FAILED", `Cannot read the watch: "${String(type)}" is no event. It is opened again.`);
}

/** Lines without their end, empty ones left out; what follows the last line end was cut off and is dropped. */
async function* lines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      const piece = chunk.subarray(start, end);
      const line = held.length === 0 ? piece.toString("utf8") : Buffer.concat([...held, piece]).toString("utf8");
      held = [];
      heldBytes = 0;
      start = end + 1;
      if (line.trim() !== "") yield line;
    }
    if (start < chunk.length) {
      held.push(chunk.subarray(start));
      heldBytes += chunk.length - start;
    }
    if (heldBytes > MAX_LINE_BYTES) {
      throw new MeshError(
        "LIMIT_EXCEEDED",
        `Cannot read the watch: an event is larger than ${MAX_LINE_BYTES} bytes. It is opened again.`,
      );
    }
  }
}
