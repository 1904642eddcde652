import type { ServiceAccountTokens } from "../auth/tokens.ts";
import type { Kind, ScalePaths } from "../kinds/kind.ts";
import {
  type ApiObject,
  at,
  clone,
  isRecord,
  type JsonObject,
  listAt,
  numberAt,
  recordAt,
  textAt,
  timestamp,
} from "../object.ts";
import type { Operations } from "../operations.ts";
import { applyJsonPatch } from "../patch/json-patch.ts";
import { applyMergePatch } from "../patch/merge-patch.ts";
import {
  badRequest,
  conflict,
  invalid,
  invalidValue,
  methodNotAllowed,
  notFound,
  pathNotFound,
  required,
} from "../status.ts";
import { readJson } from "./body.ts";
import { type Exchange, sendJson } from "./exchange.ts";
import { type ObjectHandlers, readPatch, writeOptions } from "./objects.ts";
import type { Target } from "./request.ts";

const MIN_TOKEN_SECONDS = 600;
const MAX_TOKEN_SECONDS = 48 * 3600;
const DEFAULT_TOKEN_SECONDS = 3600;

/** status, scale, token, eviction, binding, finalize. */
export class SubresourceHandlers {
  readonly #operations: Operations;
  readonly #objects: ObjectHandlers;
  readonly #tokens: ServiceAccountTokens;

  constructor(operations: Operations, objects: ObjectHandlers, tokens: ServiceAccountTokens) {
    this.#operations = operations;
    this.#objects = objects;
    this.#tokens = tokens;
  }

