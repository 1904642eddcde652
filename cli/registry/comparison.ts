import { LABELS } from "../../core/defaults.ts";
import { failoverProblems } from "../../core/failover.ts";
import type { TrustDomain } from "../../core/identity.ts";
import type { GatewayAddress } from "../../core/link.ts";
import { serviceKey } from "../../core/service.ts";
import { digestOf } from "../../gateway/federation/outbox.ts";
import type { KubeObject } from "../../kube/client.ts";
import type { ReferenceGrant, RouteObject } from "../../kube/gateway-api.ts";
import type {
  EndpointSlice,
  FailoverPolicyObject,
  KubeService,
  Link,
  Pod,
  ServiceExportObject,
  ServiceImportObject,
} from "../../kube/resources.ts";
import { localEndpoints, localService } from "../../mirror/exports/local-service.ts";
import { VirtualAddresses } from "../../mirror/exports/virtual-addresses.ts";
import { policyOf } from "../../mirror/failover/failover-status.ts";
import { planRoutes } from "../../mirror/routes/route-plan.ts";
import {
  LOCAL_BUNDLE,
  LOCAL_ENDPOINTS,
  LOCAL_FAILOVER,
  LOCAL_GATEWAYS,
  LOCAL_READY,
  LOCAL_ROUTES,
  LOCAL_SERVICES,
  LOCAL_VIPS,
  PEER_BUNDLES,
  PEER_DIGESTS,
  PEER_ENDPOINTS,
  PEER_GATEWAYS,
  PEER_LINKS,
  PEER_SERVICES,
  type PeerDigest,
  stateKey,
} from "../../registry/state.ts";
import type { DumpedEntry, RegistryDump } from "./access.ts";

/** What Kubernetes says, of which the registry must be the image. */
export interface ClusterFacts {
  readonly trustDomain: TrustDomain;
  /** DER, base64. */
  readonly root: string;
  readonly services: readonly KubeService[];
  readonly slices: readonly EndpointSlice[];
  readonly pods: readonly Pod[];
  readonly exports: readonly ServiceExportObject[];
  readonly links: readonly Link[];
  readonly gateways: readonly GatewayAddress[];
  /** HTTPRoutes and GRPCRoutes. */
  readonly routes: readonly RouteObject[];
  readonly grants: readonly ReferenceGrant[];
  readonly imports: readonly ServiceImportObject[];
  readonly policies: readonly FailoverPolicyObject[];
}

export interface Difference {
  readonly key: string;
  readonly problem: "missing" | "unexpected" | "different" | "unreadable";
  readonly detail: string;
}

/** What the mirror writes from Kubernetes alone. */
const MIRRORS = [LOCAL_SERVICES, LOCAL_ENDPOINTS, LOCAL_ROUTES, LOCAL_VIPS, LOCAL_FAILOVER];

const SERVICE_NAME = "kubernetes.io/service-name";

/** How the registry differs from what Kubernetes says and from what peers and gateways agreed on; by key. */
export function compareRegistry(dump: RegistryDump, facts: ClusterFacts): Difference[] {
  const stored = new Map(dump.entries.map((entry) => [entry.key, entry]));
  const found = [...unreadable(dump), ...local(stored, facts), ...peers(stored, facts)];
  return found.sort((a, b) => (a.key < b.key ? -1 : 1));
}

function unreadable({ entries }: RegistryDump): Difference[] {
  return entries
    .filter(({ value }) => value === undefined)
    .map(({ key }) => ({ key, problem: "unreadable", detail: "the value is no JSON" }));
}

