import type { Clock } from "../../../core/clock.ts";
import { groupVersion, type Kind } from "../kinds/kind.ts";
import { type ApiObject, at, isRecord, type JsonObject } from "../object.ts";
import { type DeleteOptions, inVersion, type Operations, type PatchType, type WriteOptions } from "../operations.ts";
import { parseFieldSelector } from "../selector/fields.ts";
import { parseLabelSelector } from "../selector/labels.ts";
import { badRequest, expired, methodNotAllowed, StatusError, unsupportedMediaType } from "../status.ts";
import { mediaType, readJson } from "./body.ts";
import { addWarning, type Exchange, sendJson } from "./exchange.ts";
import { Pages } from "./pages.ts";
import { presentationOf, presentObject, tableOf } from "./presentation.ts";
import type { Target } from "./request.ts";
import type { Watches } from "./watch.ts";

const PATCH_TYPES: Readonly<Record<string, PatchType>> = {
  "application/json-patch+json": "json",
  "application/merge-patch+json": "merge",
  "application/strategic-merge-patch+json": "strategic",
};

function dryRun(value: unknown): boolean {
  if (value === null || value === undefined || value === "") return false;
  const values = Array.isArray(value) ? value : [value];
  if (values.every((one) => one === "All")) return values.length > 0;
  throw badRequest(`dryRun: Unsupported value: ${JSON.stringify(values[0])}: supported values: "All"`);
}

/** Options of a write from its query. @throws StatusError 400 */
export function writeOptions({ info: { query }, response }: Exchange): WriteOptions {
  const validation = query.get("fieldValidation") ?? "Warn";
  if (validation !== "Ignore" && validation !== "Warn" && validation !== "Strict") {
    throw badRequest(
      `fieldValidation: Unsupported value: ${JSON.stringify(validation)}: supported values: "Ignore", "Strict", "Warn"`,
    );
  }
  return {
    dryRun: dryRun(query.get("dryRun")),
    fieldValidation: validation,
    warn: (text) => addWarning(response, text),
  };
}

/** Reads a patch and its type. @throws StatusError 400, 415 */
export async function readPatch(exchange: Exchange, kind: Kind): Promise<{ type: PatchType; patch: unknown }> {
  const media = mediaType(exchange.request);
  if (media === "application/apply-patch+yaml") {
    throw new StatusError(
      415,
      "UnsupportedMediaType",
      "server-side apply is not supported by this local API server; use client-side apply (kubectl apply without --server-side)",
    );
  }
  const accepted = Object.keys(PATCH_TYPES).filter((one) => !(kind.custom && PATCH_TYPES[one] === "strategic"));
  const type = accepted.includes(media) ? PATCH_TYPES[media] : undefined;
  if (type === undefined) throw unsupportedMediaType(accepted);
  return { type, patch: await readJson(exchange.request, [media]) };
}

function deleteOptions(body: unknown, query: URLSearchParams): DeleteOptions {
  const given = isRecord(body) ? body : {};
  const grace =
    given["gracePeriodSeconds"] ??
    (query.has("gracePeriodSeconds") ? Number(query.get("gracePeriodSeconds")) : undefined);
  if (grace !== undefined && grace !== null && (typeof grace !== "number" || !Number.isInteger(grace)))
    throw badRequest("gracePeriodSeconds must be an integer");
  const propagation = given["propagationPolicy"] ?? query.get("propagationPolicy") ?? undefined;
  if (
    propagation !== undefined &&
    propagation !== "Background" &&
    propagation !== "Foreground" &&
    propagation !== "Orphan"
  ) {
    throw badRequest(
      `propagationPolicy: Unsupported value: ${JSON.stringify(propagation)}: supported values: "Background", "Foreground", "Orphan"`,
    );
  }
  const orphan = given["orphanDependents"] === true ? "Orphan" : undefined;
  const policy = propagation ?? orphan;
  const uid = at(given, "preconditions", "uid");
  const resourceVersion = at(given, "preconditions", "resourceVersion");
  return {
    dryRun: dryRun(given["dryRun"] ?? query.get("dryRun")),
    ...(typeof uid === "string" ? { uid } : {}),
    ...(typeof resourceVersion === "string" ? { resourceVersion } : {}),
    ...(typeof grace === "number" ? { gracePeriodSeconds: grace } : {}),
    ...(policy === undefined ? {} : { propagation: policy }),
  };
}

function revisionOf(query: URLSearchParams): string {
  const text = query.get("resourceVersion") ?? "";
  if (text !== "" && !/^\d{1,15}$/.test(text))
    throw badRequest(`resourceVersion: Invalid value: ${JSON.stringify(text)}: must be a number`);
  return text;
}

function integer(query: URLSearchParams, name: string): number {
  const text = query.get(name) ?? "";
  if (text === "") return 0;
  if (!/^\d{1,9}$/.test(text))
    throw badRequest(`${name}: Invalid value: ${JSON.stringify(text)}: must be a whole number`);
  return Number(text);
}

function flag(query: URLSearchParams, name: string): boolean {
  return ["true", "1"].includes(query.get(name) ?? "");
}

/** The verbs on stored objects. */
export class ObjectHandlers {
  readonly #operations: Operations;
  readonly #watches: Watches;
  readonly #clock: Clock;
  readonly #pages: Pages;

  constructor(operations: Operations, watches: Watches, clock: Clock) {
    this.#operations = operations;
    this.#watches = watches;
    this.#clock = clock;
    this.#pages = new Pages(() => clock.nowMs());
  }

