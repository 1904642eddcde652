import type { KubeObject, ResourceType } from "./client.ts";

function type(group: string, version: string, kind: string, plural: string, namespaced = true): ResourceType {
  return { group, version, kind, plural, namespaced };
}

export const NAMESPACES = type("", "v1", "Namespace", "namespaces", false);
export const NODES = type("", "v1", "Node", "nodes", false);
export const PODS = type("", "v1", "Pod", "pods");
export const SERVICES = type("", "v1", "Service", "services");
export const SECRETS = type("", "v1", "Secret", "secrets");
export const CONFIG_MAPS = type("", "v1", "ConfigMap", "configmaps");
export const SERVICE_ACCOUNTS = type("", "v1", "ServiceAccount", "serviceaccounts");
export const EVENTS = type("", "v1", "Event", "events");
export const DEPLOYMENTS = type("apps", "v1", "Deployment", "deployments");
export const ENDPOINT_SLICES = type("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");
export const CUSTOM_RESOURCE_DEFINITIONS = type(
  "apiextensions.k8s.io",
  "v1",
  "CustomResourceDefinition",
  "customresourcedefinitions",
  false,
);
export const SERVICE_EXPORTS = type("multicluster.x-k8s.io", "v1alpha1", "ServiceExport", "serviceexports");
export const SERVICE_IMPORTS = type("multicluster.x-k8s.io", "v1alpha1", "ServiceImport", "serviceimports");
export const FAILOVER_POLICIES = type("causeway.dev", "v1alpha1", "FailoverPolicy", "failoverpolicies");
export const EVACUATIONS = type("causeway.dev", "v1alpha1", "Evacuation", "evacuations", false);
export const TRUST_ROTATIONS = type("causeway.dev", "v1alpha1", "TrustRotation", "trustrotations", false);
export const LINKS = type("causeway.dev", "v1alpha1", "Link", "links", false);

export interface Condition {
  type: string;
  status: "True" | "False" | "Unknown";
  reason: string;
  message: string;
  lastTransitionTime: string;
  observedGeneration?: number;
}

export interface Secret extends KubeObject {
  type?: string;
  /** base64 */
  data?: Record<string, string>;
}

export interface ConfigMap extends KubeObject {
  data?: Record<string, string>;
}

export interface KubeServicePort {
  name?: string;
  port: number;
  targetPort?: number | string;
  protocol?: string;
  appProtocol?: string;
}

export interface KubeService extends KubeObject {
  spec?: {
    type?: string;
    clusterIP?: string;
    clusterIPs?: string[];
    externalName?: string;
    selector?: Record<string, string>;
    sessionAffinity?: string;
    sessionAffinityConfig?: { clientIP?: { timeoutSeconds?: number } };
    trafficDistribution?: string;
    ports?: KubeServicePort[];
  };
}

export interface EndpointSlice extends KubeObject {
  addressType: "IPv4" | "IPv6" | "FQDN";
  endpoints?: {
    addresses: string[];
    conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
    hostname?: string;
    nodeName?: string;
    zone?: string;
    targetRef?: { kind?: string; namespace?: string; name?: string; uid?: string };
  }[];
  ports?: { name?: string; port?: number; protocol?: string; appProtocol?: string }[];
}

export interface PodContainer {
  name: string;
  image: string;
  command?: string[];
  args?: string[];
  env?: { name: string; value?: string; valueFrom?: unknown }[];
  ports?: { name?: string; containerPort: number; protocol?: string }[];
}

export interface Pod extends KubeObject {
  spec?: {
    nodeName?: string;
    serviceAccountName?: string;
    restartPolicy?: string;
    terminationGracePeriodSeconds?: number;
    containers: PodContainer[];
  };
  status?: {
    phase?: string;
    podIP?: string;
    hostIP?: string;
    conditions?: { type: string; status: string; reason?: string; message?: string; lastTransitionTime?: string }[];
    containerStatuses?: unknown[];
    startTime?: string;
  };
}

