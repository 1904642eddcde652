import { ROUTE_CONTROLLER } from "../../core/defaults.ts";
import type { KubeObject } from "../../kube/client.ts";
import {
  GATEWAY_API_GROUP,
  GRPC_ROUTES,
  HTTP_ROUTES,
  type ParentReference,
  type RouteObject,
  type RouteParentStatus,
} from "../../kube/gateway-api.ts";
import { withConditions } from "../conditions.ts";
import type { Step } from "../steps.ts";
import type { ParentVerdict } from "./route-plan.ts";

/** Most parents that a route's status holds. */
const MAX_PARENTS = 32;

/**
 * Brings our entries in a route's status up to date and leaves those of other controllers as they are; undefined
 * where nothing changes.
 */
export function routeStatusStep(
  route: RouteObject,
  verdicts: readonly ParentVerdict[],
  nowMs: () => number,
): Step | undefined {
  const edit = (current: KubeObject): KubeObject | undefined => withVerdicts(current as RouteObject, verdicts, nowMs());
  if (edit(route) === undefined) return undefined;
  const { namespace, name } = route.metadata;
  const type = route.kind === GRPC_ROUTES.kind ? GRPC_ROUTES : HTTP_ROUTES;
  return { type, namespace, name, action: "edit", part: "status", what: JSON.stringify(verdicts), edit };
}

function withVerdicts(route: RouteObject, verdicts: readonly ParentVerdict[], nowMs: number): RouteObject | undefined {
  const before = route.status?.parents ?? [];
  const others = before.filter(({ controllerName }) => controllerName !== ROUTE_CONTROLLER);
  const ours = before.filter(({ controllerName }) => controllerName === ROUTE_CONTROLLER);
  const namespace = route.metadata.namespace ?? "";
  let changed = ours.length !== Math.min(verdicts.length, Math.max(0, MAX_PARENTS - others.length));
  const next = verdicts
    .slice(0, Math.max(0, MAX_PARENTS - others.length))
    .map(({ parentRef, conditions }, index): RouteParentStatus => {
      const at = ours.findIndex((entry) => refText(entry.parentRef, namespace) === refText(parentRef, namespace));
      if (at !== index) changed = true;
      const updated = withConditions(ours[at]?.conditions, conditions, nowMs);
      if (updated !== undefined) changed = true;
      return { parentRef, controllerName: ROUTE_CONTROLLER, conditions: updated ?? ours[at]?.conditions ?? [] };
    });
  return changed ? { ...route, status: { ...route.status, parents: [...others, ...next] } } : undefined;
}

function refText(ref: ParentReference, namespace: string): string {
  const { group = GATEWAY_API_GROUP, kind = "Gateway", name, sectionName = "", port = 0 } = ref;
  return JSON.stringify([group, kind, ref.namespace ?? namespace, name, sectionName, port]);
}
