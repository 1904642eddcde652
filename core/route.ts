/**
 * Routes as Gateway API means them and as the registry holds them, in the order and the words of
 * `causeway.discovery.v1.RouteRule`. Made by the mirror, handed out by control, applied by proxies.
 */
export interface RouteRule {
  /** `<kind>/<namespace>/<name>/<index or name of the rule>` */
  readonly name: string;
  /** One of them must match; none: all requests do. */
  readonly matches: readonly RouteMatch[];
  readonly filters: readonly RouteFilter[];
  /** By weight. None: the service itself. */
  readonly backends: readonly RouteBackend[];
  /** What is not set is the service's. */
  readonly timeouts?: TimeoutSettings;
  readonly retry?: RetrySettings;
  readonly grpc: boolean;
}

/** How a value is compared; a prefix is of whole path segments, a regex of the whole value (see `route-regex.ts`). */
export interface ValueMatch {
  readonly kind: "exact" | "prefix" | "regex";
  readonly value: string;
}

/** Of a header (its name in lower case) or a query parameter. */
export interface NamedMatch {
  readonly name: string;
  readonly value: ValueMatch;
}

/** All that is there must match. */
export interface RouteMatch {
  readonly path?: ValueMatch;
  /** "" is any. */
  readonly method: string;
  readonly headers: readonly NamedMatch[];
  readonly query: readonly NamedMatch[];
}

export interface HeaderValue {
  /** Lower case. */
  readonly name: string;
  readonly value: string;
}

export interface HeaderModifier {
  readonly set: readonly HeaderValue[];
  readonly add: readonly HeaderValue[];
  readonly remove: readonly string[];
}

/** A whole path, or what replaces the prefix that matched. */
export interface PathChange {
  readonly kind: "full" | "prefix";
  readonly value: string;
}

export type RouteFilter =
  | { readonly kind: "requestHeaders"; readonly headers: HeaderModifier }
  | { readonly kind: "responseHeaders"; readonly headers: HeaderModifier }
  /** "" and 0: as in the request. */
  | {
      readonly kind: "redirect";
      readonly scheme: string;
      readonly host: string;
      readonly port: number;
      readonly path?: PathChange;
      readonly status: number;
    }
  | { readonly kind: "rewrite"; readonly host: string; readonly path?: PathChange }
  | { readonly kind: "mirror"; readonly authority: string; readonly numerator: number; readonly denominator: number };

export interface RouteBackend {
  /** `<host>:<port>`; "": what it names may not be used or does not exist, and its share is answered 500. */
  readonly authority: string;
  readonly weight: number;
  readonly filters: readonly RouteFilter[];
}

/** In ms; 0 is none, absent is not said. */
export interface TimeoutSettings {
  /** From the request's head to the end of the answer. */
  readonly requestMs?: number;
  /** One try, to the head of its answer. */
  readonly tryMs?: number;
  /** Without a byte in either direction. */
  readonly idleMs?: number;
}

/** Absent is not said. */
export interface RetrySettings {
  /** Tries after the first one. */
  readonly limit?: number;
  readonly httpStatuses?: readonly number[];
  readonly grpcStatuses?: readonly number[];
  readonly backoffMs?: number;
  /** Of any method, not only idempotent ones. */
  readonly anyMethod?: boolean;
}

/** The rules for one kind of name of a service. */
export interface RouteSet {
  /** For all clients, best first. */
  readonly producer: readonly AttachedRule[];
  /** By namespace of the client, in place of the producer's. */
  readonly consumers: Readonly<Record<string, readonly AttachedRule[]>>;
}

export interface AttachedRule {
  /** Ports of the service for which it holds; none: all. */
  readonly ports: readonly number[];
  readonly rule: RouteRule;
}

/** All rules attached to a Service, and to the ServiceImport of its name. */
export interface ServiceRoutes {
  readonly namespace: string;
  readonly name: string;
  readonly service: RouteSet;
  readonly clusterset: RouteSet;
}

export const NO_ROUTES: RouteSet = { producer: [], consumers: {} };

/** What routes may hold; more, and the route is not accepted. */
export const ROUTE_LIMITS = {
  /** Of one Service, for the clients of one namespace. */
  rules: 64,
  matches: 256,
  matchesPerRule: 64,
  /** Headers, and query parameters, in one match. */
  conditions: 16,
  filters: 16,
  backends: 16,
  headersPerModifier: 16,
  pathLength: 1_024,
  valueLength: 4_096,
  /** Namespaces with routes of their own for one Service. */
  consumers: 256,
  /** Of all rules of one Service, in the registry. */
  bytes: 786_432,
} as const;

/** Most tries after the first. */
export const MAX_RETRIES = 10;
/** Tries after the first where statuses to retry are named and no number is. */
export const DEFAULT_RETRIES = 2;