export interface Deployment extends KubeObject {
  spec?: {
    replicas?: number;
    selector: { matchLabels?: Record<string, string> };
    template: {
      metadata?: { labels?: Record<string, string>; annotations?: Record<string, string> };
      spec: NonNullable<Pod["spec"]>;
    };
  };
  status?: {
    replicas?: number;
    readyReplicas?: number;
    updatedReplicas?: number;
    availableReplicas?: number;
    observedGeneration?: number;
  };
}

export interface ServiceExportObject extends KubeObject {
  spec?: { exportedLabels?: Record<string, string>; exportedAnnotations?: Record<string, string> };
  status?: { conditions?: Condition[] };
}

export interface ServiceImportObject extends KubeObject {
  spec: {
    type: "ClusterSetIP" | "Headless";
    ips?: string[];
    ports: { name?: string; port: number; protocol?: string; appProtocol?: string }[];
    sessionAffinity?: string;
  };
  status?: { clusters?: { cluster: string }[]; conditions?: Condition[] };
}

/** A link to another cluster, as its owner wrote it and as the gateway finds it. Cluster-scoped; the name is the peer's. */
export interface Link extends KubeObject {
  spec: {
    cluster: string;
    trustDomain: string;
    /** The peer's gateways for federation; read again after each join. */
    gateways: { host: string; federationPort: number; relayPort: number; zone?: string }[];
    /** "sha256:<64 hex>" of the peer's root, DER. */
    rootFingerprint: string;
    /** This side opens the Sync stream (it redeemed the token). */
    dial: boolean;
    /** Consume what the peer exports. */
    import: boolean;
    /** Offer our exports to the peer. */
    export: boolean;
    /** Secret in causeway-system. `token` until joined; then `linkSecret` and `bundle`. */
    secretName: string;
  };
  status?: {
    observedGeneration?: number;
    /** pending, joining, connecting, active, degraded, dead, failed */
    phase?: string;
    health?: string;
    since?: string;
    services?: number;
    rttMs?: number;
    /** Share of its traffic that is to go elsewhere while the peer is evacuated, 0 to 1. */
    drained?: number;
    /** Newest sequence of our bundle that the peer has stored, in decimal. */
    acknowledgedBundle?: string;
    conditions?: Condition[];
  };
}

/** A change of the CA that is wanted, and how far control has come with it. */
export interface TrustRotation extends KubeObject {
  spec: {
    /** Root: a new root and issuer, with all of the state machine; Issuer: a new issuer under the same root, at once. */
    authority: "Root" | "Issuer";
    /** Secret in causeway-ca with the new root and issuer; they are made where absent. */
    secretName?: string;
    /** Now: without waiting for peers, which then refuse our certificates until they have taken the new root. */
    activation?: "WhenAcknowledged" | "Now";
    /** Now: old certificates that are still in use are then refused. */
    retirement?: "WhenExpired" | "Now";
  };
  status?: {
    observedGeneration?: number;
    /** Prepared, Distributed, Active, Retired, Failed */
    phase?: string;
    /** "sha256:<64 hex>" */
    oldRoot?: string;
    newRoot?: string;
    /** Sequence of our bundle that peers must acknowledge. */
    sequence?: string;
    /** Clusters that have not. */
    waitingFor?: string[];
    distributedAt?: string;
    activatedAt?: string;
    /** When the old root will go. */
    retiresAt?: string;
    message?: string;
  };
}

/** How the traffic of the clusterset name of the Service of its own name and namespace is shared among clusters. */
export interface FailoverPolicyObject extends KubeObject {
  spec: {
    mode: string;
    prefer?: string[];
    weights?: Record<string, number>;
  };
  status?: { observedGeneration?: number; conditions?: Condition[] };
}

/** A cluster, by its name, that is to be given no traffic of federated names. */
export interface Evacuation extends KubeObject {
  spec?: {
    /** False: its traffic is to come back, and then the object goes. */
    evacuate?: boolean;
    /** Within this time, in steps; "30s" where absent. */
    over?: string;
    /** When it was asked for; where absent, the object's creation. */
    since?: string;
    /** Share that was drained then, 0 to 1. */
    from?: number;
  };
  /** Share that is to go elsewhere now. */
  status?: { drained?: number };
}

/** The `apiVersion` of a type. */
export function apiVersionOf({ group, version }: ResourceType): string {
  return group === "" ? version : `${group}/${version}`;
}
