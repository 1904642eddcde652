import { resolveBuiltin } from "../schema/builtin.ts";
import { BINDING_COLUMNS, BINDING_STRATEGY, ROLE_COLUMNS, ROLE_STRATEGY } from "./access.ts";
import { NAMESPACE_COLUMNS, NAMESPACE_STRATEGY, NODE_COLUMNS, NODE_STRATEGY } from "./cluster.ts";
import { AGE_COLUMN, column, DEFAULT_COLUMNS, NAME_COLUMN } from "./columns.ts";
import * as configuration from "./configuration.ts";
import { CUSTOM_RESOURCE_DEFINITION_STRATEGY } from "./custom-resource-definitions.ts";
import { ENDPOINT_SLICE_COLUMNS, ENDPOINT_SLICE_STRATEGY } from "./endpoint-slices.ts";
import { ALL_VERBS, type Column, type Kind, type NameRule, type ScalePaths, type Strategy } from "./kind.ts";
import { POD_COLUMNS, POD_FIELDS, POD_STRATEGY } from "./pods.ts";
import { SERVICE_COLUMNS, SERVICE_STRATEGY } from "./services.ts";
import {
  DEPLOYMENT_COLUMNS,
  DEPLOYMENT_STRATEGY,
  REPLICA_PATHS,
  REPLICA_SET_COLUMNS,
  REPLICA_SET_STRATEGY,
} from "./workloads.ts";

interface Built {
  group?: string;
  kind: string;
  plural: string;
  /** Name in builtin-types.json. */
  type?: string;
  shortNames?: string[];
  all?: boolean;
  clusterScoped?: boolean;
  names?: NameRule;
  status?: boolean;
  scale?: ScalePaths;
  generation?: boolean;
  returnsDeleted?: boolean;
  subresources?: string[];
  fields?: string[];
  columns?: readonly Column[];
  strategy?: Strategy;
}

function built(given: Built): Kind {
  const group = given.group ?? "";
  return {
    group,
    version: "v1",
    storageVersion: "v1",
    kind: given.kind,
    plural: given.plural,
    singular: given.kind.toLowerCase(),
    shortNames: given.shortNames ?? [],
    categories: given.all === true ? ["all"] : [],
    namespaced: given.clusterScoped !== true,
    resource: `${group}/${given.plural}`,
    names: given.names ?? "subdomain",
    schema: { ref: given.type ?? `V1${given.kind}` },
    resolve: resolveBuiltin,
    custom: false,
    statusSubresource: given.status === true,
    scale: given.scale,
    generation: given.generation === true,
    unconditionalUpdate: given.kind !== "Lease",
    returnsDeleted: given.returnsDeleted === true,
    verbs: ALL_VERBS,
    subresources: given.subresources ?? [],
    fields: new Set([
      "metadata.name",
      ...(given.clusterScoped === true ? [] : ["metadata.namespace"]),
      ...(given.fields ?? []),
    ]),
    columns: given.columns ?? DEFAULT_COLUMNS,
    strategy: given.strategy ?? {},
  };
}

const RBAC = "rbac.authorization.k8s.io";

