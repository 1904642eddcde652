/** How strategic merge treats a list or object field (the `patchStrategy` and `patchMergeKey` tags of k8s.io/api). */
interface MergeTag {
  readonly strategy: "merge" | "retainKeys" | "merge,retainKeys";
  readonly key?: string;
}

const byName: MergeTag = { strategy: "merge", key: "name" };
const byType: MergeTag = { strategy: "merge", key: "type" };
const set: MergeTag = { strategy: "merge" };

/** By `<type>.<field>`; a list that is not here is replaced whole. */
export const MERGE_TAGS: Readonly<Record<string, MergeTag>> = {
  "V1ObjectMeta.ownerReferences": { strategy: "merge", key: "uid" },
  "V1ObjectMeta.finalizers": set,
  "V1PodSpec.containers": byName,
  "V1PodSpec.initContainers": byName,
  "V1PodSpec.ephemeralContainers": byName,
  "V1PodSpec.volumes": { strategy: "merge,retainKeys", key: "name" },
  "V1PodSpec.imagePullSecrets": byName,
  "V1PodSpec.hostAliases": { strategy: "merge", key: "ip" },
  "V1PodSpec.topologySpreadConstraints": { strategy: "merge", key: "topologyKey" },
  "V1PodSpec.resourceClaims": { strategy: "merge,retainKeys", key: "name" },
  "V1PodSpec.schedulingGates": byName,
  "V1Container.ports": { strategy: "merge", key: "containerPort" },
  "V1Container.env": byName,
  "V1Container.volumeMounts": { strategy: "merge", key: "mountPath" },
  "V1Container.volumeDevices": { strategy: "merge", key: "devicePath" },
  "V1EphemeralContainer.ports": { strategy: "merge", key: "containerPort" },
  "V1EphemeralContainer.env": byName,
  "V1EphemeralContainer.volumeMounts": { strategy: "merge", key: "mountPath" },
  "V1EphemeralContainer.volumeDevices": { strategy: "merge", key: "devicePath" },
  "V1PodStatus.conditions": byType,
  "V1PodStatus.podIPs": { strategy: "merge", key: "ip" },
  "V1PodStatus.hostIPs": { strategy: "merge", key: "ip" },
  "V1DeploymentSpec.strategy": { strategy: "retainKeys" },
  "V1DeploymentStatus.conditions": byType,
  "V1ReplicaSetStatus.conditions": byType,
  "V1ServiceSpec.ports": { strategy: "merge", key: "port" },
  "V1ServiceStatus.conditions": byType,
  "V1ServiceAccount.secrets": byName,
  "V1NamespaceStatus.conditions": byType,
  "V1NodeSpec.podCIDRs": set,
  "V1NodeStatus.addresses": byType,
  "V1NodeStatus.conditions": byType,
};
