import { MeshError } from "../../core/errors.ts";
import type { Random } from "../../core/random.ts";
import type { PathChange, RouteFilter, RouteRule } from "../../core/route.ts";
import type { RetryPolicy, Timeouts } from "../resilience/request-policy.ts";
import { changeOf, type HeaderChange } from "./header-change.ts";
import { type RequestView, type Word, word } from "./request-view.ts";
import { ANY_REQUEST, type CompiledMatch, compileMatch, meets } from "./route-matcher.ts";
import type { Redirect } from "./target-change.ts";

/** A rule's terms, ready for use. */
export interface RouteSpec extends Pick<RouteRule, "name" | "matches" | "filters" | "backends" | "grpc"> {
  /** Undefined: those of the service. */
  readonly timeouts: Timeouts | undefined;
  readonly retry: RetryPolicy | undefined;
}

/** A rule as it is applied. */
export interface Route {
  readonly name: string;
  /** Of its metrics. */
  readonly row: number;
  readonly grpc: boolean;
  readonly plans: readonly RoutePlan[];
  readonly totalWeight: number;
  readonly timeouts: Timeouts | undefined;
  readonly retry: RetryPolicy | undefined;
}

/** What becomes of a request that goes to one of a rule's backends: the filters of both together. */
export interface RoutePlan {
  readonly route: Route;
  /** undefined: the service itself. "": nobody, the answer is 500. */
  readonly authority: string | undefined;
  readonly weight: number;
  readonly requestHeaders: HeaderChange | undefined;
  readonly responseHeaders: HeaderChange | undefined;
  readonly redirect: Redirect | undefined;
  /** Sent as Host. */
  readonly host: Word | undefined;
  readonly path: PathChange | undefined;
  readonly mirrors: readonly MirrorTarget[];
}

/** Copies of `numerator` in `denominator` requests go there. */
export interface MirrorTarget {
  readonly authority: string;
  readonly numerator: number;
  readonly denominator: number;
}

interface Candidate {
  readonly route: Route;
  readonly match: CompiledMatch;
}

/** What a request has matched. */
export interface RouteMatched {
  readonly route: Route;
  /** Characters of its path that the rule's prefix stands for. */
  readonly prefixLength: number;
}

/** The rules of a service, compiled once for each state of it. */
export class RouteTable {
  readonly #candidates: readonly Candidate[];
  /** All other services that the rules send requests or copies to. */
  readonly authorities: ReadonlySet<string>;
  /** Row of the metrics of requests that match no rule. */
  readonly unmatchedRow: number;

  /** `rowOf`: the row of a rule's metrics. A rule that cannot be compiled matches nothing. */
  constructor(rules: readonly RouteSpec[], rowOf: (name: string) => number) {
    const routes = rules.map((rule) => compileRoute(rule, rowOf(rule.name)));
    this.#candidates = rules.flatMap((rule, i) => {
      const route = routes[i] as Route;
      return compiledMatches(rule).map((match) => ({ route, match }));
    });
    const named = routes.flatMap(({ plans }) =>
      plans.flatMap(({ authority, mirrors }) => [authority ?? "", ...mirrors.map((mirror) => mirror.authority)]),
    );
    this.unmatchedRow = rowOf("");
    this.authorities = new Set(named.filter((authority) => authority !== ""));
  }

  /** The first rule that the request matches; undefined where it matches none. */
  find(view: RequestView): RouteMatched | undefined {
    for (const { route, match } of this.#candidates) {
      if ((route.grpc && !view.grpc) || !meets(match, view)) continue;
      return { route, prefixLength: match.prefixLength };
    }
    return undefined;
  }
}

/** A rule without matches takes all; one of its matches that cannot be used is none, and then never all are. */
function compiledMatches(rule: RouteSpec): CompiledMatch[] {
  if (rule.matches.length === 0) return [ANY_REQUEST];
  return rule.matches.flatMap((match) => {
    try {
      return [compileMatch(match)];
    } catch (error) {
      if (error instanceof MeshError) return [];
      throw error;
    }
  });
}

function compileRoute(rule: RouteSpec, row: number): Route {
  const plans: RoutePlan[] = [];
  const backends = rule.backends.length > 0 ? rule.backends : [undefined];
  const route: Route = {
    name: rule.name,
    row,
    grpc: rule.grpc,
    plans,
    totalWeight: backends.reduce((sum, backend) => sum + (backend?.weight ?? 1), 0),
    timeouts: rule.timeouts,
    retry: rule.retry,
  };
  for (const backend of backends) {
    const filters = [...rule.filters, ...(backend?.filters ?? [])];
    plans.push({ route, authority: backend?.authority, weight: backend?.weight ?? 1, ...compileFilters(filters) });
  }
  return route;
}

function compileFilters(filters: readonly RouteFilter[]): Omit<RoutePlan, "route" | "authority" | "weight"> {
  let redirect: Redirect | undefined;
  let host: Word | undefined;
  let path: PathChange | undefined;
  const mirrors: MirrorTarget[] = [];
  for (const filter of filters) {
    if (filter.kind === "redirect") redirect ??= filter;
    else if (filter.kind === "mirror") mirrors.push(filter);
    else if (filter.kind === "rewrite") {
      if (filter.host !== "") host = word(filter.host);
      path = filter.path ?? path;
    }
  }
  const requestHeaders = filters.flatMap((filter) => (filter.kind === "requestHeaders" ? [filter.headers] : []));
  const responseHeaders = filters.flatMap((filter) => (filter.kind === "responseHeaders" ? [filter.headers] : []));
  return {
    requestHeaders: changeOf(requestHeaders),
    responseHeaders: changeOf(responseHeaders),
    redirect,
    host,
    path,
    mirrors,
  };
}

/** One of the route's plans, by weight; undefined where all weights are 0. */
export function choosePlan(route: Route, random: Random): RoutePlan | undefined {
  const { plans, totalWeight } = route;
  if (totalWeight <= 0) return undefined;
  if (plans.length === 1) return plans[0];
  let rest = random() * totalWeight;
  let last: RoutePlan | undefined;
  for (const plan of plans) {
    if (plan.weight <= 0) continue;
    if (rest < plan.weight) return plan;
    rest -= plan.weight;
    last = plan;
  }
  return last;
}
