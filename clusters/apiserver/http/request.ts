import type { Action } from "../auth/rbac.ts";
import { badRequest } from "../status.ts";

/** What a URL and method ask for. */
export interface RequestInfo {
  readonly verb: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Undefined for paths outside the API groups, discovery included. */
  readonly target: Target | undefined;
}

export interface Target {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
}

const NAMESPACE_SUBRESOURCES = new Set(["status", "finalize"]);
const MAX_URL_CHARS = 16 * 1024;

function verbOf(method: string, named: boolean, watch: boolean): string {
  switch (method) {
    case "GET":
    case "HEAD":
      return watch ? "watch" : named ? "get" : "list";
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return named ? "delete" : "deletecollection";
    default:
      return method.toLowerCase();
  }
}

function targetOf(parts: readonly string[]): Target | undefined {
  const core = parts[0] === "api";
  const rest = core ? parts.slice(2) : parts.slice(3);
  const [group, version] = core ? ["", parts[1] ?? ""] : [parts[1] ?? "", parts[2] ?? ""];
  if (rest.length === 0) return undefined;
  let namespace = "";
  let [resource = "", name = "", subresource = ""] = rest;
  let length = rest.length;
  if (resource === "namespaces" && rest.length >= 3 && !NAMESPACE_SUBRESOURCES.has(rest[2] ?? "")) {
    namespace = name;
    [resource = "", name = "", subresource = ""] = rest.slice(2);
    length -= 2;
  }
  if (length > 3) return undefined;
  return { group, version, resource, namespace, name, subresource };
}

/** Takes a request's URL apart. @throws StatusError 400 */
export function parseRequest(method: string, url: string): RequestInfo {
  if (url.length > MAX_URL_CHARS) throw badRequest("the URL is too long");
  let parsed: URL;
  let parts: string[];
  try {
    parsed = new URL(url, "https://local");
    parts = parsed.pathname
      .split("/")
      .filter((part) => part !== "")
      .map(decodeURIComponent);
  } catch {
    throw badRequest("the URL cannot be read");
  }
  const query = parsed.searchParams;
  const target = parts[0] === "api" || parts[0] === "apis" ? targetOf(parts) : undefined;
  const watching = ["true", "1"].includes(query.get("watch") ?? "");
  const verb = target === undefined ? method.toLowerCase() : verbOf(method, target.name !== "", watching);
  return { verb, path: parsed.pathname, query, target };
}

/** What an authorizer must allow for the request. */
export function actionOf({ verb, path, target }: RequestInfo): Action {
  if (target === undefined) return { verb, path, group: "", resource: "", subresource: "", namespace: "", name: "" };
  const { group, resource, subresource, name } = target;
  // A namespace is also its own scope.
  const namespace = group === "" && resource === "namespaces" ? target.name : target.namespace;
  return { verb, path: "", group, resource, subresource, namespace, name };
}
