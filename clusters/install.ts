import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { type Clock, sleep, systemClock } from "../core/clock.ts";
import { LABELS } from "../core/defaults.ts";
import { hasCode, MeshError } from "../core/errors.ts";
import type { KubeClient, KubeObject, ResourceType } from "../kube/client.ts";
import { GATEWAY_API_GROUP } from "../kube/gateway-api.ts";
import { CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, SERVICE_ACCOUNTS } from "../kube/resources.ts";
import { packageRoot } from "./node/images.ts";

const CRD_FILES = [
  "crd-links.yaml",
  "crd-failoverpolicies.yaml",
  "crd-evacuations.yaml",
  "crd-trustrotations.yaml",
  "crd-serviceexports.yaml",
  "crd-serviceimports.yaml",
  "crd-httproutes.yaml",
  "crd-grpcroutes.yaml",
  "crd-referencegrants.yaml",
];
const ROLE_FILES = ["install.yaml"];
const POLL_MS = 200;

function rbac(kind: string, plural: string, namespaced: boolean): ResourceType {
  return { group: "rbac.authorization.k8s.io", version: "v1", kind, plural, namespaced };
}

const TYPES: readonly ResourceType[] = [
  CUSTOM_RESOURCE_DEFINITIONS,
  NAMESPACES,
  SERVICE_ACCOUNTS,
  rbac("ClusterRole", "clusterroles", false),
  rbac("ClusterRoleBinding", "clusterrolebindings", false),
  rbac("Role", "roles", true),
  rbac("RoleBinding", "rolebindings", true),
];

export interface InstallOptions {
  /** Only the resource definitions, for a control side that runs out of the cluster under a kubeconfig. */
  readonly crdsOnly?: boolean;
  readonly clock?: Clock;
  /** How long resource definitions may take to be served; 30,000 by default. */
  readonly establishMs?: number;
  readonly signal?: AbortSignal;
}

/** "Kind name" or "Kind namespace/name" of what was done to each. */
export interface InstallResult {
  readonly created: string[];
  readonly updated: string[];
  readonly unchanged: string[];
  /** Definitions of Gateway API that are not ours, with what is to be said of each. */
  readonly kept: string[];
}

interface Definition extends KubeObject {
  spec: { group: string; names: { kind: string }; versions: { name: string; served: boolean }[] };
  status?: { conditions?: { type: string; status: string; message?: string }[] };
}

/**
 * Brings the mesh's definitions, namespace, ServiceAccounts and roles into a cluster, and waits until the definitions
 * are served. A second run changes nothing; fields that the manifests do not set stay as they are. Definitions of the
 * Multi-Cluster Services API and of Gateway API that someone else installed are used, not changed; of the latter, what
 * a bundle lacks is added.
 * @throws MeshError KUBE_CONFLICT when a foreign definition lacks the version that the mesh speaks, KUBE_FAILED when
 * definitions are not served in time, and what KubeClient throws
 */
export async function installManifests(kube: KubeClient, options: InstallOptions = {}): Promise<InstallResult> {
  const result: InstallResult = { created: [], updated: [], unchanged: [], kept: [] };
  const definitions = (await readManifests(CRD_FILES)) as Definition[];
  for (const definition of definitions) await converge(kube, definition, result);
  if (options.crdsOnly !== true) {
    for (const object of await readManifests(ROLE_FILES)) await converge(kube, object, result);
  }
  await established(kube, definitions, options);
  return result;
}

/** Objects of the manifests, in the order in which they must be made. */
export async function readManifests(files: readonly string[] = [...CRD_FILES, ...ROLE_FILES]): Promise<KubeObject[]> {
  const objects: KubeObject[] = [];
  for (const file of files) {
    for (const document of parseAllDocuments(
      await readFile(join(packageRoot(), "clusters", "manifests", file), "utf8"),
    )) {
      if (document.errors[0] !== undefined) throw document.errors[0];
      objects.push(document.toJS() as KubeObject);
    }
  }
  return objects;
}

async function converge(kube: KubeClient, desired: KubeObject, result: InstallResult): Promise<void> {
  const { name, namespace } = desired.metadata;
  const type = TYPES.find(({ kind }) => kind === desired.kind);
  if (type === undefined)
    throw new MeshError("INTERNAL", `Cannot install ${desired.kind} ${name}: a manifest holds an unknown kind.`);
  const label = namespace === undefined ? `${desired.kind} ${name}` : `${desired.kind} ${namespace}/${name}`;
  let actual: KubeObject | "created";
  try {
    actual = (await kube.get(type, name, namespace)) ?? (await createOrGet(kube, type, desired));
  } catch (error) {
    // Gateway API's bundles bring a policy that lets no other definitions in.
    if (!isGatewayApi(desired) || !hasCode(error, "KUBE_INVALID", "KUBE_DENIED")) throw error;
    result.kept.push(`${label} (not installed: ${error.message})`);
    return;
  }
  if (actual === "created") result.created.push(label);
  else if (isForeignGatewayApi(desired, actual)) result.kept.push(`${label} (${kept(desired, actual)})`);
  else if (isForeign(desired, actual)) {
    requireVersions(desired as Definition, actual as Definition);
    result.unchanged.push(label);
  } else if (contains(actual, desired)) result.unchanged.push(label);
  else {
    await kube.mergePatch(type, name, namespace, desired);
    result.updated.push(label);
  }
}

