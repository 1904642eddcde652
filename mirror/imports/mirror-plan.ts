import { isServiceName, mirrorName } from "../../core/mirror-name.ts";
import { type RemoteService, type ServiceKey, serviceKey } from "../../core/service.ts";
import { ENDPOINT_SLICES, type EndpointSlice, type KubeService, SERVICES } from "../../kube/resources.ts";
import { SERVICE_NAME_LABEL } from "../cluster-cache.ts";
import { byAge } from "../exports/export-status.ts";
import { derivedFor, originOf } from "../ownership.ts";
import type { Step } from "../steps.ts";
import { gatewaySlices, MCS_SERVICE_LABEL, sameButReadiness, sameSlice } from "./gateway-slices.ts";
import { difference, mirrorLabels, type OwnService, repaired, toKube } from "./mirror-service.ts";
import type { Peer } from "./peers.ts";

/** Why a remote service is not mirrored, or not as it should be. */
export interface Problem {
  readonly reason: "NamespaceMissing" | "NameCollision" | "NameInvalid";
  readonly service: ServiceKey;
  readonly mirror: string;
}

export interface MirrorState {
  readonly peers: readonly Peer[];
  hasNamespace(namespace: string): boolean;
  service(namespace: string, name: string): KubeService | undefined;
  /** Every Service with the labels of a mirror. */
  readonly mirrors: readonly KubeService[];
  /** Every EndpointSlice with the labels of a mirror. */
  readonly slices: readonly EndpointSlice[];
}

export interface MirrorPlan {
  readonly steps: readonly Step[];
  readonly problems: ReadonlyMap<string, readonly Problem[]>;
  /** Mirrors whose name had to be shortened, by cluster. */
  readonly shortened: ReadonlyMap<string, readonly string[]>;
  /** Clusters of which something is still there. */
  readonly present: ReadonlySet<string>;
}

interface Wanted {
  readonly peer: Peer;
  readonly remote: RemoteService;
  readonly own: OwnService;
}

/**
 * What to change so that the mirrors are those of `state.peers`. A second run, once it is done, plans nothing.
 * Never touches an object without our labels; deletes only what a peer has certainly withdrawn.
 */
export function planMirrors(state: MirrorState): MirrorPlan {
  const problems = new Map<string, Problem[]>();
  const shortened = new Map<string, string[]>();
  const wanted = chooseMirrors(state, problems, shortened);
  const steps: Step[] = [];
  const peers = new Map(state.peers.map((peer) => [peer.cluster, peer]));

  for (const { own } of wanted.values()) {
    const step = serviceStep(own, state.service(own.namespace, own.name));
    if (step !== undefined) steps.push(step);
  }

  const doomed = new Set<ServiceKey>();
  for (const mirror of state.mirrors) {
    const key = keyOf(mirror);
    const cluster = originOf(mirror)?.cluster ?? "";
    if (isWanted(wanted.get(key), mirror) || !isWithdrawn(peers.get(cluster))) continue;
    doomed.add(key);
    steps.push(deletion(SERVICES, mirror));
  }

  const slices = new Map(state.slices.map((slice) => [keyOf(slice), slice]));
  const kept = new Set<ServiceKey>();
  const silent = new Set<ServiceKey>();
  for (const { peer, remote, own } of wanted.values()) {
    // While a peer's gateways are not known, slices stay as they are.
    if (peer.gateways.length === 0) {
      silent.add(serviceKey(own.namespace, own.name));
      continue;
    }
    const ready = peer.health !== "dead" && peer.hasReady(serviceKey(remote.namespace, remote.name));
    const subject = { ...own, cluster: peer.cluster, service: remote.name, clusterset: remote.clusterset };
    for (const slice of gatewaySlices(subject, peer.gateways, ready)) {
      kept.add(keyOf(slice));
      const step = sliceStep(slice, slices.get(keyOf(slice)));
      if (step !== undefined) steps.push(step);
    }
  }
  for (const [key, slice] of slices) {
    const cluster = originOf(slice)?.cluster ?? "";
    const service = serviceKey(slice.metadata.namespace ?? "", slice.metadata.labels?.[SERVICE_NAME_LABEL] ?? "");
    if (kept.has(key) || silent.has(service) || derivedFor(slice) !== undefined) continue;
    if (doomed.has(service) || wanted.has(service) || isWithdrawn(peers.get(cluster)))
      steps.push(deletion(ENDPOINT_SLICES, slice));
  }

  const present = new Set([...state.mirrors, ...state.slices].map((object) => originOf(object)?.cluster ?? ""));
  return { steps, problems, shortened, present };
}

