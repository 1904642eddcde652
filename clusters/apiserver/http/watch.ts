import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../../../core/clock.ts";
import type { Kind } from "../kinds/kind.ts";
import type { ApiObject, JsonObject } from "../object.ts";
import { inVersion } from "../operations.ts";
import { StatusError, tooManyRequests } from "../status.ts";
import type { Store, StoreEvent } from "../store/store.ts";
import { type Presentation, presentObject, tableOf } from "./presentation.ts";

const BOOKMARK_MS = 30_000;
const DEFAULT_TIMEOUT_S = 1800;
const MAX_BUFFER_BYTES = 16 * 1024 * 1024;
const MAX_WATCHES = 2000;

export interface WatchRequest {
  readonly kind: Kind;
  readonly namespace: string;
  readonly matches: (object: ApiObject) => boolean;
  readonly how: Presentation;
  /** "" and "0" begin with what is there now. */
  readonly resourceVersion: string;
  readonly bookmarks: boolean;
  readonly initialEvents: boolean;
  readonly timeoutSeconds: number;
}

type EventType = "ADDED" | "MODIFIED" | "DELETED";

/** Streams changes to clients; each watch ends by its timeout, its client, or because the client reads too slowly. */
export class Watches {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #open = new Set<() => void>();

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Ends all of them. */
  close(): void {
    for (const end of [...this.#open]) end();
  }

  serve(request: IncomingMessage, response: ServerResponse, wanted: WatchRequest): void {
    if (this.#open.size >= MAX_WATCHES) throw tooManyRequests("too many watches are open");
    const { kind, namespace, matches, how } = wanted;
    const scoped = (object: ApiObject) =>
      (namespace === "" || object.metadata.namespace === namespace) && matches(object);

    const fromStart = wanted.resourceVersion === "" || wanted.resourceVersion === "0" || wanted.initialEvents;
    if (wanted.resourceVersion !== "") this.#store.check(Number(wanted.resourceVersion));
    response.writeHead(200, { "content-type": "application/json", "cache-control": "no-cache, private" });
    response.flushHeaders();

    const write = (line: string) => {
      response.write(line);
      if (response.writableLength > MAX_BUFFER_BYTES) response.destroy();
    };
    const writer = eventWriter(kind, how, write, () => this.#clock.wallMs());
    let last = this.#store.revision;
    const onEvent = (event: StoreEvent) => {
      last = event.revision;
      const now = scoped(event.object);
      const before = event.previous !== undefined && scoped(event.previous);
      if (event.type === "DELETED") {
        if (now || before) writer.event("DELETED", event.object);
      } else if (now) writer.event(before ? "MODIFIED" : "ADDED", event.object);
      // It left the selection: to this client it is gone, in its last matching state.
      else if (before && event.previous !== undefined)
        writer.event("DELETED", withRevision(event.previous, event.revision));
    };

    let stopWatch = () => {};
    try {
      const after = fromStart ? this.#store.revision : Number(wanted.resourceVersion);
      if (fromStart)
        for (const object of this.#store.list(kind.resource, namespace))
          if (matches(object)) writer.event("ADDED", object);
      if (wanted.initialEvents) writer.bookmark(last, true);
      stopWatch = this.#store.watch(kind.resource, after, onEvent);
    } catch (error) {
      // Once headers are out a real server answers in the stream, so clients expect 410 there.
      if (!(error instanceof StatusError)) throw error;
      write(`${JSON.stringify({ type: "ERROR", object: error.body() })}\n`);
      response.end();
      return;
    }

    let stopBookmarks = () => {};
    let stopTimeout = () => {};
    const end = () => {
      if (!this.#open.delete(end)) return;
      stopWatch();
      stopBookmarks();
      stopTimeout();
      response.end();
    };
    this.#open.add(end);
    if (wanted.bookmarks) {
      const tick = () => {
        writer.bookmark(Math.max(last, this.#store.revision), false);
        stopBookmarks = this.#clock.after(BOOKMARK_MS, tick);
      };
      stopBookmarks = this.#clock.after(BOOKMARK_MS, tick);
    }
    const seconds = wanted.timeoutSeconds > 0 ? Math.min(wanted.timeoutSeconds, 86_400) : DEFAULT_TIMEOUT_S;
    stopTimeout = this.#clock.after(seconds * 1000, end);
    response.on("close", end);
    response.on("error", end);
    request.on("close", () => {
      if (response.writableEnded || response.destroyed) end();
    });
  }
}

function withRevision(object: ApiObject, revision: number): ApiObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
}

function eventWriter(kind: Kind, how: Presentation, write: (line: string) => void, wallMs: () => number) {
  let described = false;
  const send = (type: EventType | "BOOKMARK", object: JsonObject) => write(`${JSON.stringify({ type, object })}\n`);
  return {
    event(type: EventType, object: ApiObject): void {
      if (how.as !== "table") {
        send(type, presentObject(kind, object, how, wallMs()));
        return;
      }
      const table = presentObject(kind, object, how, wallMs());
      // The columns are told once.
      if (described) table["columnDefinitions"] = null;
      described = true;
      send(type, table);
    },
    bookmark(revision: number, initialEnd: boolean): void {
      const metadata: JsonObject = { resourceVersion: String(revision), creationTimestamp: null };
      if (initialEnd) metadata["annotations"] = { "k8s.io/initial-events-end": "true" };
      const empty = inVersion(kind, { apiVersion: "", kind: kind.kind, metadata: { name: "" } });
      if (how.as === "table") send("BOOKMARK", tableOf(kind, [], metadata, how.include, wallMs()));
      else if (how.as === "metadata")
        send("BOOKMARK", { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata });
      else send("BOOKMARK", { kind: empty.kind, apiVersion: empty.apiVersion, metadata });
    },
  };
}
