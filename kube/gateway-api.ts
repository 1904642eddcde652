import type { KubeObject, ResourceType } from "./client.ts";
import type { Condition } from "./resources.ts";

export const GATEWAY_API_GROUP = "gateway.networking.k8s.io";

export const HTTP_ROUTES: ResourceType = {
  group: GATEWAY_API_GROUP,
  version: "v1",
  kind: "HTTPRoute",
  plural: "httproutes",
  namespaced: true,
};
export const GRPC_ROUTES: ResourceType = { ...HTTP_ROUTES, kind: "GRPCRoute", plural: "grpcroutes" };
export const REFERENCE_GRANTS: ResourceType = {
  ...HTTP_ROUTES,
  version: "v1beta1",
  kind: "ReferenceGrant",
  plural: "referencegrants",
};

export interface ParentReference {
  group?: string;
  kind?: string;
  namespace?: string;
  name: string;
  sectionName?: string;
  port?: number;
}

export interface BackendReference {
  group?: string;
  kind?: string;
  namespace?: string;
  name: string;
  port?: number;
}

export interface WeightedBackend extends BackendReference {
  weight?: number;
  filters?: RouteFilterSpec[];
}

/** Of a header, a query parameter, or half of a gRPC method. */
export interface ValueMatchSpec {
  type?: string;
  name: string;
  value: string;
}

export interface HeaderFilterSpec {
  set?: { name: string; value: string }[];
  add?: { name: string; value: string }[];
  remove?: string[];
}

export interface PathModifierSpec {
  type: string;
  replaceFullPath?: string;
  replacePrefixMatch?: string;
}

export interface RouteFilterSpec {
  type: string;
  requestHeaderModifier?: HeaderFilterSpec;
  responseHeaderModifier?: HeaderFilterSpec;
  requestRedirect?: {
    scheme?: string;
    hostname?: string;
    path?: PathModifierSpec;
    port?: number;
    statusCode?: number;
  };
  urlRewrite?: { hostname?: string; path?: PathModifierSpec };
  requestMirror?: {
    backendRef: BackendReference;
    percent?: number;
    fraction?: { numerator: number; denominator?: number };
  };
}

export interface HttpRouteMatchSpec {
  path?: { type?: string; value?: string };
  headers?: ValueMatchSpec[];
  queryParams?: ValueMatchSpec[];
  method?: string;
}

export interface GrpcRouteMatchSpec {
  method?: { type?: string; service?: string; method?: string };
  headers?: ValueMatchSpec[];
}

interface RouteRuleSpec<Match> {
  name?: string;
  matches?: Match[];
  filters?: RouteFilterSpec[];
  backendRefs?: WeightedBackend[];
  sessionPersistence?: unknown;
  /** GEP-1742; HTTPRoutes only */
  timeouts?: { request?: string; backendRequest?: string };
  /** GEP-1731; HTTPRoutes only */
  retry?: { codes?: number[]; attempts?: number; backoff?: string };
}

export type HttpRouteRuleSpec = RouteRuleSpec<HttpRouteMatchSpec>;
export type GrpcRouteRuleSpec = RouteRuleSpec<GrpcRouteMatchSpec>;

export interface RouteParentStatus {
  parentRef: ParentReference;
  controllerName: string;
  conditions?: Condition[];
}

export interface RouteObject<Rule = HttpRouteRuleSpec | GrpcRouteRuleSpec> extends KubeObject {
  spec: { parentRefs?: ParentReference[]; hostnames?: string[]; rules?: Rule[] };
  status?: { parents?: RouteParentStatus[] };
}

export type HttpRoute = RouteObject<HttpRouteRuleSpec>;
export type GrpcRoute = RouteObject<GrpcRouteRuleSpec>;

export interface ReferenceGrant extends KubeObject {
  spec: {
    from: { group: string; kind: string; namespace: string }[];
    to: { group: string; kind: string; name?: string }[];
  };
}
