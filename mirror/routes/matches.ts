import { asMeshError } from "../../core/errors.ts";
import { type NamedMatch, ROUTE_LIMITS, type RouteMatch, type ValueMatch } from "../../core/route.ts";
import { compileRouteRegex } from "../../core/route-regex.ts";
import type { GrpcRouteMatchSpec, HttpRouteMatchSpec, ValueMatchSpec } from "../../kube/gateway-api.ts";
import { checkedPath, headerName, headerText } from "./filters.ts";
import { Unsupported } from "./route-world.ts";

/** A match and how specific it is: of two, the one whose first differing number is higher goes first. */
export interface RankedMatch {
  readonly match: RouteMatch;
  readonly rank: readonly number[];
}

/** Exact paths first; regular expressions, which Gateway API leaves open, before prefixes. */
const PATH_RANK = { exact: 2, regex: 1, prefix: 0 } as const;
const METHOD = /^[A-Z]{1,16}$/;
const GRPC_NAME = /^[A-Za-z_][A-Za-z0-9_.]{0,1023}$/;

/** A match of an HTTPRoute: by path, its length, method, headers, query parameters. @throws Unsupported */
export function readHttpMatch(spec: HttpRouteMatchSpec): RankedMatch {
  const path = readPath(spec.path?.type ?? "PathPrefix", spec.path?.value ?? "/");
  const method = spec.method ?? "";
  if (method !== "" && !METHOD.test(method)) throw new Unsupported(`method ${JSON.stringify(method.slice(0, 20))}`);
  const headers = readHeaders(spec.headers ?? []);
  const query = readNamed(spec.queryParams ?? [], (name) => name);
  const rank = [PATH_RANK[path.kind], path.value.length, method === "" ? 0 : 1, headers.length, query.length];
  // All paths begin with "/".
  const any = path.kind === "prefix" && path.value === "/";
  return { match: { ...(any ? {} : { path }), method, headers, query }, rank };
}

function readPath(type: string, text: string): ValueMatch {
  if (type === "RegularExpression") return { kind: "regex", value: checkedRegex(text) };
  const value = checkedPath(text);
  if (!value.startsWith("/")) throw new Unsupported(`path ${JSON.stringify(text.slice(0, 80))} without a leading "/"`);
  if (type === "Exact") return { kind: "exact", value };
  if (type === "PathPrefix") return { kind: "prefix", value: value.replace(/(?<=.)\/$/, "") };
  throw new Unsupported(`path match ${type.slice(0, 40)}`);
}

function checkedRegex(text: string): string {
  try {
    compileRouteRegex(text);
  } catch (error) {
    throw new Unsupported(asMeshError(error, "USAGE", "compile it").message);
  }
  return text;
}

function readHeaders(specs: readonly ValueMatchSpec[]): NamedMatch[] {
  return readNamed(specs, headerName);
}

/** Of several with one name only the first counts. */
function readNamed(specs: readonly ValueMatchSpec[], read: (name: string) => string): NamedMatch[] {
  if (specs.length > ROUTE_LIMITS.conditions)
    throw new Unsupported(`more than ${ROUTE_LIMITS.conditions} headers or parameters in one match`);
  const found = new Map<string, NamedMatch>();
  for (const { type = "Exact", name: text, value } of specs) {
    const name = read(text);
    if (name === "" || name.length > 256) throw new Unsupported("a match without a name, or one over 256 characters");
    if (type !== "Exact" && type !== "RegularExpression") throw new Unsupported(`match ${type.slice(0, 40)}`);
    const matched: ValueMatch =
      type === "Exact" ? { kind: "exact", value: headerText(value) } : { kind: "regex", value: checkedRegex(value) };
    if (!found.has(name)) found.set(name, { name, value: matched });
  }
  return [...found.values()];
}

/** A match of a GRPCRoute: by the length of its service, its method, and by headers. @throws Unsupported */
export function readGrpcMatch(spec: GrpcRouteMatchSpec): RankedMatch {
  const { type = "Exact", service = "", method = "" } = spec.method ?? {};
  const headers = readHeaders(spec.headers ?? []);
  const path = grpcPath(type, service, method);
  const rank = [service.length, method.length, headers.length];
  return { match: { ...(path === undefined ? {} : { path }), method: "", headers, query: [] }, rank };
}

function grpcPath(type: string, service: string, method: string): ValueMatch | undefined {
  if (service === "" && method === "") return undefined;
  if (type === "RegularExpression") {
    const half = (text: string) => (text === "" ? "[^/]+" : `(?:${checkedRegex(text)})`);
    return { kind: "regex", value: checkedRegex(`/${half(service)}/${half(method)}`) };
  }
  if (type !== "Exact") throw new Unsupported(`method match ${type.slice(0, 40)}`);
  if ([service, method].some((text) => text !== "" && !GRPC_NAME.test(text)))
    throw new Unsupported(`gRPC method ${JSON.stringify(`${service}/${method}`.slice(0, 80))}`);
  if (method === "") return { kind: "prefix", value: `/${service}` };
  return service === ""
    ? { kind: "regex", value: `/[^/]+/${method.replaceAll(".", "\\.")}` }
    : { kind: "exact", value: `/${service}/${method}` };
}
