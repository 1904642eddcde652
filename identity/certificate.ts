import {
  createHash,
  createPrivateKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from "node:crypto";
import { promisify } from "node:util";
import { MeshError } from "../core/errors.ts";
import type { TrustDomain } from "../core/identity.ts";
import {
  type Asn1,
  bitString,
  bytesOf,
  children,
  context,
  decode,
  encode,
  integer,
  octetString,
  oid,
  primitive,
  sequence,
  set,
  TAG,
  time,
} from "./der.ts";
import {
  authorityKeyIdentifier,
  basicConstraints,
  extendedKeyUsage,
  extension,
  extensionsOf,
  keyUsage,
  OID,
  readKeyIdentifier,
  uriName,
} from "./x509-extension.ts";

/** Certificates are valid from a little before now, for peers whose clocks are behind. */
const BACKDATE_MS = 5 * 60_000;
const DAY_MS = 24 * 3_600_000;
export const LIFETIME_MS = { root: 3_650 * DAY_MS, issuer: 365 * DAY_MS, leaf: DAY_MS } as const;
const MAX_BYTES = 16 * 1024;

/** A certificate that signs others, with its key. */
export interface Signer {
  readonly certificate: X509Certificate;
  readonly privateKey: KeyObject;
}

const generate = promisify(generateKeyPair);

/** A new ECDSA P-256 key pair, made off the event loop. */
export function createKeyPair(): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  return generate("ec", { namedCurve: "P-256" });
}

/** AlgorithmIdentifier of ECDSA with SHA-256 (RFC 5758). */
export function ecdsaWithSha256(): Asn1 {
  return sequence(oid(OID.ecdsaWithSha256));
}

/** AlgorithmIdentifier of what `key` signs with, SHA-256 of either kind (RFC 5758, RFC 4055 section 5). */
function signatureOf(key: KeyObject): Asn1 {
  if (key.asymmetricKeyType === "ec") return ecdsaWithSha256();
  if (key.asymmetricKeyType === "rsa") return sequence(oid(OID.sha256WithRsa), primitive(TAG.null, Buffer.alloc(0)));
  throw new MeshError("CERTIFICATE_INVALID", "Cannot sign: the key is neither ECDSA nor RSA.");
}

/** `O=Causeway`, with a CN where one is given. */
export function distinguishedName(commonName?: string): Asn1 {
  const attribute = (id: string, text: string) => set(sequence(oid(id), primitive(TAG.utf8String, Buffer.from(text))));
  const organization = attribute(OID.organization, "Causeway");
  return commonName === undefined
    ? sequence(organization)
    : sequence(organization, attribute(OID.commonName, commonName));
}

/** SubjectPublicKeyInfo of a key. */
export function publicKeyInfo(key: KeyObject): Asn1 {
  return decode(key.export({ type: "spki", format: "der" }), MAX_BYTES);
}

/** RFC 7093 section 2, method 1: the leftmost 160 bits of the SHA-256 of the key. */
function keyIdentifier(info: Asn1): Buffer {
  return createHash("sha256")
    .update(bytesOf(children(info)[1], TAG.bitString).subarray(1))
    .digest()
    .subarray(0, 20);
}

/** The subject of a certificate as it was encoded, so that issuer and subject names agree byte by byte. */
function subjectOf(certificate: X509Certificate): Asn1 {
  const fields = children(children(decode(certificate.raw, MAX_BYTES))[0]);
  const subject = fields[5];
  if (subject === undefined) throw new MeshError("CERTIFICATE_INVALID", "Cannot read certificate: it has no subject.");
  return subject;
}

/** 128 random bits, positive (RFC 5280 section 4.1.2.2 allows 20 octets). */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

interface Contents {
  readonly subject: Asn1;
  readonly publicKey: KeyObject;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly extensions: readonly Asn1[];
}

function write(contents: Contents, issuer: { name: Asn1; keyId: Buffer; privateKey: KeyObject }): X509Certificate {
  const info = publicKeyInfo(contents.publicKey);
  const algorithm = signatureOf(issuer.privateKey);
  const fields = sequence(
    context(0, integer(Uint8Array.of(2))),
    integer(serialNumber()),
    algorithm,
    issuer.name,
    sequence(time(contents.notBeforeMs), time(contents.notAfterMs)),
    contents.subject,
    info,
    context(
      3,
      sequence(
        ...contents.extensions,
        extension(OID.subjectKeyIdentifier, false, octetString(keyIdentifier(info))),
        extension(OID.authorityKeyIdentifier, false, authorityKeyIdentifier(issuer.keyId)),
      ),
    ),
  );
  const signature = sign("sha256", encode(fields), issuer.privateKey);
  return new X509Certificate(encode(sequence(fields, algorithm, bitString(signature))));
}

function authorityExtensions(trustDomain: TrustDomain, pathLength: number): Asn1[] {
  return [
    extension(OID.basicConstraints, true, basicConstraints(true, pathLength)),
    extension(OID.keyUsage, true, keyUsage("keyCertSign", "cRLSign")),
    extension(OID.subjectAltName, false, uriName(`spiffe://${trustDomain}`)),
  ];
}

