import type { Command } from "commander";
import { CLUSTER_DOMAIN, CLUSTERSET_DOMAIN, LABELS } from "../../core/defaults.ts";
import {
  ENDPOINT_SLICES,
  type EndpointSlice,
  type KubeService,
  SERVICE_EXPORTS,
  SERVICE_IMPORTS,
  SERVICES,
  type ServiceExportObject,
  type ServiceImportObject,
} from "../../kube/resources.ts";
import { accessMesh } from "../cluster-access.ts";
import { show, table } from "../output.ts";
import { type CommonOptions, type VerbContext, withCommonOptions } from "../program.ts";

interface ServicesOptions extends CommonOptions {
  readonly namespace?: string;
}

/** A name that apps of the cluster can call. */
interface ServiceRow {
  readonly namespace: string;
  readonly service: string;
  /** local: of this cluster; mirror: of one other cluster; federated: wherever it is healthy. */
  readonly kind: "local" | "mirror" | "federated";
  readonly clusters: readonly string[];
  /** Ready endpoints of all; null for federated names, which have the endpoints of their parts. */
  readonly ready: number | null;
  readonly endpoints: number | null;
  readonly exported: string;
  readonly name: string;
}

const SYSTEM_NAMESPACES = new Set(["kube-system", "kube-public", "kube-node-lease"]);

export function registerServices(program: Command, context: VerbContext): void {
  withCommonOptions(
    program
      .command("services")
      .description("the names that apps of a cluster can call: its own, mirrored, federated")
      .option("-n, --namespace <name>", "only this namespace"),
  ).action(async (options: ServicesOptions) => {
    const { kube, cluster } = await accessMesh(options, context.env);
    const within = options.namespace === undefined ? {} : { namespace: options.namespace };
    const [services, slices, exports, imports] = await Promise.all([
      kube.list<KubeService>(SERVICES, within),
      kube.list<EndpointSlice>(ENDPOINT_SLICES, within),
      kube.list<ServiceExportObject>(SERVICE_EXPORTS, within),
      kube.list<ServiceImportObject>(SERVICE_IMPORTS, within),
    ]);
    const rows = serviceRows(cluster, services, slices, exports, imports);
    const cells = () =>
      rows.map((r) => [
        r.namespace,
        r.service,
        r.kind,
        r.clusters.join(","),
        r.ready === null ? "-" : `${r.ready}/${r.endpoints}`,
        r.exported,
        r.name,
      ]);
    const headings = ["NAMESPACE", "SERVICE", "KIND", "CLUSTERS", "READY", "EXPORTED", "NAME"];
    show(options.output, rows, () => (rows.length === 0 ? "no services" : table(headings, cells())), context.stdout);
  });
}

/** One row per callable name, by namespace, then name. */
export function serviceRows(
  cluster: string,
  services: readonly KubeService[],
  slices: readonly EndpointSlice[],
  exports: readonly ServiceExportObject[],
  imports: readonly ServiceImportObject[],
): ServiceRow[] {
  const rows: ServiceRow[] = [];
  for (const service of services) {
    const { namespace = "default", name, labels } = service.metadata;
    if (labels?.[LABELS.derivedFor] !== undefined || SYSTEM_NAMESPACES.has(namespace)) continue;
    const origin = labels?.[LABELS.managedBy] === LABELS.managedByValue ? labels[LABELS.originCluster] : undefined;
    const own = slices.filter(
      (s) => s.metadata.namespace === namespace && s.metadata.labels?.["kubernetes.io/service-name"] === name,
    );
    const endpoints = own.flatMap((slice) => slice.endpoints ?? []);
    const exported = exports.find((e) => e.metadata.namespace === namespace && e.metadata.name === name);
    rows.push({
      namespace,
      service: name,
      kind: origin === undefined ? "local" : "mirror",
      clusters: [origin ?? cluster],
      ready: endpoints.filter((e) => e.conditions?.ready !== false).length,
      endpoints: endpoints.length,
      exported: exportedText(exported, labels),
      name: `${name}.${namespace}.svc.${CLUSTER_DOMAIN}`,
    });
  }
  for (const imported of imports) {
    const { namespace = "default", name } = imported.metadata;
    const clusters = imported.status?.clusters?.map((c) => c.cluster) ?? [];
    const row = {
      namespace,
      service: name,
      kind: "federated" as const,
      clusters,
      ready: null,
      endpoints: null,
      exported: "-",
    };
    rows.push({ ...row, name: `${name}.${namespace}.svc.${CLUSTERSET_DOMAIN}` });
  }
  return rows.sort((a, b) => a.namespace.localeCompare(b.namespace) || a.name.localeCompare(b.name));
}

function exportedText(exported: ServiceExportObject | undefined, labels: Record<string, string> | undefined): string {
  if (exported === undefined) return labels?.[LABELS.exported] === "true" ? "mirrored" : "-";
  const invalid = exported.status?.conditions?.find((c) => c.type === "Valid" && c.status === "False");
  if (invalid !== undefined) return invalid.reason;
  return exported.metadata.annotations?.[LABELS.exportTo] ?? "all";
}
