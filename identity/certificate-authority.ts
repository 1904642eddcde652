import type { X509Certificate } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import { MeshError } from "../core/errors.ts";
import type { TrustDomain } from "../core/identity.ts";
import type { TrustBundle } from "../core/trust-bundle.ts";
import { createLeaf, notAfterMs, type Signer } from "./certificate.ts";
import { type CertificateRequest, parseCsr } from "./csr.ts";
import { trustDomainOf } from "./svid-rules.ts";
import type { Certify } from "./svid-source.ts";

/** What signs the leaves of one trust domain. */
export interface CertificateAuthority {
  readonly trustDomain: TrustDomain;
  readonly issuer: Signer;
  /** The roots of the domain as others should believe them. */
  readonly bundle: TrustBundle;
}

/**
 * Signs a request that has been authorised: a leaf of 24 hours with its issuer behind it.
 * @throws MeshError CSR_INVALID for an identity of another trust domain, CA_UNAVAILABLE when the issuer has expired
 */
export function issueLeaf(
  authority: CertificateAuthority,
  request: CertificateRequest,
  nowMs: number,
): readonly X509Certificate[] {
  const { trustDomain, issuer } = authority;
  if (trustDomainOf(request.identity) !== trustDomain) {
    throw new MeshError("CSR_INVALID", `Cannot certify ${request.identity}: this is the authority of ${trustDomain}.`);
  }
  if (nowMs >= notAfterMs(issuer.certificate)) {
    throw new MeshError(
      "CA_UNAVAILABLE",
      `Cannot sign: the issuer of ${trustDomain} has expired. Restart control to renew it.`,
    );
  }
  return [createLeaf(request.identity, request.publicKey, issuer, nowMs), issuer.certificate];
}

/** How the process that holds the authority gets its own SVIDs: without a token and without a network. */
export function certifyLocally(authority: () => CertificateAuthority, clock: Clock): Certify {
  return async (csrDer) => {
    const chain = issueLeaf(authority(), parseCsr(csrDer), clock.wallMs());
    const [leaf] = chain;
    return { chain, notAfterMs: leaf === undefined ? 0 : notAfterMs(leaf), bundles: [authority().bundle] };
  };
}
