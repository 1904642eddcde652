import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { errorText } from "../../../core/errors.ts";
import type { Log } from "../../../core/log.ts";
import type { Authenticator } from "../auth/authenticate.ts";
import { impersonated } from "../auth/impersonation.ts";
import type { RbacAuthorizer } from "../auth/rbac.ts";
import type { User } from "../auth/tokens.ts";
import type { Operations } from "../operations.ts";
import { pathNotFound, StatusError, unauthorized } from "../status.ts";
import type { Discovery } from "./discovery.ts";
import { type Exchange, sendError, sendJson } from "./exchange.ts";
import { kubeletPath, proxyLogs, proxyUpgrade } from "./kubelet.ts";
import type { ObjectHandlers } from "./objects.ts";
import { openApiDocument, openApiIndex, openApiTarget } from "./openapi.ts";
import { actionOf, parseRequest, type RequestInfo, type Target } from "./request.ts";
import type { ReviewHandlers } from "./reviews.ts";
import type { SubresourceHandlers } from "./subresources.ts";
import { VIRTUAL_KINDS } from "./virtual-kinds.ts";

const OPEN_PATHS = new Set(["/version", "/healthz", "/livez", "/readyz"]);
const AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

export interface HandlerParts {
  readonly operations: Operations;
  readonly authenticator: Authenticator;
  readonly authorizer: RbacAuthorizer;
  readonly discovery: Discovery;
  readonly objects: ObjectHandlers;
  readonly subresources: SubresourceHandlers;
  readonly reviews: ReviewHandlers;
  readonly kubeletSocket: string | undefined;
  readonly log: Log;
}

const VERSION = {
  major: "1",
  minor: "32",
  gitVersion: "v1.32.0+mesh.local",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "1970-01-01T00:00:00Z",
  goVersion: "",
  compiler: "",
  platform: "local",
};

/** From a request to who may do what: authentication, authorization, then the handler of its path. */
export class RequestHandler {
  readonly #parts: HandlerParts;