function local(stored: ReadonlyMap<string, DumpedEntry>, facts: ClusterFacts): Difference[] {
  const differences: Difference[] = [];
  const expected = expectedRouting(facts);
  const pods = new Map(facts.pods.map((pod) => [serviceKey(pod.metadata.namespace ?? "", pod.metadata.name), pod]));
  for (const service of facts.services) {
    const { namespace = "", name } = service.metadata;
    const own = (object: { metadata: { namespace?: string } }) => object.metadata.namespace === namespace;
    const exported = facts.exports.find((object) => own(object) && object.metadata.name === name);
    const value = localService(service, exported);
    if (value === undefined) continue;
    const slices = facts.slices.filter((slice) => own(slice) && slice.metadata.labels?.[SERVICE_NAME] === name);
    const endpoints = localEndpoints(service, slices, (ns, pod) => pods.get(serviceKey(ns, pod)), facts.trustDomain);
    expected.set(`${LOCAL_SERVICES.prefix}${namespace}/${name}`, LOCAL_SERVICES.encode(value));
    expected.set(`${LOCAL_ENDPOINTS.prefix}${namespace}/${name}`, LOCAL_ENDPOINTS.encode(endpoints));
  }
  for (const [key, text] of expected) {
    const entry = stored.get(key);
    const problem = entry === undefined ? "missing" : "different";
    if (entry?.value === undefined || JSON.stringify(entry.value) !== JSON.stringify(JSON.parse(text))) {
      if (entry === undefined || entry.value !== undefined) {
        differences.push({ key, problem, detail: "not as Kubernetes has it" });
      }
    }
  }
  for (const key of stored.keys()) {
    const ours = MIRRORS.some(({ prefix }) => key.startsWith(prefix));
    if (ours && !expected.has(key)) {
      differences.push({ key, problem: "unexpected", detail: "nothing in Kubernetes says so" });
    }
  }
  const ready = `${LOCAL_READY.prefix}mirror`;
  if (!stored.has(ready))
    differences.push({ key: ready, problem: "missing", detail: "mirror has not written all yet" });
  const bundle = `${LOCAL_BUNDLE.prefix}${facts.trustDomain}`;
  const roots = stored.get(bundle)?.value as { x509Authorities?: string[] } | undefined;
  if (roots === undefined) differences.push({ key: bundle, problem: "missing", detail: "control has not written it" });
  else if (!roots.x509Authorities?.includes(facts.root)) {
    differences.push({ key: bundle, problem: "different", detail: "it lacks the root that Kubernetes publishes" });
  }
  const gateways = [...stored].filter(([key]) => key.startsWith(LOCAL_GATEWAYS.prefix));
  if (facts.gateways.length > 0 && gateways.length === 0) {
    differences.push({ key: LOCAL_GATEWAYS.prefix, problem: "missing", detail: "no gateway has written its address" });
  }
  return differences;
}

/** Rules of services, what addresses stand for, and failover policies: key and text of each. */
function expectedRouting({ services, routes, grants, imports, policies }: ClusterFacts): Map<string, string> {
  const expected = new Map<string, string>();
  const named = <T extends KubeObject>(objects: readonly T[], namespace: string, name: string) =>
    objects.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
  const plan = planRoutes({
    routes,
    grants,
    service: (namespace, name) => named(services, namespace, name),
    serviceImport: (namespace, name) => named(imports, namespace, name),
  });
  for (const [name, rules] of plan.services) expected.set(LOCAL_ROUTES.prefix + name, LOCAL_ROUTES.encode(rules));
  const addresses = new VirtualAddresses({
    set() {},
    delete() {},
    replacePrefix(_, values) {
      for (const [key, value] of values) expected.set(key, value);
    },
  });
  addresses.replace(services);
  for (const object of policies) {
    const policy = policyOf(object);
    if (failoverProblems(policy).length > 0) continue;
    const { namespace = "", name } = object.metadata;
    expected.set(stateKey(LOCAL_FAILOVER, namespace, name), LOCAL_FAILOVER.encode(policy));
  }
  return expected;
}

