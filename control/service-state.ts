import {
  DEFAULT_RETRIES,
  type HeaderModifier,
  type PathChange,
  type RetrySettings,
  type RouteFilter,
  type RouteMatch,
  type RouteRule,
  type TimeoutSettings,
  type ValueMatch,
} from "../core/route.ts";
import type { HeaderModifier as HeaderModifierMessage } from "../protos/gen/causeway/discovery/v1/HeaderModifier.ts";
import type { PathChange as PathChangeMessage } from "../protos/gen/causeway/discovery/v1/PathChange.ts";
import type { RetryPolicy } from "../protos/gen/causeway/discovery/v1/RetryPolicy.ts";
import type { RouteFilter as RouteFilterMessage } from "../protos/gen/causeway/discovery/v1/RouteFilter.ts";
import type { RouteMatch as RouteMatchMessage } from "../protos/gen/causeway/discovery/v1/RouteMatch.ts";
import type { RouteRule as RouteRuleMessage } from "../protos/gen/causeway/discovery/v1/RouteRule.ts";
import type { ServiceState } from "../protos/gen/causeway/discovery/v1/ServiceState.ts";
import type { Timeouts } from "../protos/gen/causeway/discovery/v1/Timeouts.ts";
import type { ValueMatch as ValueMatchMessage } from "../protos/gen/causeway/discovery/v1/ValueMatch.ts";
import type { Resolution } from "./catalog.ts";

/** What `authority` is, as a proxy is told. */
export function serviceState(authority: string, resolution: Resolution): ServiceState {
  switch (resolution.kind) {
    case "notFound":
      return { authority, kind: "KIND_NOT_FOUND" };
    case "external":
      return { authority, kind: "KIND_EXTERNAL" };
    case "service": {
      const { kind: _, groups, routes, timeouts, retry, ...rest } = resolution;
      return {
        authority,
        kind: "KIND_SERVICE",
        ...rest,
        groups: groups.map((g) => ({ ...g, endpoints: [...g.endpoints], gateways: [...g.gateways] })),
        ...(routes.length === 0 ? {} : { routes: routes.map(ruleMessage) }),
        ...(timeouts === undefined ? {} : { timeouts: timeoutsMessage(timeouts) }),
        ...(retry === undefined ? {} : { retry: retryMessage(retry) }),
      };
    }
    default:
      return resolution satisfies never;
  }
}

function ruleMessage({ name, matches, filters, backends, timeouts, retry, grpc }: RouteRule): RouteRuleMessage {
  return {
    name,
    matches: matches.map(matchMessage),
    filters: filters.map(filterMessage),
    backends: backends.map((backend) => ({ ...backend, filters: backend.filters.map(filterMessage) })),
    ...(timeouts === undefined ? {} : { timeouts: timeoutsMessage(timeouts) }),
    ...(retry === undefined ? {} : { retry: retryMessage(retry) }),
    grpc,
  };
}

const MATCH_KINDS = { exact: "KIND_EXACT", prefix: "KIND_PREFIX", regex: "KIND_REGEX" } as const;

function valueMessage({ kind, value }: ValueMatch): ValueMatchMessage {
  return { kind: MATCH_KINDS[kind], value };
}

function matchMessage({ path, method, headers, query }: RouteMatch): RouteMatchMessage {
  return {
    ...(path === undefined ? {} : { path: valueMessage(path) }),
    method,
    headers: headers.map(({ name, value }) => ({ name, value: valueMessage(value) })),
    query: query.map(({ name, value }) => ({ name, value: valueMessage(value) })),
  };
}

function filterMessage(filter: RouteFilter): RouteFilterMessage {
  switch (filter.kind) {
    case "requestHeaders":
      return { requestHeaders: headersMessage(filter.headers) };
    case "responseHeaders":
      return { responseHeaders: headersMessage(filter.headers) };
    case "redirect": {
      const { scheme, host, port, status, path } = filter;
      return { redirect: { scheme, host, port, status, ...pathMessage(path) } };
    }
    case "rewrite":
      return { rewrite: { host: filter.host, ...pathMessage(filter.path) } };
    case "mirror": {
      const { authority, numerator, denominator } = filter;
      return { mirror: { authority, numerator, denominator } };
    }
    default:
      return filter satisfies never;
  }
}

function headersMessage({ set, add, remove }: HeaderModifier): HeaderModifierMessage {
  return { set: [...set], add: [...add], remove: [...remove] };
}

function pathMessage(path: PathChange | undefined): { path?: PathChangeMessage } {
  if (path === undefined) return {};
  return { path: path.kind === "full" ? { full: path.value } : { prefix: path.value, replacesPrefix: true } };
}

function timeoutsMessage({ requestMs = 0, tryMs = 0, idleMs = 0 }: TimeoutSettings): Timeouts {
  return { requestMs, tryMs, idleMs };
}

function retryMessage(retry: RetrySettings): RetryPolicy {
  const { limit = DEFAULT_RETRIES, httpStatuses = [], grpcStatuses = [], backoffMs = 0, anyMethod = false } = retry;
  return { limit, httpStatuses: [...httpStatuses], grpcStatuses: [...grpcStatuses], backoffMs, anyMethod };
}
