// Rules from the wire, bounded and checked: what cannot be used is left out, so that nothing wider applies instead.
import {
  type HeaderModifier,
  type HeaderValue,
  MAX_RETRIES,
  type NamedMatch,
  type PathChange,
  ROUTE_LIMITS,
  type RouteBackend,
  type RouteFilter,
  type RouteMatch,
  type ValueMatch,
} from "../../core/route.ts";
import type { HeaderModifier__Output } from "../../protos/gen/causeway/discovery/v1/HeaderModifier.ts";
import type { NamedMatch__Output } from "../../protos/gen/causeway/discovery/v1/NamedMatch.ts";
import type { PathChange__Output } from "../../protos/gen/causeway/discovery/v1/PathChange.ts";
import type { RetryPolicy__Output } from "../../protos/gen/causeway/discovery/v1/RetryPolicy.ts";
import type { RouteBackend__Output } from "../../protos/gen/causeway/discovery/v1/RouteBackend.ts";
import type { RouteFilter__Output } from "../../protos/gen/causeway/discovery/v1/RouteFilter.ts";
import type { RouteMatch__Output } from "../../protos/gen/causeway/discovery/v1/RouteMatch.ts";
import type { RouteRule__Output } from "../../protos/gen/causeway/discovery/v1/RouteRule.ts";
import type { Timeouts__Output } from "../../protos/gen/causeway/discovery/v1/Timeouts.ts";
import type { ValueMatch__Output } from "../../protos/gen/causeway/discovery/v1/ValueMatch.ts";
import { parseAuthority } from "../http1/authority.ts";
import { DEFAULT_RETRY, type RetryPolicy, type Timeouts } from "../resilience/request-policy.ts";
import { mayChange } from "./header-change.ts";
import type { RouteSpec } from "./route-table.ts";

const MAX_MS = 86_400_000;
const MAX_WEIGHT = 1_000_000;
const MAX_STATUSES = 64;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** What may stand in a path that is sent: RFC 9112 section 3.2, without "?" and "#". */
const PATH = /^[!$-;=@-~%]*$/;
const SCHEME = /^https?$/;
/** The digit that says how many retries are left to further hops is one. */
const MAX_LIMIT = Math.min(MAX_RETRIES, 9);

/** The rules of one service; rules over the limit are left out. */
export function routesFrom(wire: readonly RouteRule__Output[]): RouteSpec[] {
  return wire.slice(0, ROUTE_LIMITS.rules).map((rule) => ({
    name: rule.name.slice(0, 512),
    matches: matchesFrom(rule.matches),
    filters: rule.filters.slice(0, ROUTE_LIMITS.filters).flatMap((filter) => filterFrom(filter) ?? []),
    backends: rule.backends.slice(0, ROUTE_LIMITS.backends).map(backendFrom),
    timeouts: rule.timeouts ? timeoutsFrom(rule.timeouts) : undefined,
    retry: rule.retry ? retryFrom(rule.retry) : undefined,
    grpc: rule.grpc,
  }));
}

export function timeoutsFrom({ requestMs, tryMs, idleMs }: Timeouts__Output): Timeouts {
  const bounded = (ms: number) => Math.min(ms, MAX_MS);
  return { requestMs: bounded(requestMs), tryMs: bounded(tryMs), idleMs: bounded(idleMs) };
}

export function retryFrom(wire: RetryPolicy__Output): RetryPolicy {
  return {
    limit: Math.min(wire.limit, MAX_LIMIT),
    httpStatuses: new Set(wire.httpStatuses.slice(0, MAX_STATUSES).filter((status) => status >= 400 && status < 600)),
    grpcStatuses: new Set(wire.grpcStatuses.slice(0, MAX_STATUSES).filter((status) => status > 0 && status <= 16)),
    backoffMs: Math.min(wire.backoffMs, MAX_MS),
    anyMethod: wire.anyMethod || DEFAULT_RETRY.anyMethod,
  };
}

const NEVER: RouteMatch = { path: { kind: "exact", value: "" }, method: "", headers: [], query: [] };

/** A rule none of whose matches can be used matches nothing, not everything. */
function matchesFrom(wire: readonly RouteMatch__Output[]): readonly RouteMatch[] {
  if (wire.length === 0) return [];
  const usable = wire.slice(0, ROUTE_LIMITS.matchesPerRule).flatMap((match) => matchFrom(match) ?? []);
  return usable.length > 0 ? usable : [NEVER];
}

