// Which service a request goes to where its own has rules, whatever the protocol.
import type { Random } from "../../core/random.ts";
import type { Service } from "../balance/service.ts";
import { parseAuthority } from "../http1/authority.ts";
import type { Refusal } from "../http1/engine.ts";
import { type RequestView, word } from "../route/request-view.ts";
import { choosePlan, type RoutePlan, type RouteTable } from "../route/route-table.ts";
import { locationOf } from "../route/target-change.ts";
import { awaitAnswer } from "./service-lookup.ts";
import type { Entry, ServiceTable } from "./service-table.ts";
import type { Terms } from "./try-state.ts";

const HOST = word("host");

/** Where a request goes, and what becomes of it on the way. */
export interface Routed {
  readonly service: Service;
  readonly plan: RoutePlan;
  readonly terms: Terms;
  /** Characters of its path that the rule's prefix stands for. */
  readonly prefixLength: number;
}

export interface RoutingDeps {
  readonly services: ServiceTable;
  readonly random: Random;
}

/**
 * Applies the rules of `service`, which `entry` is of. "wait": control has yet to say what a backend is, and `again`
 * will be called. A refusal may be a redirect. `onRoute` is told the row of the rule's metrics, before all else.
 */
export function routeRequest(
  deps: RoutingDeps,
  entry: Entry,
  service: Service,
  table: RouteTable,
  view: RequestView,
  onRoute: (row: number) => void,
  again: () => void,
): Routed | Refusal | "wait" {
  const matched = table.find(view);
  if (matched === undefined) {
    onRoute(table.unmatchedRow);
    return {
      status: 404,
      code: "PROXY_NO_ROUTE",
      message: `Cannot route the request to ${entry.authority}: no rule of its routes matches. Check the HTTPRoutes of the service.`,
    };
  }
  const { route, prefixLength } = matched;
  onRoute(route.row);
  const plan = choosePlan(route, deps.random);
  if (plan?.redirect !== undefined) {
    // By address it was connected to; by name the client knows it.
    const named = parseAuthority(view.header(HOST) ?? "", 80) ?? parseAuthority(entry.authority, 80);
    const location = locationOf(plan.redirect, view, named?.host ?? "", named?.port ?? 80, prefixLength);
    return { status: plan.redirect.status, message: `It is at ${location}.`, fields: [["location", location]] };
  }
  const terms = { timeouts: route.timeouts ?? service.spec.timeouts, retry: route.retry ?? service.spec.retry };
  if (plan?.authority === undefined || plan.authority === entry.authority)
    return plan === undefined ? noBackend(entry, route.name) : { service, plan, terms, prefixLength };
  const backend = plan.authority === "" ? undefined : deps.services.lookup(plan.authority);
  if (backend === undefined) return noBackend(entry, route.name);
  if (backend.service === undefined) return awaitAnswer(deps.services, backend, again) ?? "wait";
  if (backend.service.spec.kind === "notFound") return noBackend(entry, route.name);
  return { service: backend.service, plan, terms, prefixLength };
}

function noBackend(entry: Entry, rule: string): Refusal {
  return {
    status: 500,
    code: "PROXY_NO_BACKEND",
    message: `Cannot route the request to ${entry.authority}: rule ${rule} sends it to nobody. Check its backendRefs.`,
  };
}
