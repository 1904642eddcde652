import { MeshError } from "../core/errors.ts";
import { parseTrustDomain } from "../core/identity.ts";
import { MAX_ROOTS, type TrustBundle } from "../core/trust-bundle.ts";
import type { TrustBundle__Output, TrustBundle as WireBundle } from "../protos/gen/causeway/identity/v1/TrustBundle.ts";
import type { TrustState, TrustState__Output } from "../protos/gen/causeway/identity/v1/TrustState.ts";
import { parseCertificate } from "./certificate.ts";
import { checkRoot } from "./svid-rules.ts";

const MAX_BUNDLES = 1_024;

/** A bundle as identity/v1 and federation/v1 carry it. */
export function encodeBundle(bundle: TrustBundle): WireBundle {
  return {
    trustDomain: bundle.trustDomain,
    cluster: bundle.cluster,
    sequence: bundle.sequence.toString(),
    x509Authorities: bundle.x509Authorities.map((der) => Buffer.from(der)),
  };
}

/**
 * A bundle from the wire: at most 16 roots, each fit to sign in its trust domain.
 * @throws MeshError IDENTITY_INVALID, CERTIFICATE_INVALID, LIMIT_EXCEEDED
 */
export function decodeBundle(wire: TrustBundle__Output): TrustBundle {
  const trustDomain = parseTrustDomain(wire.trustDomain);
  if (wire.x509Authorities.length > MAX_ROOTS) {
    throw new MeshError("LIMIT_EXCEEDED", `Cannot take bundle of ${trustDomain}: it has more than ${MAX_ROOTS} roots.`);
  }
  for (const der of wire.x509Authorities) checkRoot(parseCertificate(der), trustDomain);
  const x509Authorities = wire.x509Authorities.map((der) => new Uint8Array(der));
  return { trustDomain, cluster: wire.cluster, sequence: BigInt(wire.sequence), x509Authorities };
}

export function encodeTrust(bundles: Iterable<TrustBundle>): TrustState {
  return { bundles: [...bundles].map(encodeBundle) };
}

/** @throws MeshError as decodeBundle */
export function decodeTrust(wire: TrustState__Output): readonly TrustBundle[] {
  if (wire.bundles.length > MAX_BUNDLES)
    throw new MeshError("LIMIT_EXCEEDED", `Cannot take trust: more than ${MAX_BUNDLES} bundles.`);
  return wire.bundles.map(decodeBundle);
}
