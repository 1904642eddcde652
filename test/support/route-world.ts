import type { GrpcRouteRuleSpec, HttpRouteRuleSpec, ReferenceGrant, RouteObject } from "../../kube/gateway-api.ts";

interface RouteOverrides {
  readonly createdAt?: string;
  readonly annotations?: Record<string, string>;
  readonly parentRefs?: RouteObject["spec"]["parentRefs"];
  readonly status?: RouteObject["status"];
}

const toWeb = [{ group: "", kind: "Service", name: "web" }];

function route<Rule>(
  kind: string,
  namespace: string,
  name: string,
  rules: Rule[],
  over: RouteOverrides,
): RouteObject<Rule> {
  const { createdAt = "2026-01-01T00:00:00Z", annotations, parentRefs = toWeb, status } = over;
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind,
    metadata: { namespace, name, generation: 1, creationTimestamp: createdAt, ...(annotations ? { annotations } : {}) },
    spec: { ...(parentRefs === undefined ? {} : { parentRefs }), rules },
    ...(status === undefined ? {} : { status }),
  };
}

/** An HTTPRoute attached to Service `web` of its namespace, where `over` says nothing else. */
export function httpRoute(namespace: string, name: string, rules: HttpRouteRuleSpec[], over: RouteOverrides = {}) {
  return route("HTTPRoute", namespace, name, rules, over);
}

export function grpcRoute(namespace: string, name: string, rules: GrpcRouteRuleSpec[], over: RouteOverrides = {}) {
  return route("GRPCRoute", namespace, name, rules, over);
}

/** Lets `kind`s of namespace `from` use the Services of `namespace`. */
export function referenceGrant(
  namespace: string,
  from: { kind: string; namespace: string },
  to: { group?: string; kind?: string; name?: string } = {},
): ReferenceGrant {
  const { group = "", kind = "Service", name } = to;
  return {
    apiVersion: "gateway.networking.k8s.io/v1beta1",
    kind: "ReferenceGrant",
    metadata: { name: "grant", namespace },
    spec: {
      from: [{ group: "gateway.networking.k8s.io", ...from }],
      to: [{ group, kind, ...(name === undefined ? {} : { name }) }],
    },
  };
}
