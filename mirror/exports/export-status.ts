import type { LocalService, RemoteService } from "../../core/service.ts";
import type { KubeService, ServiceExportObject } from "../../kube/resources.ts";
import type { WantedCondition } from "../conditions.ts";

/** What the state of a ServiceExport follows from. */
export interface ExportFacts {
  readonly serviceExport: ServiceExportObject;
  readonly service: KubeService | undefined;
  /** As the registry holds it. */
  readonly registered: LocalService | undefined;
  /** The same namespace and name as other clusters export it. */
  readonly others: readonly RemoteService[];
  readonly cluster: string;
}

/** Conditions of a ServiceExport (KEP-1645): Valid, Ready and, where there is a Service, Conflict. */
export function exportConditions(facts: ExportFacts): WantedCondition[] {
  const { serviceExport, service, registered } = facts;
  const generation = serviceExport.metadata.generation;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const key = `${serviceExport.metadata.namespace}/${serviceExport.metadata.name}`;
  const condition = (type: string, status: "True" | "False", reason: string, message: string): WantedCondition => ({
    type,
    status,
    reason,
    message,
    ...observed,
  });
  const invalid = (reason: string, message: string) => [
    condition("Valid", "False", reason, message),
    condition("Ready", "False", "Failed", "Nothing is exported: see Valid."),
  ];
  if (service === undefined || service.metadata.deletionTimestamp !== undefined) {
    return invalid(
      "NoService",
      `Cannot export ${key}: there is no Service of this name. Create it, or delete this ServiceExport.`,
    );
  }
  if (service.spec?.type === "ExternalName") {
    return invalid(
      "InvalidServiceType",
      `Cannot export ${key}: it is an ExternalName. Export a Service that has endpoints.`,
    );
  }
  const valid = condition("Valid", "True", "Valid", "");
  const ready =
    registered?.export?.clusterset === true
      ? condition("Ready", "True", "Exported", "")
      : condition("Ready", "False", "Pending", "Not in the registry yet.");
  const found = conflictOf(registered, facts.others, facts.cluster);
  const conflict =
    found === undefined
      ? condition("Conflict", "False", "NoConflicts", "")
      : condition("Conflict", "True", found.reason, found.message);
  return [valid, ready, conflict];
}

interface Constituent {
  readonly cluster: string;
  readonly service: Pick<LocalService, "ports" | "headless" | "sessionAffinity">;
  readonly exportedAtMs: number;
}

/** The first of the disagreements among a service's exports; the oldest export is the one that holds. */
function conflictOf(
  own: LocalService | undefined,
  others: readonly RemoteService[],
  cluster: string,
): { reason: string; message: string } | undefined {
  if (own?.export?.clusterset !== true) return undefined;
  const all: Constituent[] = others.map((service) => ({
    cluster: service.cluster,
    service,
    exportedAtMs: service.exportedAtMs,
  }));
  all.push({ cluster, service: own, exportedAtMs: own.export.exportedAtMs });
  const [oldest, ...rest] = all.sort(byAge);
  if (oldest === undefined) return undefined;
  const differing = (differs: (c: Constituent) => boolean) => rest.filter(differs).map((c) => c.cluster);
  const disagreements: [reason: string, what: string, clusters: string[]][] = [
    ["PortConflict", "ports", differing((c) => portsClash(oldest.service, c.service))],
    ["TypeConflict", "headlessness", differing((c) => c.service.headless !== oldest.service.headless)],
    [
      "SessionAffinityConflict",
      "session affinity",
      differing((c) => c.service.sessionAffinity !== oldest.service.sessionAffinity),
    ],
  ];
  for (const [reason, what, clusters] of disagreements) {
    if (clusters.length === 0) continue;
    return {
      reason,
      message: `The ${what} of ${clusters.join(", ")} and ${oldest.cluster} differ; the older export, ${oldest.cluster}'s, holds.`,
    };
  }
  return undefined;
}

/** Oldest first; the name breaks a tie, alike in every cluster. */
export function byAge(
  a: { cluster: string; exportedAtMs: number },
  b: { cluster: string; exportedAtMs: number },
): number {
  return a.exportedAtMs - b.exportedAtMs || (a.cluster < b.cluster ? -1 : 1);
}

function portsClash(a: Pick<LocalService, "ports">, b: Pick<LocalService, "ports">): boolean {
  return a.ports.some((port) =>
    b.ports.some((other) => {
      const sameName = other.name === port.name;
      const sameNumber = other.port === port.port;
      return sameName !== sameNumber || (sameName && other.appProtocol !== port.appProtocol);
    }),
  );
}
