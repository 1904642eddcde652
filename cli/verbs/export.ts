import type { Command } from "commander";
import { type Clock, sleep, systemClock } from "../../core/clock.ts";
import { LABELS } from "../../core/defaults.ts";
import { hasCode, MeshError } from "../../core/errors.ts";
import { mirrorName, parseClusterName } from "../../core/mirror-name.ts";
import type { KubeClient } from "../../kube/client.ts";
import {
  type KubeService,
  LINKS,
  type Link,
  SERVICE_EXPORTS,
  SERVICES,
  type ServiceExportObject,
} from "../../kube/resources.ts";
import { accessMesh } from "../cluster-access.ts";
import { show } from "../output.ts";
import { type CommonOptions, type VerbContext, withCommonOptions } from "../program.ts";
import { parseServiceReference } from "../service-reference.ts";

interface ExportOptions extends CommonOptions {
  readonly to?: string;
}

const READY_WAIT_MS = 5_000;

export function registerExport(program: Command, context: VerbContext): void {
  withCommonOptions(
    program
      .command("export")
      .description("offer a service to linked clusters (a ServiceExport)")
      .argument("<service>", "<namespace>/<service>")
      .option("--to <clusters>", "comma-separated clusters (default: all that are linked)"),
    "the cluster that has the service",
  ).action(async (reference: string, options: ExportOptions) => {
    await exportService(reference, options, context);
  });
  withCommonOptions(
    program
      .command("unexport")
      .description("take a service back from linked clusters")
      .argument("<service>", "<namespace>/<service>"),
    "the cluster that has the service",
  ).action(async (reference: string, options: CommonOptions) => {
    await unexportService(reference, options, context);
  });
}

async function exportService(reference: string, options: ExportOptions, context: VerbContext): Promise<void> {
  const { namespace, name } = parseServiceReference(reference, "default");
  const to = options.to?.split(",").map((cluster) => parseClusterName(cluster.trim()));
  const { kube, cluster, context: contextName } = await accessMesh(options, context.env);
  await requireExportable(kube, namespace, name, contextName);
  const annotations = to === undefined ? undefined : { [LABELS.exportTo]: to.join(",") };
  const known = await kube.get<ServiceExportObject>(SERVICE_EXPORTS, name, namespace);
  if (known === undefined) {
    const metadata = { name, namespace, ...(annotations === undefined ? {} : { annotations }) };
    await kube.create<ServiceExportObject>(SERVICE_EXPORTS, {
      apiVersion: "multicluster.x-k8s.io/v1alpha1",
      kind: "ServiceExport",
      metadata,
    });
  } else if (known.metadata.annotations?.[LABELS.exportTo] !== annotations?.[LABELS.exportTo]) {
    const patch = { metadata: { annotations: { [LABELS.exportTo]: annotations?.[LABELS.exportTo] ?? null } } };
    await kube.mergePatch(SERVICE_EXPORTS, name, namespace, patch);
  }
  const ready = await waitReady(kube, namespace, name, systemClock, context.signal);
  const links = (await kube.list<Link>(LINKS)).filter(
    (link) => link.spec.export && (to?.includes(link.spec.cluster) ?? true),
  );
  const mirror = `${mirrorName(name, cluster).name}.${namespace}.svc.cluster.local`;
  const result = {
    service: `${namespace}/${name}`,
    cluster,
    to: links.map((link) => link.spec.cluster),
    mirror,
    clusterset: `${name}.${namespace}.svc.clusterset.local`,
    ready: ready.ok,
    message: ready.message,
  };
  show(options.output, result, () => describe(result, known !== undefined), context.stdout);
}

function describe(
  result: {
    service: string;
    cluster: string;
    to: string[];
    mirror: string;
    clusterset: string;
    ready: boolean;
    message: string;
  },
  known: boolean,
): string {
  const where = result.to.length === 0 ? "no cluster is linked yet" : `in ${result.to.join(", ")} as ${result.mirror}`;
  const lines = [`${result.service} of ${result.cluster} ${known ? "was exported already" : "is exported"}: ${where}`];
  lines.push(`and under ${result.clusterset}`);
  if (!result.ready) lines.push(`not ready yet: ${result.message}`);
  return lines.join("\n");
}

