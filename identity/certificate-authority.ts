import type { X509Certificate } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import { MeshError } from "../core/errors.ts";
import type { TrustDomain } from "../core/identity.ts";
import type { TrustBundle } from "../core/trust-bundle.ts";
import { createLeaf, LIFETIME_MS, notAfterMs, type Signer } from "./certificate.ts";
import { type CertificateRequest, parseCsr } from "./csr.ts";
import { trustDomainOf } from "./svid-rules.ts";
import type { Certify } from "./svid-source.ts";

/** What signs the leaves of one trust domain. */
export interface CertificateAuthority {
  readonly trustDomain: TrustDomain;
  readonly issuer: Signer;
  /** Shown behind each leaf: the issuer and what lies between it and the root, which is not shown. */
  readonly chain: readonly X509Certificate[];
  /** The roots of the domain as others should believe them. */
  readonly bundle: TrustBundle;
}

/**
 * Signs a request that has been authorised: a leaf with its issuer behind it, valid for `lifetimeMs` but never longer
 * than the issuer.
 * @throws MeshError CSR_INVALID for an identity of another trust domain, CA_UNAVAILABLE when the issuer has expired
 */
export function issueLeaf(
  authority: CertificateAuthority,
  request: CertificateRequest,
  nowMs: number,
  lifetimeMs: number = LIFETIME_MS.leaf,
): readonly X509Certificate[] {
  const { trustDomain, issuer, chain } = authority;
  if (trustDomainOf(request.identity) !== trustDomain) {
    throw new MeshError("CSR_INVALID", `Cannot certify ${request.identity}: this is the authority of ${trustDomain}.`);
  }
  if (nowMs >= notAfterMs(issuer.certificate)) {
    throw new MeshError(
      "CA_UNAVAILABLE",
      `Cannot sign: the issuer of ${trustDomain} has expired. See mesh trust status.`,
    );
  }
  return [createLeaf(request.identity, request.publicKey, issuer, nowMs, lifetimeMs), ...chain];
}

/** How the process that holds the authority gets its own SVIDs: without a token and without a network. */
export function certifyLocally(authority: () => CertificateAuthority, clock: Clock, lifetimeMs?: number): Certify {
  return async (csrDer) => {
    const chain = issueLeaf(authority(), parseCsr(csrDer), clock.wallMs(), lifetimeMs);
    const [leaf] = chain;
    return { chain, notAfterMs: leaf === undefined ? 0 : notAfterMs(leaf), bundles: [authority().bundle] };
  };
}