/** Settles who gets each name: whoever has it, else the oldest export; others are problems. */
function chooseMirrors(
  state: MirrorState,
  problems: Map<string, Problem[]>,
  shortened: Map<string, string[]>,
): Map<ServiceKey, Wanted> {
  const problem = (cluster: string, reason: Problem["reason"], remote: RemoteService, mirror: string) => {
    const list = problems.get(cluster) ?? [];
    list.push({ reason, service: serviceKey(remote.namespace, remote.name), mirror });
    problems.set(cluster, list);
  };
  const candidates = new Map<ServiceKey, Wanted[]>();
  for (const peer of state.peers) {
    if (!peer.importing) continue;
    for (const remote of peer.services) {
      const { name, shortened: short } = mirrorName(remote.name, peer.cluster);
      if (!isServiceName(remote.name) || !isServiceName(name)) {
        problem(peer.cluster, "NameInvalid", remote, name);
        continue;
      }
      if (!state.hasNamespace(remote.namespace)) {
        problem(peer.cluster, "NamespaceMissing", remote, name);
        continue;
      }
      if (short) shortened.set(peer.cluster, [...(shortened.get(peer.cluster) ?? []), name]);
      const { namespace, ports, headless, sessionAffinity } = remote;
      const labels = mirrorLabels(peer.cluster, remote.name);
      const key = serviceKey(namespace, name);
      const own = { namespace, name, ports, headless, sessionAffinity, labels };
      candidates.set(key, [...(candidates.get(key) ?? []), { peer, remote, own }]);
    }
  }
  const wanted = new Map<ServiceKey, Wanted>();
  for (const [key, claims] of candidates) {
    const existing = state.service(claims[0]?.own.namespace ?? "", claims[0]?.own.name ?? "");
    const origin = existing && originOf(existing);
    const holder = claims.find((claim) => existing !== undefined && isWanted(claim, existing));
    const foreign = existing !== undefined && origin === undefined;
    // A mirror of ours whose origin nobody claims goes, or stays with a peer that is silent; its name is taken till then.
    const winner =
      foreign || (origin !== undefined && holder === undefined) ? undefined : (holder ?? [...claims].sort(byClaim)[0]);
    if (winner !== undefined) wanted.set(key, winner);
    for (const claim of claims) {
      if (claim !== winner) problem(claim.peer.cluster, "NameCollision", claim.remote, key);
    }
  }
  return wanted;
}

function byClaim(a: Wanted, b: Wanted): number {
  return byAge(a.remote, b.remote);
}

function isWanted(wanted: Wanted | undefined, actual: KubeService): boolean {
  const origin = originOf(actual);
  return wanted !== undefined && origin?.cluster === wanted.peer.cluster && origin.service === wanted.remote.name;
}

/** Whether what is absent from this peer is gone for good. No Link: unlinked. */
function isWithdrawn(peer: Peer | undefined): boolean {
  return peer === undefined || !peer.importing || peer.confirmed;
}

/** What `own` needs; the Service that stands under its name, if any, is ours. */
export function serviceStep(own: OwnService, actual: KubeService | undefined): Step | undefined {
  const target = { type: SERVICES, namespace: own.namespace, name: own.name };
  if (actual === undefined) return { ...target, action: "create", object: toKube(own) };
  if (actual.metadata.deletionTimestamp !== undefined) return undefined;
  const differs = difference(own, actual);
  switch (differs) {
    case "none":
      return undefined;
    case "fields":
      return { ...target, action: "replace", object: repaired(own, actual) };
    case "kind":
      return deletion(SERVICES, actual);
    default:
      return differs satisfies never;
  }
}

/** What the slice `wanted` needs. */
export function sliceStep(wanted: EndpointSlice, actual: EndpointSlice | undefined): Step | undefined {
  const { namespace, name } = wanted.metadata;
  const target = { type: ENDPOINT_SLICES, namespace, name };
  if (actual === undefined) return { ...target, action: "create", object: wanted };
  if (sameSlice(wanted, actual)) return undefined;
  if (wanted.addressType !== actual.addressType) return deletion(ENDPOINT_SLICES, actual);
  const { [MCS_SERVICE_LABEL]: _, ...others } = actual.metadata.labels ?? {};
  const labels = { ...others, ...wanted.metadata.labels };
  const object = { ...wanted, metadata: { ...actual.metadata, labels } };
  return { ...target, action: "replace", object, lazy: sameButReadiness(wanted, actual) };
}

/** Deletes exactly this object, not a successor of its name. */
export function deletion(type: Step["type"], object: KubeService | EndpointSlice): Step {
  const { namespace, name, uid } = object.metadata;
  return { type, namespace, name, action: "delete", uid };
}

function keyOf({ metadata: { namespace = "", name } }: KubeService | EndpointSlice): ServiceKey {
  return serviceKey(namespace, name);
}