  /** Serves a request without a subresource. @throws StatusError */
  async serve(exchange: Exchange, kind: Kind, target: Target): Promise<void> {
    if (kind.namespaced && target.namespace === "" && !["list", "watch"].includes(exchange.info.verb))
      throw methodNotAllowed();
    switch (exchange.info.verb) {
      case "get":
        this.send(exchange, kind, 200, this.#operations.get(kind, target.namespace, target.name));
        return;
      case "list":
        this.#list(exchange, kind, target);
        return;
      case "watch":
        this.#watch(exchange, kind, target);
        return;
      case "create": {
        if (target.name !== "") throw methodNotAllowed();
        const body = await readJson(exchange.request);
        this.send(exchange, kind, 201, this.#operations.create(kind, target.namespace, body, writeOptions(exchange)));
        return;
      }
      case "update": {
        if (target.name === "") throw methodNotAllowed();
        const body = await readJson(exchange.request);
        this.send(
          exchange,
          kind,
          200,
          this.#operations.update(kind, target.namespace, target.name, body, writeOptions(exchange)),
        );
        return;
      }
      case "patch": {
        if (target.name === "") throw methodNotAllowed();
        const { type, patch } = await readPatch(exchange, kind);
        const { namespace, name } = target;
        this.send(
          exchange,
          kind,
          200,
          this.#operations.patch(kind, namespace, name, type, patch, writeOptions(exchange)),
        );
        return;
      }
      case "delete":
        await this.#delete(exchange, kind, target);
        return;
      case "deletecollection":
        await this.#deleteCollection(exchange, kind, target);
        return;
      default:
        throw methodNotAllowed();
    }
  }

  /** Answers with an object as the client wants it. */
  send({ request, response, info }: Exchange, kind: Kind, code: number, object: ApiObject): void {
    const how = presentationOf(request.headers.accept ?? "", info.query);
    sendJson(response, code, presentObject(kind, object, how, this.#clock.wallMs()));
  }

  #matcher(kind: Kind, query: URLSearchParams): (object: ApiObject) => boolean {
    const labels = parseLabelSelector(query.get("labelSelector") ?? "");
    const fields = parseFieldSelector(query.get("fieldSelector") ?? "", kind.fields);
    return (object) => labels(object.metadata.labels) && fields(object);
  }

  #list({ request, response, info: { query } }: Exchange, kind: Kind, target: Target): void {
    const { store } = this.#operations.context;
    const how = presentationOf(request.headers.accept ?? "", query);
    const wanted = revisionOf(query);
    if (wanted !== "") store.check(Number(wanted));
    if (query.get("resourceVersionMatch") === "Exact" && Number(wanted) !== store.revision) {
      throw expired(`The resourceVersion for the provided list is too old: ${wanted} (${store.revision})`);
    }
    const matches = this.#matcher(kind, query);
    const limit = integer(query, "limit");
    const token = query.get("continue") ?? "";
    const page =
      token === ""
        ? this.#pages.first(store.list(kind.resource, target.namespace).filter(matches), store.revision, limit)
        : this.#pages.next(token, limit);
    const metadata: JsonObject = { resourceVersion: String(page.revision) };
    if (page.next !== "") {
      metadata["continue"] = page.next;
      metadata["remainingItemCount"] = page.remaining;
    }
    const wallMs = this.#clock.wallMs();
    if (how.as === "table") {
      sendJson(response, 200, tableOf(kind, page.items, metadata, how.include, wallMs));
      return;
    }
    const list =
      how.as === "metadata"
        ? { kind: "PartialObjectMetadataList", apiVersion: "meta.k8s.io/v1" }
        : { kind: `${kind.kind}List`, apiVersion: groupVersion(kind) };
    sendJson(response, 200, {
      ...list,
      metadata,
      items: page.items.map((item) => presentObject(kind, item, how, wallMs)),
    });
  }

  #watch({ request, response, info: { query } }: Exchange, kind: Kind, target: Target): void {
    this.#watches.serve(request, response, {
      kind,
      namespace: target.namespace,
      matches: target.name === "" ? this.#matcher(kind, query) : (object) => object.metadata.name === target.name,
      how: presentationOf((request.headers.accept ?? "").replaceAll(";stream=watch", ""), query),
      resourceVersion: revisionOf(query),
      bookmarks: flag(query, "allowWatchBookmarks"),
      initialEvents: flag(query, "sendInitialEvents"),
      timeoutSeconds: integer(query, "timeoutSeconds"),
    });
  }

  async #delete(exchange: Exchange, kind: Kind, target: Target): Promise<void> {
    const options = deleteOptions(await readJson(exchange.request), exchange.info.query);
    const { object, gone } = this.#operations.delete(kind, target.namespace, target.name, options);
    if (!gone || kind.returnsDeleted) {
      this.send(exchange, kind, 200, object);
      return;
    }
    const details = {
      name: target.name,
      ...(kind.group === "" ? {} : { group: kind.group }),
      kind: kind.plural,
      uid: object.metadata.uid,
    };
    sendJson(exchange.response, 200, { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details });
  }

  async #deleteCollection({ request, response, info: { query } }: Exchange, kind: Kind, target: Target): Promise<void> {
    const options = deleteOptions(await readJson(request), query);
    const { store } = this.#operations.context;
    const matches = this.#matcher(kind, query);
    const items = store.list(kind.resource, target.namespace).filter(matches);
    const deleted = items.map(
      (item) => this.#operations.delete(kind, item.metadata.namespace ?? "", item.metadata.name, options).object,
    );
    const metadata = { resourceVersion: String(store.revision) };
    sendJson(response, 200, {
      kind: `${kind.kind}List`,
      apiVersion: groupVersion(kind),
      metadata,
      items: deleted.map((item) => inVersion(kind, item)),
    });
  }
}
