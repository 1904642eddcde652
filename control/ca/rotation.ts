import type { X509Certificate } from "node:crypto";
import { rootFingerprint } from "../../identity/certificate.ts";
import type { Link, TrustRotation } from "../../kube/resources.ts";
import type { PublishedBundle } from "./published-bundle.ts";

/** From the last acknowledgement to the first certificate of a new root: for the proxies behind each gateway. */
export const SETTLE_MS = 10_000;
/** Beyond the last certificate of an old root, for clocks that differ. */
const SKEW_MS = 10 * 60_000;

/** A peer that has not taken what we published. */
export interface Waiting {
  readonly cluster: string;
  /** The newest sequence of ours that it has acknowledged. */
  readonly acknowledged: bigint | undefined;
}

/** Whose peers have not acknowledged `sequence`; a Link that is on its way out is not waited for. */
export function waitingFor(links: readonly Link[], sequence: bigint): Waiting[] {
  return links.flatMap(({ metadata, spec, status }) => {
    if (metadata.deletionTimestamp !== undefined) return [];
    const text = status?.acknowledgedBundle ?? "";
    const acknowledged = /^\d{1,19}$/.test(text) ? BigInt(text) : undefined;
    return (acknowledged ?? -1n) >= sequence ? [] : [{ cluster: spec.cluster, acknowledged }];
  });
}

/** The rotation to work on: the oldest that is not over. */
export function currentRotation(rotations: readonly TrustRotation[]): TrustRotation | undefined {
  return rotations
    .filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && !isOver(status?.phase))
    .sort(byAge)[0];
}

function byAge(a: TrustRotation, b: TrustRotation): number {
  const [first, second] = [a, b].map(({ metadata }) => metadata.creationTimestamp ?? "");
  return (first ?? "").localeCompare(second ?? "") || a.metadata.name.localeCompare(b.metadata.name);
}

function isOver(phase: string | undefined): boolean {
  return phase === "Retired" || phase === "Failed";
}

export type Readiness =
  | { readonly activate: true; readonly breaks: readonly Waiting[] }
  | { readonly activate: false; readonly waiting: readonly Waiting[]; readonly lookAgainMs: number | undefined };

/** Whether certificates may be issued under a root that has been published since `published.sinceMs`. */
export function readiness(
  published: PublishedBundle,
  links: readonly Link[],
  force: boolean,
  nowMs: number,
): Readiness {
  const waiting = waitingFor(links, published.sequence);
  if (force) return { activate: true, breaks: waiting };
  const leftMs = published.sinceMs + SETTLE_MS - nowMs;
  if (waiting.length === 0 && leftMs <= 0) return { activate: true, breaks: [] };
  return { activate: false, waiting, lookAgainMs: leftMs > 0 ? leftMs : undefined };
}

/** When the last certificate under an old root has expired, ms since 1970. */
export function retireAtMs({ activeSinceMs, longestLeafMs }: PublishedBundle): number {
  return activeSinceMs + longestLeafMs + SKEW_MS;
}

export function holds(published: PublishedBundle, root: X509Certificate): boolean {
  return published.roots.some(({ raw }) => raw.equals(root.raw));
}

export function fingerprintOf(root: X509Certificate): string {
  return rootFingerprint(root.raw);
}
