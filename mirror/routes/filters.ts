import {
  type HeaderModifier,
  type HeaderValue,
  type PathChange,
  ROUTE_LIMITS,
  type RouteFilter,
} from "../../core/route.ts";
import type { BackendReference, HeaderFilterSpec, PathModifierSpec, RouteFilterSpec } from "../../kube/gateway-api.ts";
import { type Refusal, Unsupported } from "./route-world.ts";

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/;
const HOST = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: what a path or a header value must not hold
const CONTROLS = /[\x00-\x1f\x7f]/;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const DEFAULT_PORTS: Readonly<Record<string, number>> = { http: 80, https: 443 };

/** Headers that frame a message or belong to the mesh: to change them would break either. */
const RESERVED = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** A header's name in lower case. @throws Unsupported for what is none */
export function headerName(name: string): string {
  if (!TOKEN.test(name)) throw new Unsupported(`${JSON.stringify(name.slice(0, 80))} is no name of a header`);
  return name.toLowerCase();
}

/** `value` where it fits into a header. @throws Unsupported where it does not */
export function headerText(value: string): string {
  if (CONTROLS.test(value.replaceAll("\t", " ")) || Buffer.byteLength(value) > ROUTE_LIMITS.valueLength)
    throw new Unsupported(`a header's value is over ${ROUTE_LIMITS.valueLength} bytes or holds control characters`);
  return value;
}

/** `path` where it is one. @throws Unsupported where it is not */
export function checkedPath(path: string): string {
  if (CONTROLS.test(path) || /[ ?#]/.test(path) || Buffer.byteLength(path) > ROUTE_LIMITS.pathLength)
    throw new Unsupported(
      `${JSON.stringify(path.slice(0, 80))} is no path of at most ${ROUTE_LIMITS.pathLength} bytes`,
    );
  return path;
}

interface FilterContext {
  /** Whether all matches of the rule are prefixes of paths, so that the prefix can be replaced. */
  readonly byPrefix: boolean;
  /** Of a GRPCRoute: headers and mirrors only. */
  readonly grpc: boolean;
  /** Of one backend: where to send the request is settled. */
  readonly ofBackend: boolean;
  backend(ref: BackendReference): string | Refusal;
  /** A mirror's backend that may not be used or does not exist: its filter does nothing. */
  refused(refusal: Refusal): void;
}

/** The filters of a rule or a backend. @throws Unsupported for those that this mesh does not do */
export function readFilters(specs: readonly RouteFilterSpec[], context: FilterContext): RouteFilter[] {
  if (specs.length > ROUTE_LIMITS.filters) throw new Unsupported(`more than ${ROUTE_LIMITS.filters} filters`);
  const filters = specs.flatMap((spec) => readFilter(spec, context));
  const kinds = new Set(filters.map(({ kind }) => kind));
  if (kinds.has("redirect") && kinds.has("rewrite")) throw new Unsupported("a redirect together with a rewrite");
  return filters;
}

function readFilter(spec: RouteFilterSpec, context: FilterContext): RouteFilter[] {
  const { type, requestHeaderModifier, responseHeaderModifier, requestRedirect, urlRewrite, requestMirror } = spec;
  if (type === "RequestHeaderModifier" && requestHeaderModifier !== undefined)
    return [{ kind: "requestHeaders", headers: readModifier(requestHeaderModifier) }];
  if (type === "ResponseHeaderModifier" && responseHeaderModifier !== undefined)
    return [{ kind: "responseHeaders", headers: readModifier(responseHeaderModifier) }];
  if (type === "RequestMirror" && requestMirror !== undefined) return readMirror(requestMirror, context);
  if (type === "URLRewrite" && urlRewrite !== undefined && !context.grpc) {
    const { hostname = "", path } = urlRewrite;
    return [{ kind: "rewrite", host: readHost(hostname), ...readPathChange(path, context) }];
  }
  if (type === "RequestRedirect" && requestRedirect !== undefined && !context.grpc && !context.ofBackend)
    return [readRedirect(requestRedirect, context)];
  throw new Unsupported(`filter ${type.slice(0, 40)}${context.ofBackend ? " of a backend" : ""}`);
}

function readModifier({ set = [], add = [], remove = [] }: HeaderFilterSpec): HeaderModifier {
  if (set.length + add.length + remove.length > ROUTE_LIMITS.headersPerModifier * 3)
    throw new Unsupported(`more than ${ROUTE_LIMITS.headersPerModifier} headers to set, add or remove`);
  const changed = (name: string) => {
    const lower = headerName(name);
    if (RESERVED.has(lower) || lower.startsWith("x-causeway-"))
      throw new Unsupported(`a change of header ${lower}, which is not a route's to change`);
    return lower;
  };
  const value = (header: { name: string; value: string }): HeaderValue => ({
    name: changed(header.name),
    value: headerText(header.value),
  });
  return { set: set.map(value), add: add.map(value), remove: remove.map(changed) };
}

function readHost(host: string): string {
  if (host !== "" && !HOST.test(host)) throw new Unsupported(`${JSON.stringify(host.slice(0, 80))} is no host`);
  return host;
}

function readPathChange(path: PathModifierSpec | undefined, context: FilterContext): { path?: PathChange } {
  if (path === undefined) return {};
  if (path.type === "ReplaceFullPath") {
    const value = checkedPath(path.replaceFullPath ?? "/");
    return { path: { kind: "full", value: value.startsWith("/") ? value : `/${value}` } };
  }
  if (path.type !== "ReplacePrefixMatch") throw new Unsupported(`path change ${path.type.slice(0, 40)}`);
  if (!context.byPrefix) throw new Unsupported("ReplacePrefixMatch in a rule with a match that is not a PathPrefix");
  return { path: { kind: "prefix", value: checkedPath(path.replacePrefixMatch ?? "/") } };
}

function readRedirect(
  spec: NonNullable<RouteFilterSpec["requestRedirect"]>,
  context: FilterContext,
): Extract<RouteFilter, { kind: "redirect" }> {
  const { scheme = "", hostname = "", statusCode = 302, path } = spec;
  if (scheme !== "" && scheme !== "http" && scheme !== "https") throw new Unsupported(`scheme ${scheme.slice(0, 20)}`);
  if (!REDIRECTS.has(statusCode)) throw new Unsupported(`redirects with status ${statusCode}`);
  // A new scheme without a port means the scheme's own; otherwise the request's stays.
  const port = spec.port ?? DEFAULT_PORTS[scheme] ?? 0;
  return {
    kind: "redirect",
    scheme,
    host: readHost(hostname),
    port,
    status: statusCode,
    ...readPathChange(path, context),
  };
}

function readMirror(spec: NonNullable<RouteFilterSpec["requestMirror"]>, context: FilterContext): RouteFilter[] {
  const { percent, fraction } = spec;
  const numerator = fraction?.numerator ?? percent ?? 100;
  const denominator = fraction?.denominator ?? 100;
  if (!Number.isInteger(numerator) || !Number.isInteger(denominator) || numerator < 0 || denominator < 1)
    throw new Unsupported("a mirror's share that is none");
  if (numerator > denominator) throw new Unsupported("a mirror's share over 100 %");
  const found = context.backend(spec.backendRef);
  if (typeof found === "string") return [{ kind: "mirror", authority: found, numerator, denominator }];
  context.refused(found);
  return [];
}
