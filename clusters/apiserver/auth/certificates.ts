import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from "node:crypto";
import { isIP } from "node:net";
import forge from "node-forge";

const { asn1 } = forge;
const { UNIVERSAL, CONTEXT_SPECIFIC } = asn1.Class;
const T = asn1.Type;

const OID = {
  ecdsaSha256: "1.2.840.10045.4.3.2",
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  basicConstraints: "2.5.29.19",
  keyUsage: "2.5.29.15",
  extendedKeyUsage: "2.5.29.37",
  subjectAltName: "2.5.29.17",
  subjectKeyId: "2.5.29.14",
  authorityKeyId: "2.5.29.35",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

export interface KeyedCertificate {
  readonly certPem: string;
  readonly keyPem: string;
}

interface CertificateRequest {
  readonly commonName: string;
  readonly organizations?: readonly string[];
  /** DNS names and IP addresses. */
  readonly hosts?: readonly string[];
  readonly usage: "ca" | "server" | "client";
  readonly notBeforeMs: number;
  readonly ttlMs: number;
}

type Node = forge.asn1.Asn1;

function seq(...items: Node[]): Node {
  return asn1.create(UNIVERSAL, T.SEQUENCE, true, items);
}

function oid(text: string): Node {
  return asn1.create(UNIVERSAL, T.OID, false, asn1.oidToDer(text).getBytes());
}

function octets(bytes: string): Node {
  return asn1.create(UNIVERSAL, T.OCTETSTRING, false, bytes);
}

function name(commonName: string, organizations: readonly string[]): Node {
  const part = (type: string, value: string) =>
    asn1.create(UNIVERSAL, T.SET, true, [
      seq(oid(type), asn1.create(UNIVERSAL, T.UTF8, false, forge.util.encodeUtf8(value))),
    ]);
  return seq(...organizations.map((one) => part(OID.organization, one)), part(OID.commonName, commonName));
}

function time(ms: number): Node {
  // RFC 5280: years before 2050 as UTCTime.
  const date = new Date(ms);
  const utc = date.getUTCFullYear() < 2050;
  const value = utc ? asn1.dateToUtcTime(date) : asn1.dateToGeneralizedTime(date);
  return asn1.create(UNIVERSAL, utc ? T.UTCTIME : T.GENERALIZEDTIME, false, value.toString());
}

function extension(type: string, critical: boolean, value: Node): Node {
  const flag = critical ? [asn1.create(UNIVERSAL, T.BOOLEAN, false, "\xff")] : [];
  return seq(oid(type), ...flag, octets(asn1.toDer(value).getBytes()));
}

function keyId(key: KeyObject): string {
  const spki = key.export({ type: "spki", format: "der" });
  return forge.md.sha1.create().update(spki.toString("binary")).digest().getBytes();
}

function altNames(hosts: readonly string[]): Node {
  return seq(
    ...hosts.map((host) => {
      if (isIP(host) === 4)
        return asn1.create(CONTEXT_SPECIFIC, 7, false, String.fromCharCode(...host.split(".").map(Number)));
      return asn1.create(CONTEXT_SPECIFIC, 2, false, host);
    }),
  );
}

function extensions(request: CertificateRequest, key: KeyObject, issuerKey: KeyObject): Node {
  const ca = request.usage === "ca";
  // Bits: CA signs certificates and CRLs; leaves sign.
  const usage = asn1.create(UNIVERSAL, T.BITSTRING, false, ca ? "\x01\x06" : "\x07\x80");
  const list = [
    extension(OID.basicConstraints, true, ca ? seq(asn1.create(UNIVERSAL, T.BOOLEAN, false, "\xff")) : seq()),
    extension(OID.keyUsage, true, usage),
    extension(OID.subjectKeyId, false, octets(keyId(key))),
    extension(OID.authorityKeyId, false, seq(asn1.create(CONTEXT_SPECIFIC, 0, false, keyId(issuerKey)))),
  ];
  if (!ca)
    list.push(
      extension(OID.extendedKeyUsage, false, seq(oid(request.usage === "server" ? OID.serverAuth : OID.clientAuth))),
    );
  if (request.hosts !== undefined && request.hosts.length > 0)
    list.push(extension(OID.subjectAltName, false, altNames(request.hosts)));
  return asn1.create(CONTEXT_SPECIFIC, 3, true, [seq(...list)]);
}

function pem(type: string, der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${type}-----\n${lines.join("\n")}\n-----END ${type}-----\n`;
}

/**
 * A new P-256 key and its certificate, signed by `issuer`, or by itself. For the local API server only: the
 * mesh's own certificates come from identity/. (node-forge signs no ECDSA, so node:crypto does.)
 */
export function makeCertificate(request: CertificateRequest, issuer?: KeyedCertificate): KeyedCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuerKey = issuer === undefined ? privateKey : createPrivateKey(issuer.keyPem);
  const subject = name(request.commonName, request.organizations ?? []);
  const issuerName = issuer === undefined ? subject : subjectOf(issuer.certPem);
  const algorithm = seq(oid(OID.ecdsaSha256));
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const tbs = seq(
    asn1.create(CONTEXT_SPECIFIC, 0, true, [asn1.create(UNIVERSAL, T.INTEGER, false, "\x02")]),
    asn1.create(UNIVERSAL, T.INTEGER, false, serial.toString("binary")),
    algorithm,
    issuerName,
    seq(time(request.notBeforeMs), time(request.notBeforeMs + request.ttlMs)),
    subject,
    asn1.fromDer(publicKey.export({ type: "spki", format: "der" }).toString("binary")),
    extensions(request, publicKey, createPublicKey(issuerKey)),
  );
  const signature = sign("sha256", Buffer.from(asn1.toDer(tbs).getBytes(), "binary"), issuerKey);
  const certificate = seq(
    tbs,
    algorithm,
    asn1.create(UNIVERSAL, T.BITSTRING, false, `\x00${signature.toString("binary")}`),
  );
  return {
    certPem: pem("CERTIFICATE", Buffer.from(asn1.toDer(certificate).getBytes(), "binary")),
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

function subjectOf(certPem: string): Node {
  const der = new X509Certificate(certPem).raw.toString("binary");
  const tbs = (asn1.fromDer(der).value as Node[])[0];
  const subject = (tbs?.value as Node[] | undefined)?.[5];
  if (subject === undefined) throw new TypeError("a certificate without a subject");
  return subject;
}
