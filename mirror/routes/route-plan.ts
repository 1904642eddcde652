import { type AttachedRule, NO_ROUTES, ROUTE_LIMITS, type RouteSet, type ServiceRoutes } from "../../core/route.ts";
import { type ServiceKey, serviceKey } from "../../core/service.ts";
import type { ParentReference, RouteObject } from "../../kube/gateway-api.ts";
import type { WantedCondition } from "../conditions.ts";
import { type Attachment, byAge, byPrecedence } from "./precedence.ts";
import { readParent } from "./references.ts";
import type { Refusal, RouteTarget, RouteWorld } from "./route-world.ts";
import { type ReadRoute, readRoute } from "./rules.ts";

/** What we have to say of a route's parent. */
export interface ParentVerdict {
  readonly parentRef: ParentReference;
  readonly conditions: readonly WantedCondition[];
}

export interface RoutePlan {
  /** By service, those without rules left out. */
  readonly services: ReadonlyMap<ServiceKey, ServiceRoutes>;
  /** For each route what its status is to say of us; nothing where it has no parent of the mesh's. */
  readonly verdicts: ReadonlyMap<RouteObject, readonly ParentVerdict[]>;
}

/** Longest list of what is wrong in one message. */
const LISTED = 5;

/**
 * The rules of every service that a route is attached to, and what becomes of each route. Routes of the service's own
 * namespace are for all clients; those of another are for the clients in it, in place of the former (GEP-1426).
 */
export function planRoutes(world: RouteWorld): RoutePlan {
  const places = new Places();
  const verdicts = new Map<RouteObject, readonly ParentVerdict[]>();
  for (const route of [...world.routes].sort(byAge)) {
    const refs = route.metadata.deletionTimestamp === undefined ? (route.spec.parentRefs ?? []) : [];
    const read = readRoute(route, world);
    const attached = new Map<Place, { ports: (readonly number[])[]; refusal: Refusal | undefined }>();
    const found = refs.flatMap((parentRef): { parentRef: ParentReference; parent: Place | Refusal }[] => {
      const parent = readParent(parentRef, route, world);
      if (parent === undefined) return [];
      if ("reason" in parent) return [{ parentRef, parent }];
      const place = places.of(parent.target, route);
      const known = attached.get(place)?.ports ?? [];
      attached.set(place, { ports: [...known, parent.ports], refusal: undefined });
      return [{ parentRef, parent: place }];
    });
    for (const [place, attachment] of attached) {
      // One reference without ports is for all of them.
      const all = attachment.ports.some((ports) => ports.length === 0);
      const ports = all ? [] : [...new Set(attachment.ports.flat())].sort((a, b) => a - b);
      attachment.refusal = place.attach({ route, rules: read.rules, ports });
    }
    verdicts.set(
      route,
      found.map(({ parentRef, parent }) => {
        const refusal = parent instanceof Place ? attached.get(parent)?.refusal : parent;
        return { parentRef, conditions: conditionsOf(route, read, refusal) };
      }),
    );
  }
  return { services: servicesOf(places.all()), verdicts };
}

/** Routes attached to one name of a service, for one kind of client. */
class Place {
  readonly target: RouteTarget;
  /** "" for all clients. */
  readonly client: string;
  readonly attachments: Attachment[] = [];
  readonly #budget: Budget;
  #rules = 0;
  #matches = 0;

  constructor(target: RouteTarget, client: string, budget: Budget) {
    this.target = target;
    this.client = client;
    this.#budget = budget;
  }