  /** @throws StatusError */
  async serve(exchange: Exchange, kind: Kind, target: Target): Promise<void> {
    const { verb } = exchange.info;
    if (target.subresource === "status" && kind.statusSubresource) {
      await this.#status(exchange, kind, target);
    } else if (target.subresource === "scale" && kind.scale !== undefined) {
      await this.#scale(exchange, kind, kind.scale, target);
    } else if (!kind.subresources.includes(target.subresource)) {
      throw pathNotFound();
    } else if (target.subresource === "finalize") {
      if (verb !== "update") throw methodNotAllowed();
      const body = await readJson(exchange.request);
      const finalizers = listAt(body, "spec", "finalizers");
      const before = this.#operations.get(kind, "", target.name);
      const after = this.#operations.amend(kind, "", target.name, (namespace) => {
        namespace["spec"] = { ...recordAt(namespace, "spec"), finalizers };
      });
      this.#objects.send(exchange, kind, 200, after ?? before);
    } else {
      if (verb !== "create") throw methodNotAllowed();
      const body = await readJson(exchange.request);
      switch (target.subresource) {
        case "token":
          this.#token(exchange, target, body);
          return;
        case "eviction":
          this.#evict(exchange, kind, target, body);
          return;
        case "binding":
          this.#bind(exchange, kind, target, body);
          return;
        default:
          throw methodNotAllowed();
      }
    }
  }

  async #status(exchange: Exchange, kind: Kind, { namespace, name }: Target): Promise<void> {
    const options = { ...writeOptions(exchange), status: true };
    switch (exchange.info.verb) {
      case "get":
        this.#objects.send(exchange, kind, 200, this.#operations.get(kind, namespace, name));
        return;
      case "update": {
        const body = await readJson(exchange.request);
        this.#objects.send(exchange, kind, 200, this.#operations.update(kind, namespace, name, body, options));
        return;
      }
      case "patch": {
        const { type, patch } = await readPatch(exchange, kind);
        this.#objects.send(exchange, kind, 200, this.#operations.patch(kind, namespace, name, type, patch, options));
        return;
      }
      default:
        throw methodNotAllowed();
    }
  }

  async #scale(exchange: Exchange, kind: Kind, paths: ScalePaths, { namespace, name }: Target): Promise<void> {
    const { verb } = exchange.info;
    const object = this.#operations.get(kind, namespace, name);
    if (verb === "get") {
      sendJson(exchange.response, 200, scaleOf(object, paths));
      return;
    }
    let wanted: unknown;
    if (verb === "update") wanted = await readJson(exchange.request);
    else if (verb === "patch") {
      const { type, patch } = await readPatch(exchange, kind);
      wanted =
        type === "json"
          ? applyJsonPatch(scaleOf(object, paths), patch)
          : applyMergePatch(scaleOf(object, paths), patch);
    } else throw methodNotAllowed();
    const replicas = numberAt(wanted, 0, "spec", "replicas");
    if (replicas < 0 || !Number.isInteger(replicas)) {
      throw invalid("autoscaling", "Scale", name, [
        invalidValue("spec.replicas", replicas, "must be greater than or equal to 0"),
      ]);
    }
    const current = clone(this.#operations.get(kind, namespace, name));
    const version = textAt(wanted, "metadata", "resourceVersion");
    if (version === "") delete current.metadata.resourceVersion;
    else current.metadata.resourceVersion = version;
    setPath(current, paths.specReplicas, replicas);
    if (current.metadata.resourceVersion === undefined && !kind.unconditionalUpdate) {
      current.metadata.resourceVersion = object.metadata.resourceVersion ?? "";
    }
    const updated = this.#operations.update(kind, namespace, name, current, writeOptions(exchange));
    sendJson(exchange.response, 200, scaleOf(updated, paths));
  }

  #token({ response }: Exchange, { namespace, name }: Target, body: unknown): void {
    const { store, wallMs } = this.#operations.context;
    const account = store.get("/serviceaccounts", namespace, name);
    if (account === undefined) throw notFound({ group: "", resource: "serviceaccounts" }, name);
    const asked = numberAt(body, DEFAULT_TOKEN_SECONDS, "spec", "expirationSeconds");
    if (asked < MIN_TOKEN_SECONDS) {
      const cause = invalidValue("spec.expirationSeconds", asked, "may not specify a duration less than 10 minutes");
      throw invalid("authentication.k8s.io", "TokenRequest", "", [cause]);
    }
    const ttlSeconds = Math.min(asked, MAX_TOKEN_SECONDS);
    const given = listAt(body, "spec", "audiences").filter((one): one is string => typeof one === "string");
    const audiences = given.length === 0 ? [this.#tokens.issuer] : given;
    const bound = at(body, "spec", "boundObjectRef");
    const pod = isRecord(bound) ? this.#boundPod(bound, namespace) : undefined;
    const { token, expiresMs } = this.#tokens.mint({
      namespace,
      account: name,
      accountUid: account.metadata.uid ?? "",
      audiences,
      ttlSeconds,
      ...(pod === undefined ? {} : { pod }),
    });
    sendJson(response, 201, {
      kind: "TokenRequest",
      apiVersion: "authentication.k8s.io/v1",
      metadata: { name, namespace, creationTimestamp: timestamp(wallMs()) },
      spec: { audiences, expirationSeconds: ttlSeconds, boundObjectRef: isRecord(bound) ? bound : null },
      status: { token, expirationTimestamp: timestamp(expiresMs) },
    });
  }

  #boundPod(bound: JsonObject, namespace: string) {
    const name = textAt(bound, "name");
    if (bound["kind"] !== "Pod")
      throw badRequest(`cannot bind token for serviceaccount to object type ${String(bound["kind"])}`);
    const of = { group: "", resource: "pods" };
    const pod = this.#operations.context.store.get("/pods", namespace, name);
    if (pod === undefined) throw notFound(of, name);
    const uid = pod.metadata.uid ?? "";
    const asked = textAt(bound, "uid");
    if (asked !== "" && asked !== uid)
      throw conflict(
        of,
        name,
        `the UID in the bound object reference (${asked}) does not match the UID in record. The object might have been deleted and then recreated`,
      );
    return { kind: "Pod", name, uid };
  }

  #evict({ response }: Exchange, kind: Kind, { namespace, name }: Target, body: unknown): void {
    const grace = at(body, "deleteOptions", "gracePeriodSeconds");
    this.#operations.delete(kind, namespace, name, typeof grace === "number" ? { gracePeriodSeconds: grace } : {});
    sendJson(response, 201, { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" });
  }

  #bind({ response }: Exchange, kind: Kind, { namespace, name }: Target, body: unknown): void {
    const node = textAt(body, "target", "name");
    if (node === "") throw invalid("", "Binding", name, [required("target.name")]);
    const pod = this.#operations.get(kind, namespace, name);
    const bound = textAt(pod, "spec", "nodeName");
    if (bound !== "")
      throw conflict(
        { group: "", resource: "pods/binding" },
        name,
        `pod ${name} is already assigned to node "${bound}"`,
      );
    this.#operations.amend(kind, namespace, name, (object) => {
      object["spec"] = { ...recordAt(object, "spec"), nodeName: node };
    });
    sendJson(response, 201, { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" });
  }
}

function setPath(object: ApiObject, path: string, value: unknown): void {
  const steps = path.split(".");
  const last = steps.pop() ?? "";
  let parent: JsonObject = object;
  for (const step of steps) {
    const next = parent[step];
    if (!isRecord(next)) parent[step] = {};
    parent = parent[step] as JsonObject;
  }
  parent[last] = value;
}

function scaleOf(object: ApiObject, paths: ScalePaths): JsonObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const labels = recordAt(object, "spec", "selector", "matchLabels");
  const selector =
    paths.labelSelector === undefined
      ? Object.entries(labels)
          .map(([key, value]) => `${key}=${String(value)}`)
          .join(",")
      : textAt(object, ...paths.labelSelector.split("."));
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: numberAt(object, 0, ...paths.specReplicas.split(".")) },
    status: { replicas: numberAt(object, 0, ...paths.statusReplicas.split(".")), selector },
  };
}
