import type { X509Certificate } from "node:crypto";
import { MeshError } from "../core/errors.ts";
import type { Identity } from "../core/identity.ts";
import type { TrustBundles } from "../core/trust-bundle.ts";
import { notAfterMs, notBeforeMs, parseCertificate } from "./certificate.ts";
import { checkSigner, leafIdentity, trustDomainOf } from "./svid-rules.ts";

const MAX_CHAIN = 4;

/** What a verification found; it holds while the root stays in its trust domain's bundle and the time is within. */
export interface Verdict {
  readonly identity: Identity;
  /** The root that it rests on. */
  readonly root: X509Certificate;
  /** The latest start and the earliest end in the path, ms since 1970. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** Whether `issuer` signed `certificate`: names, key identifiers, usage and the signature itself. */
export function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** The signers from the leaf's issuer to a root of the bundle. */
function signersOf(
  chain: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): readonly X509Certificate[] | undefined {
  const signers: X509Certificate[] = [];
  for (const [i, certificate] of chain.entries()) {
    const root = roots.find((candidate) => isSignedBy(certificate, candidate));
    if (root !== undefined) return [...signers, root];
    const next = chain[i + 1];
    if (next === undefined || !isSignedBy(certificate, next)) return undefined;
    signers.push(next);
  }
  return undefined;
}

/**
 * Validates `chain` (leaf first, in order, at most 4) against the bundle of the trust domain that the leaf's SPIFFE
 * ID names, and no other (RFC 5280 section 6 as far as the X509-SVID standard uses it).
 * @throws MeshError CERTIFICATE_INVALID (rules), TRUST_DOMAIN_UNKNOWN, CERTIFICATE_UNTRUSTED (path),
 * CERTIFICATE_EXPIRED (time)
 */
export function judgePeer(chain: readonly X509Certificate[], bundles: TrustBundles, nowMs: number): Verdict {
  const [leaf] = chain;
  if (leaf === undefined) throw new MeshError("CERTIFICATE_INVALID", "Cannot accept peer: it shows no certificate.");
  if (chain.length > MAX_CHAIN)
    throw new MeshError("CERTIFICATE_INVALID", `Cannot accept peer: its chain is longer than ${MAX_CHAIN}.`);
  const identity = identityIn(leaf);
  const trustDomain = trustDomainOf(identity);
  const bundle = bundles.get(trustDomain);
  if (bundle === undefined) {
    throw new MeshError(
      "TRUST_DOMAIN_UNKNOWN",
      `Cannot accept ${identity}: no bundle is known for ${trustDomain}. Link its cluster.`,
    );
  }
  const signers = signersOf(chain, bundle.x509Authorities.map(parseCertificate));
  if (signers === undefined) {
    throw new MeshError(
      "CERTIFICATE_UNTRUSTED",
      `Cannot accept ${identity}: its chain does not end in the bundle of ${trustDomain}.`,
    );
  }
  for (const [below, signer] of signers.entries()) checkSigner(signer, trustDomain, below);
  const path = [leaf, ...signers];
  const verdict = {
    identity,
    root: signers.at(-1) ?? leaf,
    notBeforeMs: Math.max(...path.map(notBeforeMs)),
    notAfterMs: Math.min(...path.map(notAfterMs)),
  };
  checkTime(verdict, nowMs);
  return verdict;
}

function identityIn(leaf: X509Certificate): Identity {
  try {
    return leafIdentity(leaf);
  } catch (error) {
    if (error instanceof MeshError && error.code === "CERTIFICATE_INVALID") throw error;
    throw new MeshError("CERTIFICATE_INVALID", "Cannot accept certificate: its URI is not a SPIFFE ID of a workload.", {
      cause: error,
    });
  }
}

/** @throws MeshError CERTIFICATE_EXPIRED where `nowMs` is outside of the verdict's time */
export function checkTime({ identity, notBeforeMs, notAfterMs }: Verdict, nowMs: number): void {
  if (nowMs >= notBeforeMs && nowMs <= notAfterMs) return;
  const [state, atMs] = nowMs < notBeforeMs ? ["is valid only from", notBeforeMs] : ["expired at", notAfterMs];
  throw new MeshError(
    "CERTIFICATE_EXPIRED",
    `Cannot accept ${identity}: its chain ${state} ${new Date(atMs).toISOString()}. Check both clocks.`,
  );
}

/** Whether the root that `verdict` rests on is still in the bundle of the identity's trust domain. */
export function isStillTrusted({ identity, root }: Verdict, bundles: TrustBundles): boolean {
  return bundles.get(trustDomainOf(identity))?.x509Authorities.some((der) => root.raw.equals(der)) ?? false;
}

/** The identity that `chain` proves; see judgePeer. */
export function verifyPeer(chain: readonly X509Certificate[], bundles: TrustBundles, nowMs: number): Identity {
  return judgePeer(chain, bundles, nowMs).identity;
}
