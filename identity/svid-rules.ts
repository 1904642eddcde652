import type { X509Certificate } from "node:crypto";
import { MeshError } from "../core/errors.ts";
import { type Identity, identityParts, parseIdentity, parseTrustDomain, type TrustDomain } from "../core/identity.ts";
import { children, decode, oidOf } from "./der.ts";
import {
  type Extension,
  extensionsOf,
  OID,
  readAltNames,
  readBasicConstraints,
  readExtendedKeyUsage,
  readKeyUsage,
} from "./x509-extension.ts";

const MAX_CERTIFICATE_BYTES = 16 * 1024;

/** Critical extensions that are understood; RFC 5280 section 4.2 refuses certificates with others. */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  OID.basicConstraints,
  OID.keyUsage,
  OID.subjectAltName,
  OID.extendedKeyUsage,
]);

/** ECDSA with SHA-256 and SHA-384, RSA PKCS #1 with SHA-256, SHA-384 and SHA-512. */
const SIGNATURES: ReadonlySet<string> = new Set([
  "1.2.840.10045.4.3.2",
  "1.2.840.10045.4.3.3",
  "1.2.840.113549.1.1.11",
  "1.2.840.113549.1.1.12",
  "1.2.840.113549.1.1.13",
]);
const CURVES: ReadonlySet<string> = new Set(["prime256v1", "secp384r1"]);

interface Fields {
  readonly extensions: ReadonlyMap<string, Extension>;
  readonly signature: string;
}

function fieldsOf(certificate: X509Certificate): Fields {
  const [contents, algorithm] = children(decode(certificate.raw, MAX_CERTIFICATE_BYTES));
  const signature = oidOf(children(algorithm)[0]);
  if (signature !== oidOf(children(children(contents)[2])[0])) throw broken("its two signature algorithms differ");
  return { extensions: extensionsOf(certificate), signature };
}

function checkStrength(certificate: X509Certificate, signature: string): void {
  if (!SIGNATURES.has(signature)) throw broken(`signature algorithm ${signature} is not accepted`);
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = certificate.publicKey;
  const strong =
    (type === "ec" && CURVES.has(details?.namedCurve ?? "")) ||
    (type === "rsa" && (details?.modulusLength ?? 0) >= 2_048);
  if (!strong) throw broken("its key is neither ECDSA P-256 or P-384 nor RSA of 2,048 bits or more");
}

function checkCriticals(extensions: ReadonlyMap<string, Extension>): void {
  for (const { oid, critical } of extensions.values()) {
    if (critical && !UNDERSTOOD.has(oid)) throw broken(`critical extension ${oid} is not understood`);
  }
}

function checkPurposes(extensions: ReadonlyMap<string, Extension>): void {
  const purposes = readExtendedKeyUsage(extensions.get(OID.extendedKeyUsage));
  if (purposes === undefined) return;
  if (!purposes.has(OID.serverAuth) || !purposes.has(OID.clientAuth))
    throw broken("its extended key usage lacks serverAuth or clientAuth");
}

/**
 * The identity in a leaf that keeps the rules of the X509-SVID standard (sections 2, 4 and 5): one URI, no CA, key
 * usage critical with digitalSignature alone of the three, both purposes where purposes are named. Its path and its
 * time are not checked.
 * @throws MeshError CERTIFICATE_INVALID, IDENTITY_INVALID
 */
export function leafIdentity(certificate: X509Certificate): Identity {
  const { extensions, signature } = fieldsOf(certificate);
  const { uris } = readAltNames(extensions.get(OID.subjectAltName));
  const [uri] = uris;
  if (uri === undefined || uris.length !== 1) throw broken(`it has ${uris.length} URIs where an SVID has one`);
  const identity = parseIdentity(uri);
  if (readBasicConstraints(extensions.get(OID.basicConstraints)).ca) throw broken("a leaf must not be a CA");
  const usage = readKeyUsage(extensions.get(OID.keyUsage));
  if (usage === undefined || !extensions.get(OID.keyUsage)?.critical)
    throw broken("key usage is missing or not critical");
  if (!usage.has("digitalSignature")) throw broken("key usage lacks digitalSignature");
  if (usage.has("keyCertSign") || usage.has("cRLSign")) throw broken("a leaf must not sign certificates or lists");
  checkPurposes(extensions);
  checkCriticals(extensions);
  checkStrength(certificate, signature);
  return identity;
}

/**
 * Whether `certificate` may sign below `trustDomain` with `below` signers between it and the leaf.
 * @throws MeshError CERTIFICATE_INVALID
 */
export function checkSigner(certificate: X509Certificate, trustDomain: TrustDomain, below: number): void {
  const { extensions, signature } = fieldsOf(certificate);
  const { ca, pathLength } = readBasicConstraints(extensions.get(OID.basicConstraints));
  if (!ca) throw broken("a signer must be a CA");
  if (pathLength !== undefined && below > pathLength)
    throw broken(`the path is longer than a signer allows (${pathLength})`);
  if (!readKeyUsage(extensions.get(OID.keyUsage))?.has("keyCertSign"))
    throw broken("a signer's key usage lacks keyCertSign");
  const { uris } = readAltNames(extensions.get(OID.subjectAltName));
  if (uris.length > 1 || (uris.length === 1 && uris[0] !== `spiffe://${trustDomain}`)) {
    throw broken(`a signer below ${trustDomain} has another ID: "${String(uris[0]).slice(0, 120)}"`);
  }
  checkPurposes(extensions);
  checkCriticals(extensions);
  checkStrength(certificate, signature);
}

/** Whether `certificate` may be a root of `trustDomain`: self-signed, and a signer. @throws MeshError CERTIFICATE_INVALID */
export function checkRoot(certificate: X509Certificate, trustDomain: TrustDomain): void {
  checkSigner(certificate, trustDomain, 0);
  if (!certificate.checkIssued(certificate) || !certificate.verify(certificate.publicKey))
    throw broken("a root must be signed by itself");
}

/** The trust domain that a root names in its URI. @throws MeshError CERTIFICATE_INVALID */
export function rootTrustDomain(certificate: X509Certificate): TrustDomain {
  const { uris } = readAltNames(fieldsOf(certificate).extensions.get(OID.subjectAltName));
  const name = uris.length === 1 ? uris[0]?.replace(/^spiffe:\/\//, "") : undefined;
  if (name === undefined || uris[0] !== `spiffe://${name}`)
    throw broken("a root must name its trust domain in one URI");
  return parseTrustDomain(name);
}

/** The trust domain of `identity`. */
export function trustDomainOf(identity: Identity): TrustDomain {
  return identityParts(identity).trustDomain;
}

function broken(what: string): MeshError {
  return new MeshError("CERTIFICATE_INVALID", `Cannot accept certificate: ${what}.`);
}