/** A new self-signed root of `trustDomain`: ten years, signs one level of issuers. */
export async function createRoot(trustDomain: TrustDomain, nowMs: number): Promise<Signer> {
  const { publicKey, privateKey } = await createKeyPair();
  const keyId = keyIdentifier(publicKeyInfo(publicKey));
  const subject = distinguishedName(`root ${keyId.toString("hex", 0, 8)}`);
  const certificate = write(
    {
      subject,
      publicKey,
      notBeforeMs: nowMs - BACKDATE_MS,
      notAfterMs: nowMs + LIFETIME_MS.root,
      extensions: authorityExtensions(trustDomain, 1),
    },
    { name: subject, keyId, privateKey },
  );
  return { certificate, privateKey };
}

/** A new issuer below `root`: one year, signs leaves only. */
export async function createIssuer(trustDomain: TrustDomain, root: Signer, nowMs: number): Promise<Signer> {
  const { publicKey, privateKey } = await createKeyPair();
  const keyId = keyIdentifier(publicKeyInfo(publicKey));
  const contents = {
    subject: distinguishedName(`issuer ${keyId.toString("hex", 0, 8)}`),
    publicKey,
    notBeforeMs: nowMs - BACKDATE_MS,
    notAfterMs: Math.min(nowMs + LIFETIME_MS.issuer, notAfterMs(root.certificate)),
    extensions: authorityExtensions(trustDomain, 0),
  };
  return { certificate: write(contents, signing(root)), privateKey };
}

function signing(signer: Signer): { name: Asn1; keyId: Buffer; privateKey: KeyObject } {
  // Others' CAs derive it in another way: what is below must name it as the certificate does.
  const shown = readKeyIdentifier(extensionsOf(signer.certificate).get(OID.subjectKeyIdentifier));
  const keyId = shown ?? keyIdentifier(publicKeyInfo(signer.certificate.publicKey));
  return { name: subjectOf(signer.certificate), keyId, privateKey: signer.privateKey };
}

/**
 * An X509-SVID (SPIFFE X509-SVID sections 2 to 5) for `uri`, signed by `issuer`, never outliving it.
 * `uri` is not checked here.
 */
export function createLeaf(
  uri: string,
  publicKey: KeyObject,
  issuer: Signer,
  nowMs: number,
  lifetimeMs: number = LIFETIME_MS.leaf,
): X509Certificate {
  return write(
    {
      subject: distinguishedName(),
      publicKey,
      notBeforeMs: nowMs - BACKDATE_MS,
      notAfterMs: Math.min(nowMs + lifetimeMs, notAfterMs(issuer.certificate)),
      extensions: [
        extension(OID.basicConstraints, true, basicConstraints(false)),
        extension(OID.keyUsage, true, keyUsage("digitalSignature")),
        extension(OID.extendedKeyUsage, false, extendedKeyUsage(OID.serverAuth, OID.clientAuth)),
        extension(OID.subjectAltName, false, uriName(uri)),
      ],
    },
    signing(issuer),
  );
}

/** Start of validity, in ms since 1970. */
export function notBeforeMs(certificate: X509Certificate): number {
  return Date.parse(certificate.validFrom);
}

/** End of validity, in ms since 1970. */
export function notAfterMs(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}

/** `sha256:<64 hex>` of a certificate's DER, as join tokens and Links name a root. */
export function rootFingerprint(der: Uint8Array): string {
  return `sha256:${createHash("sha256").update(der).digest("hex")}`;
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * The certificates of a PEM text in their order, at most `max`; what stands between them is left out.
 * @throws MeshError CERTIFICATE_INVALID, also where there is none
 */
export function parseCertificates(pem: string, max: number): X509Certificate[] {
  if (pem.length > max * 2 * MAX_BYTES)
    throw new MeshError("CERTIFICATE_INVALID", "Cannot parse certificates: the text is too large.");
  const blocks = pem.match(PEM_CERTIFICATE) ?? [];
  if (blocks.length === 0 || blocks.length > max) {
    const state = blocks.length === 0 ? "there is none" : `there are more than ${max}`;
    throw new MeshError("CERTIFICATE_INVALID", `Cannot parse certificates: ${state}.`);
  }
  return blocks.map(parseCertificate);
}

/** @throws MeshError CERTIFICATE_INVALID */
export function parseCertificate(bytes: Uint8Array | string): X509Certificate {
  if (bytes.length > 4 * MAX_BYTES)
    throw new MeshError("CERTIFICATE_INVALID", "Cannot parse certificate: it is too large.");
  try {
    return new X509Certificate(bytes);
  } catch (error) {
    throw new MeshError("CERTIFICATE_INVALID", "Cannot parse certificate: malformed.", { cause: error });
  }
}

/** @throws MeshError CERTIFICATE_INVALID, without a word of the key */
export function parsePrivateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new MeshError("CERTIFICATE_INVALID", "Cannot parse private key: malformed.");
  }
}

/** PEM of certificates in their order. */
export function pemOf(certificates: readonly X509Certificate[]): string {
  return certificates.map((certificate) => certificate.toString()).join("");
}
