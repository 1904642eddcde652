/** Where the parts of the mesh live and what they are called. One table, so that no two places disagree. */
export const SYSTEM_NAMESPACE = "causeway-system";

export const SERVICE_ACCOUNTS = {
  control: "causeway-control",
  gateway: "causeway-gateway",
  mirror: "causeway-mirror",
} as const;

export const PORTS = {
  outbound: 4140,
  inbound: 4143,
  relay: 4143,
  federation: 4180,
  control: 4185,
  admin: 4191,
  dns: 53,
  dnsUnprivileged: 5353,
} as const;

/** Labels and annotations of ours. */
export const LABELS = {
  /** On a Service: "true" mirrors it to linked clusters. */
  exported: "causeway.dev/exported",
  /** On a Service or ServiceExport, annotation: comma-separated clusters; absent means all linked ones. */
  exportTo: "causeway.dev/export-to",
  /** On what we create. */
  managedBy: "app.kubernetes.io/managed-by",
  managedByValue: "causeway",
  /** On mirrors: where the original lives. */
  originCluster: "causeway.dev/origin-cluster",
  originService: "causeway.dev/origin-service",
  /** On ServiceImports, annotation: "<cluster>=<ready>/<all endpoints>", comma-separated. */
  endpoints: "causeway.dev/endpoints",
  /** On Services derived from a ServiceImport to get an address. */
  derivedFor: "causeway.dev/derived-for",
  /** On a Namespace or Pod: "enabled" or "disabled". */
  inject: "causeway.dev/inject",
  /** On a Pod, annotation: inbound port of its sidecar. */
  proxyPort: "causeway.dev/proxy-port",
} as const;

/**
 * Annotations by which a Service says how it is to be called and held to; docs/operations.md tables them. Those of
 * timeouts and retries are also for HTTPRoutes and GRPCRoutes.
 */
export const SETTINGS = {
  opaquePorts: "config.causeway.dev/opaque-ports",
  /** Also on a Pod. */
  appSocket: "config.causeway.dev/app-socket",
  timeoutRequest: "timeout.causeway.dev/request",
  timeoutTry: "timeout.causeway.dev/try",
  timeoutIdle: "timeout.causeway.dev/idle",
  retryLimit: "retry.causeway.dev/limit",
  retryHttp: "retry.causeway.dev/http",
  retryGrpc: "retry.causeway.dev/grpc",
  retryBackoff: "retry.causeway.dev/backoff",
  retryAnyMethod: "retry.causeway.dev/any-method",
  maxConnectionAge: "balancer.causeway.dev/max-connection-age",
  zone: "balancer.causeway.dev/zone",
  ratePerClient: "limit.causeway.dev/rate-per-client",
  burst: "limit.causeway.dev/burst",
  inFlight: "limit.causeway.dev/in-flight",
} as const;

/** `controllerName` of what we say in the status of routes. */
export const ROUTE_CONTROLLER = "causeway.dev/controller";

/** Namespace of the CA's Secrets: what runs in the system namespace may read its Secrets, but only control these. */
export const CA_NAMESPACE = "causeway-ca";

/** ConfigMap in the system namespace with the cluster's roots, trust domain and name; all of it public. */
export const TRUST_CONFIG_MAP = "causeway-trust";

/** EndpointSlice `endpointslice.kubernetes.io/managed-by` of our slices. */
export const SLICE_MANAGER = "mirror.causeway.dev";

/** Finalizer on Links: mirrors, bundle and routes go first. */
export const LINK_FINALIZER = "causeway.dev/link";

/** Finalizer on Links: the mirrors go first, even where the mirror role was away at the time. */
export const MIRROR_FINALIZER = "causeway.dev/mirrors";

/** Name of the sidecar's container in an injected Pod. */
export const PROXY_CONTAINER = "causeway-proxy";

/** Audience of ServiceAccount tokens presented to control. */
export const TOKEN_AUDIENCE = "causeway";

/** Protocol versions spoken by this build. */
export const PROTOCOL = { federation: 1, discovery: 1 } as const;

export const CLUSTER_DOMAIN = "cluster.local";
export const CLUSTERSET_DOMAIN = "clusterset.local";

export const HEALTH = {
  heartbeatMs: 200,
  suspectAfterMissed: 3,
  deadAfterMissed: 5,
  recoverAfterInRow: 5,
  rampMs: 10_000,
  /** A link that dies again soon after it came back stays down this long, then twice as long each time. */
  holdMs: 2_000,
  maxHoldMs: 60_000,
  /** For each such time that it stays up, one death is forgotten. */
  forgiveMs: 30_000,
  /** The lease on what a peer exported: a link that is dead for longer is called stale. Nothing is deleted. */
  staleAfterMs: 300_000,
} as const;

export const LEASE_TTL_MS = 10_000;