async function createOrGet(kube: KubeClient, type: ResourceType, desired: KubeObject): Promise<KubeObject | "created"> {
  try {
    await kube.create(type, desired);
    return "created";
  } catch (error) {
    // Another `mesh install` may run.
    const { name, namespace } = desired.metadata;
    const actual = hasCode(error, "KUBE_CONFLICT") ? await kube.get(type, name, namespace) : undefined;
    if (actual === undefined) throw error;
    return actual;
  }
}

/** The Multi-Cluster Services API is a standard: its definitions may be here already, and are then not ours to change. */
function isForeign(desired: KubeObject, actual: KubeObject): boolean {
  if (desired.kind !== CUSTOM_RESOURCE_DEFINITIONS.kind || !desired.metadata.name.endsWith(".multicluster.x-k8s.io"))
    return false;
  return actual.metadata.labels?.[LABELS.managedBy] !== LABELS.managedByValue;
}

/** Says which bundle a definition of Gateway API is of. One that was applied over ours bears our label still. */
const BUNDLE_VERSION = "gateway.networking.k8s.io/bundle-version";

/** Gateway API's own definitions are richer than ours and belong to whoever installed them. */
function isForeignGatewayApi(desired: KubeObject, actual: KubeObject): boolean {
  if (!isGatewayApi(desired)) return false;
  const { labels, annotations } = actual.metadata;
  return labels?.[LABELS.managedBy] !== LABELS.managedByValue || annotations?.[BUNDLE_VERSION] !== undefined;
}

function isGatewayApi({ kind, metadata }: KubeObject): boolean {
  return kind === CUSTOM_RESOURCE_DEFINITIONS.kind && metadata.name.endsWith(`.${GATEWAY_API_GROUP}`);
}

/** Which one it is, and whether the mesh can read it. */
function kept(desired: KubeObject, actual: KubeObject): string {
  const bundle = actual.metadata.annotations?.[BUNDLE_VERSION] ?? "of an unknown bundle";
  const { versions, names } = (desired as Definition).spec;
  const served = (actual as Definition).spec.versions.filter((version) => version.served).map(({ name }) => name);
  const wanted = versions.find(({ name }) => !served.includes(name))?.name;
  if (wanted === undefined) return bundle;
  return `${bundle}, which serves ${served.join(", ") || "nothing"} and not ${wanted}: ${names.kind}s are not read`;
}

/** The mesh speaks v1alpha1, which every release of the API has served so far. */
function requireVersions(desired: Definition, actual: Definition): void {
  if (actual.spec.versions.some(({ name, served }) => name === "v1alpha1" && served)) return;
  throw new MeshError(
    "KUBE_CONFLICT",
    `Cannot install ${desired.metadata.name}: another definition of it is there and does not serve v1alpha1. ` +
      "Have its owner serve v1alpha1, or remove it.",
  );
}

/** Whether `actual` has all of `desired`: the server adds fields and defaults of its own. Lists match item by item. */
export function contains(actual: unknown, desired: unknown): boolean {
  if (Array.isArray(desired)) {
    return (
      Array.isArray(actual) &&
      actual.length === desired.length &&
      desired.every((item, index) => contains(actual[index], item))
    );
  }
  if (typeof desired !== "object" || desired === null) return Object.is(actual, desired);
  if (typeof actual !== "object" || actual === null || Array.isArray(actual)) return false;
  const fields = actual as Record<string, unknown>;
  return Object.entries(desired).every(([key, value]) => Object.hasOwn(fields, key) && contains(fields[key], value));
}

async function established(
  kube: KubeClient,
  definitions: readonly Definition[],
  options: InstallOptions,
): Promise<void> {
  const clock = options.clock ?? systemClock;
  const signal = options.signal ?? new AbortController().signal;
  const deadlineMs = clock.nowMs() + (options.establishMs ?? 30_000);
  // Our clock's timers do not keep the process alive, and between two polls nothing else does.
  const hold = setInterval(() => {}, 60_000);
  try {
    for (const definition of definitions) {
      const { metadata } = definition;
      for (;;) {
        const actual = await kube.get<Definition>(CUSTOM_RESOURCE_DEFINITIONS, metadata.name);
        // What is wrong with another's definition is not install's to wait for.
        if (isGatewayApi(definition) && (actual === undefined || isForeignGatewayApi(definition, actual))) break;
        const conditions = actual?.status?.conditions ?? [];
        if (conditions.some(({ type, status }) => type === "Established" && status === "True")) break;
        const refused = conditions.find(({ type, status }) => type === "NamesAccepted" && status === "False");
        if (refused !== undefined || clock.nowMs() >= deadlineMs) {
          const why = refused?.message ?? "it is not established";
          throw new MeshError(
            "KUBE_FAILED",
            `Cannot install ${metadata.name}: ${why}. See \`kubectl describe crd ${metadata.name}\`.`,
          );
        }
        await sleep(clock, POLL_MS, signal);
      }
    }
  } finally {
    clearInterval(hold);
  }
}
