import { LABELS } from "../core/defaults.ts";
import type { KubeObject } from "../kube/client.ts";

/** Where a mirror comes from, as its labels say; undefined for what is not a mirror of ours. */
export function originOf(object: KubeObject): { cluster: string; service: string } | undefined {
  const labels = object.metadata.labels ?? {};
  const cluster = labels[LABELS.originCluster];
  const service = labels[LABELS.originService];
  if (labels[LABELS.managedBy] !== LABELS.managedByValue || cluster === undefined || service === undefined)
    return undefined;
  return { cluster, service };
}

/** The ServiceImport whose address this Service of ours provides. */
export function derivedFor(object: KubeObject): string | undefined {
  const labels = object.metadata.labels ?? {};
  return labels[LABELS.managedBy] === LABELS.managedByValue ? labels[LABELS.derivedFor] : undefined;
}

/** Mirrors and derived Services: exporting them would send a service round in a circle. */
export function isOurs(object: KubeObject): boolean {
  return originOf(object) !== undefined || derivedFor(object) !== undefined;
}