function peers(stored: ReadonlyMap<string, DumpedEntry>, facts: ClusterFacts): Difference[] {
  const differences: Difference[] = [];
  const linked = new Set(facts.links.map(({ spec }) => spec.cluster));
  const prefixes = [PEER_SERVICES, PEER_ENDPOINTS, PEER_GATEWAYS, PEER_BUNDLES, PEER_LINKS, PEER_DIGESTS];
  for (const key of stored.keys()) {
    const prefix = prefixes.find((kind) => key.startsWith(kind.prefix))?.prefix;
    const cluster = prefix === undefined ? undefined : key.slice(prefix.length).split("/")[0];
    if (cluster !== undefined && !linked.has(cluster)) {
      differences.push({ key, problem: "unexpected", detail: `there is no Link to ${cluster}` });
    }
  }
  for (const link of facts.links) {
    const { cluster } = link.spec;
    const joined = link.status?.conditions?.some((c) => c.type === "Joined" && c.status === "True") ?? false;
    if (!joined) continue;
    const need = (key: string, detail: string) => {
      if (![...stored.keys()].some((known) => known === key || (key.endsWith("/") && known.startsWith(key)))) {
        differences.push({ key, problem: "missing", detail });
      }
    };
    need(`${PEER_LINKS.prefix}${cluster}`, "the gateway has not written the link's state");
    need(`${PEER_BUNDLES.prefix}${cluster}/`, "the gateway has not written the peer's bundle");
    if (!link.spec.import) continue;
    differences.push(...digests(stored, cluster), ...mirrors(stored, link, facts));
  }
  return differences;
}

/**
 * What is stored of a peer against what the peer and the gateway last agreed on; nothing where something was stored
 * after that: the next digest comes within ten seconds.
 */
function digests(stored: ReadonlyMap<string, DumpedEntry>, cluster: string): Difference[] {
  const entry = stored.get(`${PEER_DIGESTS.prefix}${cluster}`);
  const agreed = entry?.value as PeerDigest | undefined;
  if (entry === undefined || agreed === undefined) return [];
  const kinds = [
    ["service", PEER_SERVICES.prefix],
    ["endpoints", PEER_ENDPOINTS.prefix],
  ] as const;
  return kinds.flatMap(([kind, of]) => {
    const prefix = `${of}${cluster}/`;
    const held = [...stored.values()].filter(({ key }) => key.startsWith(prefix));
    if (held.some(({ revision }) => BigInt(revision) > BigInt(entry.revision))) return [];
    const { sha256, count } = digestOf(new Map(held.map((each) => [each.key.slice(prefix.length), each.sha256])));
    if (count === agreed[kind].count && sha256.toString("hex") === agreed[kind].sha256) return [];
    const detail = `${count} stored, ${agreed[kind].count} agreed with ${cluster}, and the digests differ`;
    return [{ key: prefix, problem: "different" as const, detail }];
  });
}

/** What is stored of a peer against the mirrors in Kubernetes; nothing where the Link says why they cannot be. */
function mirrors(stored: ReadonlyMap<string, DumpedEntry>, link: Link, facts: ClusterFacts): Difference[] {
  const excused = link.status?.conditions?.some((c) => c.type === "ServicesMirrored" && c.status === "False") ?? false;
  if (link.status?.phase !== "active" || excused) return [];
  const prefix = `${PEER_SERVICES.prefix}${link.spec.cluster}/`;
  const there = new Set<string>();
  for (const { metadata } of facts.services) {
    const { labels = {} } = metadata;
    if (labels[LABELS.originCluster] !== link.spec.cluster || labels[LABELS.managedBy] !== LABELS.managedByValue)
      continue;
    there.add(`${prefix}${metadata.namespace ?? ""}/${labels[LABELS.originService] ?? ""}`);
  }
  const known = [...stored.keys()].filter((key) => key.startsWith(prefix));
  return [
    ...known
      .filter((key) => !there.has(key))
      .map((key) => ({ key, problem: "unexpected" as const, detail: "Kubernetes has no mirror of it" })),
    ...[...there]
      .filter((key) => !stored.has(key))
      .map((key) => ({ key, problem: "missing" as const, detail: "Kubernetes has a mirror of it" })),
  ];
}