/** Undefined where a condition cannot be used: without it the match would be wider than was meant. */
function matchFrom({ path, method, headers, query }: RouteMatch__Output): RouteMatch | undefined {
  if (headers.length > ROUTE_LIMITS.conditions || query.length > ROUTE_LIMITS.conditions) return undefined;
  const named = [headers, query].map((wire) => wire.map(namedFrom));
  const [headerMatches = [], queryMatches = []] = named.map((all) => all.filter((one) => one !== undefined));
  if (headerMatches.length !== headers.length || queryMatches.length !== query.length) return undefined;
  const base = { method: method.slice(0, 32), headers: headerMatches, query: queryMatches };
  if (!path) return base;
  const value = valueFrom(path, ROUTE_LIMITS.pathLength);
  return value === undefined ? undefined : { ...base, path: value };
}

function namedFrom({ name, value }: NamedMatch__Output): NamedMatch | undefined {
  const given = value ? valueFrom(value, ROUTE_LIMITS.valueLength) : undefined;
  return given === undefined || name === "" || name.length > 256 ? undefined : { name, value: given };
}

function valueFrom({ kind, value }: ValueMatch__Output, maxLength: number): ValueMatch | undefined {
  if (value.length > maxLength) return undefined;
  switch (kind) {
    case "KIND_EXACT":
      return { kind: "exact", value };
    case "KIND_PREFIX":
      return { kind: "prefix", value };
    case "KIND_REGEX":
      return { kind: "regex", value };
    default:
      return undefined;
  }
}

function filterFrom(wire: RouteFilter__Output): RouteFilter | undefined {
  if (wire.requestHeaders) return { kind: "requestHeaders", headers: modifierFrom(wire.requestHeaders) };
  if (wire.responseHeaders) return { kind: "responseHeaders", headers: modifierFrom(wire.responseHeaders) };
  if (wire.redirect) {
    const { scheme, host, port, path, status } = wire.redirect;
    const change = pathFrom(path);
    return {
      kind: "redirect",
      scheme: SCHEME.test(scheme) ? scheme : "",
      host: hostFrom(host),
      port: port > 65_535 ? 0 : port,
      status: REDIRECTS.has(status) ? status : 302,
      ...(change === undefined ? {} : { path: change }),
    };
  }
  if (wire.rewrite) {
    const change = pathFrom(wire.rewrite.path);
    return { kind: "rewrite", host: hostFrom(wire.rewrite.host), ...(change === undefined ? {} : { path: change }) };
  }
  if (!wire.mirror) return undefined;
  const { numerator, denominator } = wire.mirror;
  const authority = parseAuthority(wire.mirror.authority, 80)?.key;
  if (authority === undefined || numerator === 0 || denominator === 0) return undefined;
  return { kind: "mirror", authority, numerator, denominator };
}

/** A host or host:port that can be sent; "" where it is none. */
function hostFrom(host: string): string {
  return parseAuthority(host, 80) === undefined ? "" : host;
}

function pathFrom(wire: PathChange__Output | null | undefined): PathChange | undefined {
  if (!wire) return undefined;
  const value = wire.replacesPrefix ? wire.prefix : wire.full;
  if (value.length > ROUTE_LIMITS.pathLength || !PATH.test(value)) return undefined;
  return { kind: wire.replacesPrefix ? "prefix" : "full", value };
}

function modifierFrom({ set, add, remove }: HeaderModifier__Output): HeaderModifier {
  const usable = (wire: readonly HeaderValue[]) =>
    wire
      .slice(0, ROUTE_LIMITS.headersPerModifier)
      .map(({ name, value }) => ({ name: name.toLowerCase(), value: value.slice(0, ROUTE_LIMITS.valueLength) }))
      .filter(({ name, value }) => mayChange(name, value));
  return {
    set: usable(set),
    add: usable(add),
    remove: remove
      .slice(0, ROUTE_LIMITS.headersPerModifier)
      .map((name) => name.toLowerCase())
      .filter((name) => mayChange(name)),
  };
}

function backendFrom({ authority, weight, filters }: RouteBackend__Output): RouteBackend {
  return {
    authority: parseAuthority(authority, 80)?.key ?? "",
    weight: Math.min(weight, MAX_WEIGHT),
    filters: filters.slice(0, ROUTE_LIMITS.filters).flatMap((filter) => filterFrom(filter) ?? []),
  };
}
