import { parseDuration } from "../../core/duration.ts";
import {
  MAX_RETRIES,
  type RetrySettings,
  ROUTE_LIMITS,
  type RouteBackend,
  type RouteRule,
  type TimeoutSettings,
} from "../../core/route.ts";
import {
  type BackendReference,
  GRPC_ROUTES,
  type GrpcRouteMatchSpec,
  type GrpcRouteRuleSpec,
  type HttpRouteMatchSpec,
  type HttpRouteRuleSpec,
  type RouteObject,
} from "../../kube/gateway-api.ts";
import { AnnotationReader, defined, unlessEmpty } from "../settings/annotations.ts";
import { readFilters } from "./filters.ts";
import { type RankedMatch, readGrpcMatch, readHttpMatch } from "./matches.ts";
import { readBackend } from "./references.ts";
import { type Refusal, type RouteWorld, Unsupported } from "./route-world.ts";

/** A rule with its matches apart, each of which has a place of its own among those of other rules. */
export interface DraftRule {
  readonly rule: Omit<RouteRule, "matches">;
  /** At least one. */
  readonly matches: readonly RankedMatch[];
}

export interface ReadRoute {
  readonly rules: readonly DraftRule[];
  /** What this mesh does not do: its rules answer 500, or match nothing. */
  readonly unsupported: readonly string[];
  readonly refused: readonly Refusal[];
  /** What counts as not there. */
  readonly ignored: readonly string[];
}

const BROKEN: RouteBackend = { authority: "", weight: 1, filters: [] };
const MAX_WEIGHT = 1_000_000;

/** The rules of a route, apart from what they are attached to. Never throws: what cannot be done is told. */
export function readRoute(route: RouteObject, world: RouteWorld): ReadRoute {
  const reader = new AnnotationReader(route.metadata.annotations);
  const base = { timeouts: reader.timeouts(), retry: reader.retry() };
  const unsupported: string[] = [];
  const ignored = [...reader.problems];
  const refused: Refusal[] = [];
  const rules: DraftRule[] = [];
  const specs = route.spec.rules ?? [{}];
  const { namespace = "", name } = route.metadata;
  for (const [index, spec] of specs.entries()) {
    const label = spec.name ?? String(index);
    const tell = (what: string) => unsupported.push(`Rule ${label}: ${what}.`);
    const matches = readMatches(route, spec, tell);
    if (matches.length === 0) continue;
    if (spec.sessionPersistence !== undefined) ignored.push(`Rule ${label}: sessionPersistence is not done.`);
    // A GRPCRoute has neither, but for its annotations.
    const own = readResilience(spec, label, ignored);
    const timeouts = unlessEmpty({ ...base.timeouts, ...own.timeouts });
    const retry = unlessEmpty({ ...base.retry, ...own.retry });
    rules.push({
      matches,
      rule: {
        name: `${route.kind}/${namespace}/${name}/${label}`,
        ...readActions(route, spec, world, tell, refused),
        ...defined({ timeouts, retry }),
        grpc: route.kind === GRPC_ROUTES.kind,
      },
    });
  }
  return { rules, unsupported, refused, ignored };
}

/** What of the matches can be matched; none is worse than a rule for all requests, which is what no matches mean. */
function readMatches(
  route: RouteObject,
  spec: HttpRouteRuleSpec | GrpcRouteRuleSpec,
  tell: (what: string) => void,
): RankedMatch[] {
  const specs = spec.matches?.length ? spec.matches : [{}];
  const { matchesPerRule } = ROUTE_LIMITS;
  if (specs.length > matchesPerRule) tell(`more than ${matchesPerRule} matches`);
  return specs.slice(0, matchesPerRule).flatMap((match): RankedMatch[] => {
    try {
      return route.kind === GRPC_ROUTES.kind
        ? [readGrpcMatch(match as GrpcRouteMatchSpec)]
        : [readHttpMatch(match as HttpRouteMatchSpec)];
    } catch (error) {
      if (!(error instanceof Unsupported)) throw error;
      tell(`the match is left out: ${error.message}`);
      return [];
    }
  });
}

function readActions(
  route: RouteObject,
  spec: HttpRouteRuleSpec | GrpcRouteRuleSpec,
  world: RouteWorld,
  tell: (what: string) => void,
  refused: Refusal[],
): Pick<RouteRule, "filters" | "backends"> {
  const matches = (spec.matches ?? []) as readonly HttpRouteMatchSpec[];
  const context = {
    byPrefix: matches.every(({ path }) => (path?.type ?? "PathPrefix") === "PathPrefix"),
    grpc: route.kind === GRPC_ROUTES.kind,
    backend: (ref: BackendReference) => readBackend(ref, route, world),
    refused: (refusal: Refusal) => refused.push(refusal),
  };
  try {
    const filters = readFilters(spec.filters ?? [], { ...context, ofBackend: false });
    const refs = spec.backendRefs ?? [];
    if (refs.length > ROUTE_LIMITS.backends) throw new Unsupported(`more than ${ROUTE_LIMITS.backends} backends`);
    const backends = refs.map((ref): RouteBackend => {
      const found = readBackend(ref, route, world);
      if (typeof found !== "string") refused.push(found);
      return {
        authority: typeof found === "string" ? found : "",
        weight: Math.min(Math.max(0, Math.trunc(ref.weight ?? 1)), MAX_WEIGHT),
        filters: readFilters(ref.filters ?? [], { ...context, ofBackend: true }),
      };
    });
    const used = backends.filter(({ weight }) => weight > 0);
    // No backends mean the service itself; backends that all weigh nothing mean none.
    return { filters, backends: backends.length > 0 && used.length === 0 ? [BROKEN] : used };
  } catch (error) {
    if (!(error instanceof Unsupported)) throw error;
    tell(`it answers 500, since this is not done: ${error.message}`);
    return { filters: [], backends: [BROKEN] };
  }
}

function readResilience(
  { timeouts = {}, retry }: Pick<HttpRouteRuleSpec | GrpcRouteRuleSpec, "timeouts" | "retry">,
  label: string,
  ignored: string[],
): { timeouts: TimeoutSettings; retry: RetrySettings } {
  const duration = (field: string, text: string | undefined): number | undefined => {
    const ms = text === undefined ? undefined : parseDuration(text);
    if (text !== undefined && ms === undefined)
      ignored.push(`Rule ${label}: ${field} is ${JSON.stringify(text.slice(0, 40))}, want a duration such as "10s".`);
    return ms;
  };
  const codes = (retry?.codes ?? []).filter((code) => Number.isInteger(code) && code >= 400 && code <= 599);
  const attempts = retry?.attempts;
  if (attempts !== undefined && attempts > MAX_RETRIES)
    ignored.push(`Rule ${label}: ${attempts} retries count as ${MAX_RETRIES}.`);
  return {
    timeouts: defined({
      requestMs: duration("timeouts.request", timeouts.request),
      tryMs: duration("timeouts.backendRequest", timeouts.backendRequest),
    }),
    retry: defined({
      limit: attempts === undefined ? undefined : Math.min(Math.max(0, Math.trunc(attempts)), MAX_RETRIES),
      httpStatuses: codes.length === 0 ? undefined : [...new Set(codes)].sort((a, b) => a - b),
      backoffMs: duration("retry.backoff", retry?.backoff),
    }),
  };
}