/** The kinds that are always there. */
export const BUILTIN_KINDS: readonly Kind[] = [
  built({
    kind: "Namespace",
    plural: "namespaces",
    shortNames: ["ns"],
    clusterScoped: true,
    names: "label",
    status: true,
    fields: ["status.phase"],
    subresources: ["finalize"],
    columns: NAMESPACE_COLUMNS,
    strategy: NAMESPACE_STRATEGY,
  }),
  built({
    kind: "Node",
    plural: "nodes",
    shortNames: ["no"],
    clusterScoped: true,
    status: true,
    fields: ["spec.unschedulable"],
    columns: NODE_COLUMNS,
    strategy: NODE_STRATEGY,
  }),
  built({
    kind: "Pod",
    plural: "pods",
    shortNames: ["po"],
    all: true,
    status: true,
    returnsDeleted: true,
    fields: POD_FIELDS,
    subresources: ["binding", "eviction", "exec", "log"],
    columns: POD_COLUMNS,
    strategy: POD_STRATEGY,
  }),
  built({
    kind: "Service",
    plural: "services",
    shortNames: ["svc"],
    all: true,
    names: "label1035",
    status: true,
    returnsDeleted: true,
    fields: ["spec.clusterIP", "spec.type"],
    columns: SERVICE_COLUMNS,
    strategy: SERVICE_STRATEGY,
  }),
  built({
    kind: "Secret",
    plural: "secrets",
    fields: ["type"],
    columns: configuration.SECRET_COLUMNS,
    strategy: configuration.SECRET_STRATEGY,
  }),
  built({
    kind: "ConfigMap",
    plural: "configmaps",
    shortNames: ["cm"],
    columns: configuration.CONFIG_MAP_COLUMNS,
    strategy: configuration.CONFIG_MAP_STRATEGY,
  }),
  built({
    kind: "ServiceAccount",
    plural: "serviceaccounts",
    shortNames: ["sa"],
    returnsDeleted: true,
    subresources: ["token"],
    columns: configuration.SERVICE_ACCOUNT_COLUMNS,
  }),
  built({
    kind: "Event",
    plural: "events",
    type: "CoreV1Event",
    shortNames: ["ev"],
    fields: configuration.EVENT_FIELDS,
    columns: configuration.EVENT_COLUMNS,
    strategy: configuration.EVENT_STRATEGY,
  }),
  built({ kind: "Endpoints", plural: "endpoints", shortNames: ["ep"], columns: [NAME_COLUMN, AGE_COLUMN] }),
  built({
    group: "apps",
    kind: "Deployment",
    plural: "deployments",
    shortNames: ["deploy"],
    all: true,
    status: true,
    scale: REPLICA_PATHS,
    generation: true,
    columns: DEPLOYMENT_COLUMNS,
    strategy: DEPLOYMENT_STRATEGY,
  }),
  built({
    group: "apps",
    kind: "ReplicaSet",
    plural: "replicasets",
    shortNames: ["rs"],
    all: true,
    status: true,
    scale: REPLICA_PATHS,
    generation: true,
    fields: ["status.replicas"],
    columns: REPLICA_SET_COLUMNS,
    strategy: REPLICA_SET_STRATEGY,
  }),
  built({
    group: "discovery.k8s.io",
    kind: "EndpointSlice",
    plural: "endpointslices",
    generation: true,
    columns: ENDPOINT_SLICE_COLUMNS,
    strategy: ENDPOINT_SLICE_STRATEGY,
  }),
  built({
    group: "coordination.k8s.io",
    kind: "Lease",
    plural: "leases",
    columns: configuration.LEASE_COLUMNS,
    strategy: configuration.LEASE_STRATEGY,
  }),
  built({ group: RBAC, kind: "Role", plural: "roles", names: "path", columns: ROLE_COLUMNS, strategy: ROLE_STRATEGY }),
  built({
    group: RBAC,
    kind: "ClusterRole",
    plural: "clusterroles",
    names: "path",
    clusterScoped: true,
    columns: ROLE_COLUMNS,
    strategy: ROLE_STRATEGY,
  }),
  built({
    group: RBAC,
    kind: "RoleBinding",
    plural: "rolebindings",
    names: "path",
    columns: BINDING_COLUMNS,
    strategy: BINDING_STRATEGY,
  }),
  built({
    group: RBAC,
    kind: "ClusterRoleBinding",
    plural: "clusterrolebindings",
    names: "path",
    clusterScoped: true,
    columns: BINDING_COLUMNS,
    strategy: BINDING_STRATEGY,
  }),
  built({
    group: "apiextensions.k8s.io",
    kind: "CustomResourceDefinition",
    plural: "customresourcedefinitions",
    shortNames: ["crd", "crds"],
    clusterScoped: true,
    status: true,
    generation: true,
    columns: [NAME_COLUMN, column("Created At", (crd) => crd.metadata.creationTimestamp ?? "", 0, "date")],
    strategy: CUSTOM_RESOURCE_DEFINITION_STRATEGY,
  }),
];