/** @throws MeshError SERVICE_UNKNOWN, SERVICE_TYPE */
async function requireExportable(
  kube: KubeClient,
  namespace: string,
  name: string,
  contextName: string,
): Promise<void> {
  const service = await kube.get<KubeService>(SERVICES, name, namespace);
  if (service === undefined) {
    const names = (await kube.list<KubeService>(SERVICES, { namespace }))
      .filter((s) => s.metadata.labels?.[LABELS.managedBy] !== LABELS.managedByValue)
      .map((s) => s.metadata.name);
    const hint =
      names.length === 0
        ? `Namespace "${namespace}" has none.`
        : `Namespace "${namespace}" has ${names.slice(0, 8).join(", ")}.`;
    throw new MeshError(
      "SERVICE_UNKNOWN",
      `Cannot export ${namespace}/${name}: context "${contextName}" has no such service. ${hint}`,
    );
  }
  if (service.spec?.type === "ExternalName") {
    throw new MeshError(
      "SERVICE_TYPE",
      `Cannot export ${namespace}/${name}: it is an ExternalName, which has no endpoints. Export the service that it names.`,
    );
  }
  if (service.metadata.labels?.[LABELS.managedBy] === LABELS.managedByValue) {
    const origin = service.metadata.labels[LABELS.originCluster] ?? "another cluster";
    throw new MeshError(
      "SERVICE_TYPE",
      `Cannot export ${namespace}/${name}: it is a mirror of a service of ${origin}. Export it there.`,
    );
  }
}

/** Waits for the mirror role's word on the export. */
async function waitReady(
  kube: KubeClient,
  namespace: string,
  name: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<{ ok: boolean; message: string }> {
  const deadlineMs = clock.nowMs() + READY_WAIT_MS;
  for (;;) {
    const conditions =
      (await kube.get<ServiceExportObject>(SERVICE_EXPORTS, name, namespace))?.status?.conditions ?? [];
    const bad = conditions.find((c) => c.type === "Valid" && c.status === "False");
    if (bad !== undefined) return { ok: false, message: `${bad.reason}: ${bad.message}` };
    if (conditions.some((c) => c.type === "Ready" && c.status === "True")) return { ok: true, message: "" };
    if (clock.nowMs() > deadlineMs)
      return { ok: false, message: "the mirror role has not taken it up; is mesh serve running?" };
    await sleep(clock, 50, signal);
  }
}

async function unexportService(reference: string, options: CommonOptions, context: VerbContext): Promise<void> {
  const { namespace, name } = parseServiceReference(reference, "default");
  const { kube, cluster } = await accessMesh(options, context.env);
  const removed = await kube.delete(SERVICE_EXPORTS, name, namespace);
  const unlabelled = await removeLabel(kube, namespace, name);
  if (!removed && !unlabelled && (await kube.get(SERVICES, name, namespace)) === undefined) {
    throw new MeshError(
      "SERVICE_UNKNOWN",
      `Cannot unexport ${namespace}/${name}: there is no such service in ${cluster}.`,
    );
  }
  const result = { service: `${namespace}/${name}`, cluster, changed: removed || unlabelled };
  const text = result.changed ? "is exported no more" : "was not exported";
  show(options.output, result, () => `${result.service} of ${cluster} ${text}`, context.stdout);
}

async function removeLabel(kube: KubeClient, namespace: string, name: string): Promise<boolean> {
  const service = await kube.get<KubeService>(SERVICES, name, namespace);
  if (service?.metadata.labels?.[LABELS.exported] === undefined) return false;
  try {
    await kube.mergePatch(SERVICES, name, namespace, { metadata: { labels: { [LABELS.exported]: null } } });
    return true;
  } catch (error) {
    if (hasCode(error, "KUBE_NOT_FOUND")) return false;
    throw error;
  }
}