  /** Why `attachment` is one too many; undefined where it is taken. The oldest come first. */
  attach(attachment: Attachment): Refusal | undefined {
    const rules = this.#rules + attachment.rules.length;
    const matches = this.#matches + attachment.rules.reduce((sum, { matches }) => sum + matches.length, 0);
    // A rule may appear once for each of its matches.
    const bytes = attachment.rules.reduce(
      (sum, draft) =>
        sum +
        Buffer.byteLength(JSON.stringify(draft.rule)) * draft.matches.length +
        Buffer.byteLength(JSON.stringify(draft.matches)),
      this.#budget.bytes,
    );
    const clients = this.#budget.clients.size + (this.#budget.clients.has(this.client) ? 0 : 1);
    const over = [
      rules > ROUTE_LIMITS.rules && `${ROUTE_LIMITS.rules} rules`,
      matches > ROUTE_LIMITS.matches && `${ROUTE_LIMITS.matches} matches`,
      clients > ROUTE_LIMITS.consumers && `routes of ${ROUTE_LIMITS.consumers} namespaces`,
      bytes > ROUTE_LIMITS.bytes && `${ROUTE_LIMITS.bytes} bytes of rules`,
    ].find((limit) => limit !== false);
    if (over !== undefined) {
      const message = `It is not applied: with older routes it comes to more than ${over} for one service.`;
      return { reason: "UnsupportedValue", message };
    }
    this.#rules = rules;
    this.#matches = matches;
    this.#budget.bytes = bytes;
    this.#budget.clients.add(this.client);
    this.attachments.push(attachment);
    return undefined;
  }
}

/** What all routes of one service may come to together: they are one value of the registry. */
interface Budget {
  bytes: number;
  readonly clients: Set<string>;
}

class Places {
  readonly #places = new Map<string, Place>();
  readonly #budgets = new Map<ServiceKey, Budget>();

  /** Where `route` is attached when it is attached to `target`. */
  of(target: RouteTarget, route: RouteObject): Place {
    const { of, namespace, name } = target;
    const own = route.metadata.namespace === namespace;
    const client = own ? "" : (route.metadata.namespace ?? "");
    const id = [of, namespace, name, client].join(" ");
    const known = this.#places.get(id);
    if (known !== undefined) return known;
    const key = serviceKey(namespace, name);
    const budget = this.#budgets.get(key) ?? { bytes: 0, clients: new Set() };
    this.#budgets.set(key, budget);
    const place = new Place(target, client, budget);
    this.#places.set(id, place);
    return place;
  }

  all(): Iterable<Place> {
    return this.#places.values();
  }
}

function servicesOf(places: Iterable<Place>): Map<ServiceKey, ServiceRoutes> {
  const services = new Map<ServiceKey, { namespace: string; name: string; service: RouteSet; clusterset: RouteSet }>();
  for (const { target, client, attachments } of places) {
    const rules = byPrecedence(attachments);
    if (rules.length === 0) continue;
    const { namespace, name, of } = target;
    const key = serviceKey(namespace, name);
    const routes = services.get(key) ?? { namespace, name, service: NO_ROUTES, clusterset: NO_ROUTES };
    routes[of] = withRules(routes[of], client, rules);
    services.set(key, routes);
  }
  return services;
}

function withRules(set: RouteSet, client: string, rules: readonly AttachedRule[]): RouteSet {
  return client === "" ? { ...set, producer: rules } : { ...set, consumers: { ...set.consumers, [client]: rules } };
}

function conditionsOf(route: RouteObject, read: ReadRoute, refusal: Refusal | undefined): WantedCondition[] {
  const { generation } = route.metadata;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const accepted: Omit<WantedCondition, "type"> =
    refusal !== undefined
      ? { status: "False", reason: refusal.reason, message: refusal.message }
      : read.unsupported.length > 0
        ? { status: "False", reason: "UnsupportedValue", message: listed(read.unsupported) }
        : {
            status: "True",
            reason: "Accepted",
            message: read.ignored.length === 0 ? "" : `Not applied: ${listed(read.ignored)}`,
          };
  const [first] = read.refused;
  const resolved: Omit<WantedCondition, "type"> =
    first === undefined
      ? { status: "True", reason: "ResolvedRefs", message: "" }
      : { status: "False", reason: first.reason, message: listed(read.refused.map(({ message }) => message)) };
  return [
    { type: "Accepted", ...accepted, ...observed },
    { type: "ResolvedRefs", ...resolved, ...observed },
  ];
}

function listed(texts: readonly string[]): string {
  const all = [...new Set(texts)];
  const more = all.length - LISTED;
  return all.slice(0, LISTED).join(" ") + (more > 0 ? ` And ${more} more.` : "");
}
