import type { X509Certificate } from "node:crypto";
import { MeshError } from "../core/errors.ts";
import {
  type Asn1,
  bitString,
  boolean,
  bytesOf,
  children,
  context,
  contextOf,
  contextPrimitive,
  decode,
  encode,
  integer,
  isType,
  octetString,
  oid,
  oidOf,
  sequence,
  set,
  TAG,
} from "./der.ts";

/** Object identifiers of extensions and of purposes (RFC 5280 section 4.2). */
export const OID = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  anyPurpose: "2.5.29.37.0",
  extensionRequest: "1.2.840.113549.1.9.14",
  organization: "2.5.4.10",
  commonName: "2.5.4.3",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  sha256WithRsa: "1.2.840.113549.1.1.11",
} as const;

const MAX_BYTES = 16 * 1024;
const URI_NAME = 6;

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Buffer;
}

/** One entry of Extensions. */
export function extension(id: string, critical: boolean, value: Asn1): Asn1 {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(encode(value)));
}

/** SubjectAltName with one URI. */
export function uriName(uri: string): Asn1 {
  return sequence(contextPrimitive(URI_NAME, Buffer.from(uri, "ascii")));
}

export type KeyUsage = "digitalSignature" | "keyCertSign" | "cRLSign";
const USAGE_BIT: Readonly<Record<KeyUsage, number>> = { digitalSignature: 0, keyCertSign: 5, cRLSign: 6 };

export function keyUsage(...usages: readonly KeyUsage[]): Asn1 {
  const bits = usages.map((usage) => USAGE_BIT[usage]);
  const byte = bits.reduce((all, bit) => all | (0x80 >> bit), 0);
  return bitString(Uint8Array.of(byte), 7 - Math.max(...bits));
}

/** BasicConstraints; `pathLength` only for a CA. */
export function basicConstraints(ca: boolean, pathLength?: number): Asn1 {
  if (!ca) return sequence();
  return sequence(boolean(true), ...(pathLength === undefined ? [] : [integer(Uint8Array.of(pathLength))]));
}

/** SubjectKeyIdentifier. @throws MeshError CERTIFICATE_INVALID */
export function readKeyIdentifier(found: Extension | undefined): Buffer | undefined {
  return found === undefined ? undefined : bytesOf(decode(found.value, MAX_BYTES), TAG.octetString);
}

export function extendedKeyUsage(...purposes: readonly string[]): Asn1 {
  return sequence(...purposes.map(oid));
}

export function authorityKeyIdentifier(keyId: Uint8Array): Asn1 {
  return sequence(contextPrimitive(0, keyId));
}

/** Extensions in the attribute or field that holds them. @throws MeshError CERTIFICATE_INVALID, also for a repeated one */
export function readExtensions(list: Asn1 | undefined): ReadonlyMap<string, Extension> {
  const found = new Map<string, Extension>();
  for (const entry of children(list)) {
    const parts = children(entry);
    const id = oidOf(parts[0]);
    const hasCritical = isType(parts[1], TAG.boolean);
    const critical = hasCritical && bytesOf(parts[1], TAG.boolean)[0] === 0xff;
    const value = bytesOf(parts[hasCritical ? 2 : 1], TAG.octetString);
    if (found.has(id)) throw invalid(`extension ${id} is repeated`);
    found.set(id, { oid: id, critical, value });
  }
  return found;
}

/** The extensions of a certificate. @throws MeshError CERTIFICATE_INVALID */
export function extensionsOf(certificate: X509Certificate): ReadonlyMap<string, Extension> {
  const tagged = contextOf(children(children(decode(certificate.raw, MAX_BYTES))[0]).at(-1));
  const list = tagged?.tag === 3 && !Buffer.isBuffer(tagged.value) ? tagged.value[0] : undefined;
  return list === undefined ? new Map() : readExtensions(list);
}

export interface AltNames {
  readonly uris: readonly string[];
  /** Names of any other type. */
  readonly others: number;
}

export function readAltNames(found: Extension | undefined): AltNames {
  if (found === undefined) return { uris: [], others: 0 };
  const uris: string[] = [];
  let others = 0;
  for (const name of children(decode(found.value, MAX_BYTES))) {
    const tagged = contextOf(name);
    if (tagged?.tag === URI_NAME && Buffer.isBuffer(tagged.value)) uris.push(tagged.value.toString("latin1"));
    else others++;
  }
  return { uris, others };
}

export function readBasicConstraints(found: Extension | undefined): { ca: boolean; pathLength: number | undefined } {
  if (found === undefined) return { ca: false, pathLength: undefined };
  const parts = children(decode(found.value, MAX_BYTES));
  const hasCa = isType(parts[0], TAG.boolean);
  const ca = hasCa && bytesOf(parts[0], TAG.boolean)[0] === 0xff;
  const length = parts[hasCa ? 1 : 0];
  if (length === undefined) return { ca, pathLength: undefined };
  const bytes = bytesOf(length, TAG.integer);
  if (bytes.length !== 1 || (bytes[0] ?? 0x80) >= 0x80) throw invalid("pathLenConstraint is out of range");
  return { ca, pathLength: bytes[0] };
}

export function readKeyUsage(found: Extension | undefined): ReadonlySet<KeyUsage> | undefined {
  if (found === undefined) return undefined;
  const bytes = bytesOf(decode(found.value, MAX_BYTES), TAG.bitString);
  const first = bytes[1] ?? 0;
  const usages = Object.entries(USAGE_BIT) as [KeyUsage, number][];
  return new Set(usages.filter(([, bit]) => (first & (0x80 >> bit)) !== 0).map(([usage]) => usage));
}

export function readExtendedKeyUsage(found: Extension | undefined): ReadonlySet<string> | undefined {
  if (found === undefined) return undefined;
  return new Set(children(decode(found.value, MAX_BYTES)).map(oidOf));
}

/** Attribute of a CSR that asks for extensions (RFC 2986, PKCS #9). */
export function extensionRequest(...extensions: readonly Asn1[]): Asn1 {
  return context(0, sequence(oid(OID.extensionRequest), set(sequence(...extensions))));
}

function invalid(what: string): MeshError {
  return new MeshError("CERTIFICATE_INVALID", `Cannot read certificate: ${what}.`);
}