  constructor(parts: HandlerParts) {
    this.#parts = parts;
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const info = parseRequest(request.method ?? "GET", request.url ?? "/");
      if (OPEN_PATHS.has(info.path) || info.path.startsWith("/readyz/") || info.path.startsWith("/livez/")) {
        this.#open(info, response);
        return;
      }
      const user = this.#authorized(request, info);
      const exchange: Exchange = { request, response, info, user };
      if (info.target === undefined) this.#describe(exchange);
      else await this.#resource(exchange, info.target);
    } catch (error) {
      this.#failed(error, request);
      sendError(response, error);
    }
  }

  /** Serves `Upgrade` requests: exec. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => socket.destroy());
    try {
      const info = parseRequest(request.method ?? "GET", request.url ?? "/");
      this.#authorized(request, info);
      const { target } = info;
      if (target?.group !== "" || target.resource !== "pods" || target.subresource !== "exec") throw pathNotFound();
      const path = this.#podPath("exec", target, info.query);
      await proxyUpgrade(this.#socket(), path, request, socket, head);
    } catch (error) {
      this.#failed(error, request);
      const status =
        error instanceof StatusError ? error : new StatusError(500, "InternalError", "Internal error occurred");
      const body = JSON.stringify(status.body());
      const lines = [
        `HTTP/1.1 ${status.httpCode} ${status.reason}`,
        "content-type: application/json",
        `content-length: ${Buffer.byteLength(body)}`,
        "connection: close",
      ];
      socket.end(`${lines.join("\r\n")}\r\n\r\n${body}`);
    }
  }

  #failed(error: unknown, request: IncomingMessage): void {
    if (error instanceof StatusError && error.httpCode !== 500) return;
    const stack = error instanceof Error ? error.stack : undefined;
    this.#parts.log.error("request failed", {
      method: request.method,
      path: (request.url ?? "").split("?")[0],
      error: errorText(error),
      stack,
    });
  }

  #authorized(request: IncomingMessage, info: RequestInfo): User {
    const { authenticator, authorizer } = this.#parts;
    const caller = authenticator.authenticate(request);
    if (caller === undefined) throw unauthorized();
    const user = impersonated(request, caller, authorizer);
    const action = actionOf(info);
    if (authorizer.allows(user, action)) return user;
    if (action.path !== "") {
      throw new StatusError(
        403,
        "Forbidden",
        `forbidden: User "${user.name}" cannot ${action.verb} path "${action.path}"`,
      );
    }
    const resource = action.subresource === "" ? action.resource : `${action.resource}/${action.subresource}`;
    const what = `${resource}${action.group === "" ? "" : `.${action.group}`}`;
    const where = action.namespace === "" ? "at the cluster scope" : `in the namespace "${action.namespace}"`;
    const name = action.name === "" ? "" : ` "${action.name}"`;
    const message = `${what}${name} is forbidden: User "${user.name}" cannot ${action.verb} resource "${resource}" in API group "${action.group}" ${where}`;
    throw new StatusError(403, "Forbidden", message, {
      ...(action.name === "" ? {} : { name: action.name }),
      group: action.group,
      kind: action.resource,
    });
  }

  #open({ path }: RequestInfo, response: ServerResponse): void {
    if (path === "/version") {
      sendJson(response, 200, {
        ...VERSION,
        goVersion: process.version,
        platform: `${process.platform}/${process.arch}`,
      });
      return;
    }
    response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
    response.end("ok");
  }

  #describe({ request, response, info }: Exchange): void {
    const { discovery, operations } = this.#parts;
    if (request.method !== "GET" && request.method !== "HEAD") throw pathNotFound();
    const path = info.path.replace(/\/$/, "");
    const accept = (request.headers.accept ?? "").replaceAll(" ", "");
    const send = (body: object | undefined) => {
      if (body === undefined) throw pathNotFound();
      sendJson(response, 200, body);
    };
    if (path === "/api" || path === "/apis") {
      if (accept.includes("g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")) {
        response.setHeader("vary", "Accept");
        sendJson(response, 200, discovery.aggregated(path === "/api"), AGGREGATED);
      } else send(path === "/api" ? discovery.coreVersions() : discovery.groupList());
      return;
    }
    if (path === "/openapi/v3") {
      send(openApiIndex(operations.catalog));
      return;
    }
    if (path.startsWith("/openapi/v3/")) {
      const target = openApiTarget(path);
      send(target === undefined ? undefined : openApiDocument(operations.catalog, target.group, target.version));
      return;
    }
    const parts = path.split("/").filter((part) => part !== "");
    if (parts[0] === "api" && parts.length === 2) send(discovery.resources("", parts[1] ?? ""));
    else if (parts[0] === "apis" && parts.length === 2) send(discovery.group(parts[1] ?? ""));
    else if (parts[0] === "apis" && parts.length === 3) send(discovery.resources(parts[1] ?? "", parts[2] ?? ""));
    else throw pathNotFound();
  }

  async #resource(exchange: Exchange, target: Target): Promise<void> {
    const { operations, objects, subresources, reviews } = this.#parts;
    const kind = operations.catalog.find(target.group, target.version, target.resource);
    if (kind === undefined) {
      const virtual = VIRTUAL_KINDS.find(
        (one) => one.group === target.group && one.version === target.version && one.plural === target.resource,
      );
      if (virtual === undefined || target.name !== "") throw pathNotFound();
      await reviews.serve(exchange, virtual);
      return;
    }
    if (!kind.namespaced && target.namespace !== "") throw pathNotFound();
    if (target.subresource === "") await objects.serve(exchange, kind, target);
    else if (kind.resource === "/pods" && target.subresource === "log") {
      await proxyLogs(this.#socket(), this.#podPath("containerLogs", target, exchange.info.query), exchange.response);
    } else await subresources.serve(exchange, kind, target);
  }

  #podPath(kind: "containerLogs" | "exec", { namespace, name }: Target, query: URLSearchParams): string {
    const { operations } = this.#parts;
    const pods = operations.catalog.byResource("/pods");
    if (pods === undefined) throw pathNotFound();
    return kubeletPath(kind, operations.get(pods, namespace, name), query);
  }

  #socket(): string {
    const { kubeletSocket } = this.#parts;
    if (kubeletSocket === undefined)
      throw new StatusError(502, "BadGateway", "this API server has no node agent: logs and exec are not available");
    return kubeletSocket;
  }
}
