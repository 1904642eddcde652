import { MeshError } from "./errors.ts";
import type { TrustDomain } from "./identity.ts";

/** In one bundle: a rotation has two at a time. */
export const MAX_ROOTS = 16;

/** The roots of one trust domain. Bundles are never merged across domains. */
export interface TrustBundle {
  readonly trustDomain: TrustDomain;
  /** Name of the cluster whose domain this is. */
  readonly cluster: string;
  /** Only rises. */
  readonly sequence: bigint;
  /** DER of self-signed roots. */
  readonly x509Authorities: readonly Uint8Array[];
}

/** Bundles by trust domain. */
export type TrustBundles = ReadonlyMap<TrustDomain, TrustBundle>;

function sameAuthorities(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((der, i) => Buffer.compare(der, b[i] ?? new Uint8Array()) === 0);
}

/**
 * Whether `next` replaces `known`: true for a first or a risen sequence, false for the same bundle again.
 * @throws MeshError BUNDLE_STALE for a lower sequence, or an equal one with other content (SPIFFE Trust
 * Domain and Bundle section 4.1.1)
 */
export function supersedes(next: TrustBundle, known: TrustBundle | undefined): boolean {
  if (known === undefined || next.sequence > known.sequence) return true;
  if (next.sequence < known.sequence) {
    throw new MeshError(
      "BUNDLE_STALE",
      `Cannot take bundle of ${next.trustDomain}: sequence ${next.sequence} is below the known ${known.sequence}.`,
    );
  }
  if (!sameAuthorities(next.x509Authorities, known.x509Authorities)) {
    throw new MeshError(
      "BUNDLE_STALE",
      `Cannot take bundle of ${next.trustDomain}: sequence ${next.sequence} is known with other content.`,
    );
  }
  return false;
}
