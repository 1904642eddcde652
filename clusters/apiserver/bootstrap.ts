import type { Operations } from "./operations.ts";

const RBAC = "rbac.authorization.k8s.io";
const EVERY_VERB = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const READ = ["get", "list", "watch"];

interface Seed {
  readonly resource: string;
  readonly object: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly metadata: { readonly name: string };
    readonly [field: string]: unknown;
  };
}

function namespace(name: string): Seed {
  return { resource: "/namespaces", object: { apiVersion: "v1", kind: "Namespace", metadata: { name } } };
}

function role(name: string, rules: readonly object[]): Seed {
  const metadata = { name, labels: { "kubernetes.io/bootstrapping": "rbac-defaults" } };
  return {
    resource: `${RBAC}/clusterroles`,
    object: { apiVersion: `${RBAC}/v1`, kind: "ClusterRole", metadata, rules },
  };
}

function binding(name: string, group: string): Seed {
  const metadata = { name, labels: { "kubernetes.io/bootstrapping": "rbac-defaults" } };
  const subjects = [{ kind: "Group", apiGroup: RBAC, name: group }];
  const roleRef = { apiGroup: RBAC, kind: "ClusterRole", name };
  return {
    resource: `${RBAC}/clusterrolebindings`,
    object: { apiVersion: `${RBAC}/v1`, kind: "ClusterRoleBinding", metadata, subjects, roleRef },
  };
}

const WORKLOADS = [
  {
    apiGroups: [""],
    resources: ["pods", "pods/log", "services", "endpoints", "configmaps", "events", "serviceaccounts"],
  },
  { apiGroups: ["apps"], resources: ["deployments", "deployments/scale", "replicasets", "replicasets/scale"] },
  { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"] },
];
const SECRETS = { apiGroups: [""], resources: ["secrets", "pods/exec"] };
const ROLES = { apiGroups: [RBAC], resources: ["roles", "rolebindings"] };

/** What every cluster has from its first moment. */
const SEEDS: readonly Seed[] = [
  ...["default", "kube-system", "kube-public", "kube-node-lease"].map(namespace),
  role("cluster-admin", [
    { apiGroups: ["*"], resources: ["*"], verbs: ["*"] },
    { nonResourceURLs: ["*"], verbs: ["*"] },
  ]),
  role(
    "admin",
    [...WORKLOADS, SECRETS, ROLES].map((rule) => ({ ...rule, verbs: EVERY_VERB })),
  ),
  role(
    "edit",
    [...WORKLOADS, SECRETS].map((rule) => ({ ...rule, verbs: EVERY_VERB })),
  ),
  role(
    "view",
    WORKLOADS.map((rule) => ({ ...rule, verbs: READ })),
  ),
  role("system:discovery", [
    {
      nonResourceURLs: [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/openapi",
        "/openapi/*",
        "/healthz",
        "/livez",
        "/readyz",
        "/version",
        "/version/",
      ],
      verbs: ["get"],
    },
  ]),
  role("system:basic-user", [
    {
      apiGroups: ["authorization.k8s.io"],
      resources: ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
      verbs: ["create"],
    },
    { apiGroups: ["authentication.k8s.io"], resources: ["selfsubjectreviews"], verbs: ["create"] },
  ]),
  role("system:auth-delegator", [
    { apiGroups: ["authentication.k8s.io"], resources: ["tokenreviews"], verbs: ["create"] },
    { apiGroups: ["authorization.k8s.io"], resources: ["subjectaccessreviews"], verbs: ["create"] },
  ]),
  binding("cluster-admin", "system:masters"),
  binding("system:discovery", "system:authenticated"),
  binding("system:basic-user", "system:authenticated"),
];

/** Creates what is missing of it. */
export function seedCluster(operations: Operations): void {
  const { store } = operations.context;
  for (const { resource, object } of SEEDS) {
    const kind = operations.catalog.byResource(resource);
    if (kind !== undefined && store.get(resource, "", object.metadata.name) === undefined)
      operations.create(kind, "", object);
  }
}
