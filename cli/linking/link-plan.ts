import { X509Certificate } from "node:crypto";
import { LABELS } from "../../core/defaults.ts";
import { mirrorName } from "../../core/mirror-name.ts";
import { rootFingerprint } from "../../identity/certificate.ts";
import {
  type KubeService,
  NAMESPACES,
  SERVICE_EXPORTS,
  SERVICES,
  type ServiceExportObject,
} from "../../kube/resources.ts";
import type { MeshCluster } from "../cluster-access.ts";

/** A service that one side exports and what it becomes on the other. */
export interface PlannedMirror {
  readonly service: string;
  readonly mirror: string;
  readonly clusterset: boolean;
  /** Why there will be no mirror, for now. */
  readonly conflict: string;
}

export interface LinkPlan {
  readonly from: string;
  readonly to: string;
  readonly identities: readonly {
    readonly cluster: string;
    readonly trustDomain: string;
    readonly rootFingerprint: string;
  }[];
  /** By exporting cluster. */
  readonly exposes: Readonly<Record<string, readonly PlannedMirror[]>>;
}

/** "sha256:<hex>" of a root in PEM. */
export function fingerprintOf(rootPem: string): string {
  return rootFingerprint(new X509Certificate(rootPem).raw);
}

/** What linking would expose and where it would get stuck; reads both clusters, changes neither. */
export async function planLink(peer: MeshCluster, own: MeshCluster, oneWay: boolean): Promise<LinkPlan> {
  const identity = ({ cluster, trustDomain, rootPem }: MeshCluster) => ({
    cluster,
    trustDomain,
    rootFingerprint: fingerprintOf(rootPem),
  });
  const exposes = {
    [peer.cluster]: await plannedMirrors(peer, own),
    ...(oneWay ? {} : { [own.cluster]: await plannedMirrors(own, peer) }),
  };
  return { from: peer.cluster, to: own.cluster, identities: [identity(peer), identity(own)], exposes };
}

async function plannedMirrors(exporter: MeshCluster, importer: MeshCluster): Promise<PlannedMirror[]> {
  const [exports, services, namespaces, there] = await Promise.all([
    exporter.kube.list<ServiceExportObject>(SERVICE_EXPORTS),
    exporter.kube.list<KubeService>(SERVICES),
    importer.kube.list(NAMESPACES),
    importer.kube.list<KubeService>(SERVICES),
  ]);
  const present = new Set(namespaces.map((n) => n.metadata.name));
  const keyOf = (o: { metadata: { namespace?: string; name: string } }) => `${o.metadata.namespace}/${o.metadata.name}`;
  const exported = new Map(exports.map((e) => [keyOf(e), e.metadata.annotations?.[LABELS.exportTo]]));
  const planned: PlannedMirror[] = [];
  for (const service of services) {
    const key = keyOf(service);
    const byLabel = service.metadata.labels?.[LABELS.exported] === "true";
    const isOurs = service.metadata.labels?.[LABELS.managedBy] === LABELS.managedByValue;
    if ((!exported.has(key) && !byLabel) || isOurs) continue;
    const to = exported.get(key) ?? service.metadata.annotations?.[LABELS.exportTo];
    if (to !== undefined && !to.split(",").includes(importer.cluster)) continue;
    const namespace = service.metadata.namespace ?? "default";
    const { name } = mirrorName(service.metadata.name, exporter.cluster);
    const holder = there.find((s) => s.metadata.namespace === namespace && s.metadata.name === name);
    const conflict = conflictOf(service, namespace, present, holder);
    planned.push({ service: key, mirror: `${namespace}/${name}`, clusterset: exported.has(key), conflict });
  }
  return planned;
}

function conflictOf(
  service: KubeService,
  namespace: string,
  present: ReadonlySet<string>,
  holder: KubeService | undefined,
): string {
  if (service.spec?.type === "ExternalName") return "an ExternalName cannot be exported";
  if (!present.has(namespace)) return `namespace "${namespace}" is missing there`;
  const isOurs = holder?.metadata.labels?.[LABELS.managedBy] === LABELS.managedByValue;
  return holder !== undefined && !isOurs ? "a service of that name is there and is not ours" : "";
}

/** The plan for people. */
export function describePlan(plan: LinkPlan): string {
  const lines = plan.identities.map((i) => `${i.cluster}: trust domain ${i.trustDomain}, root ${i.rootFingerprint}`);
  for (const [cluster, mirrors] of Object.entries(plan.exposes)) {
    const other = cluster === plan.from ? plan.to : plan.from;
    if (mirrors.length === 0) lines.push(`${cluster} exposes nothing to ${other} until it exports a service`);
    for (const { service, mirror, clusterset, conflict } of mirrors) {
      const also = clusterset ? ", and joins the clusterset name" : "";
      lines.push(
        `${cluster} exposes ${service} to ${other} as ${mirror}${also}${conflict === "" ? "" : `  ! not mirrored: ${conflict}`}`,
      );
    }
  }
  return lines.join("\n");
}
