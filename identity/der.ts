import asn1, { type Asn1 } from "node-forge/lib/asn1.js";
import { MeshError } from "../core/errors.ts";

export type { Asn1 };

/** Tags of the universal class that X.509 and PKCS #10 use (X.680 section 8.4). */
export const TAG = {
  boolean: 1,
  integer: 2,
  bitString: 3,
  octetString: 4,
  oid: 6,
  utf8String: 12,
  sequence: 16,
  set: 17,
  utcTime: 23,
  generalizedTime: 24,
} as const;

const UNIVERSAL = 0;
const CONTEXT = 0x80;
const MAX_DEPTH = 24;

function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** A primitive value of the universal class. */
export function primitive(tag: number, bytes: Uint8Array): Asn1 {
  return asn1.create(UNIVERSAL, tag, false, binary(bytes));
}

export function sequence(...children: readonly Asn1[]): Asn1 {
  return asn1.create(UNIVERSAL, TAG.sequence, true, children);
}

export function set(...children: readonly Asn1[]): Asn1 {
  return asn1.create(UNIVERSAL, TAG.set, true, children);
}

/** `[tag] EXPLICIT`, or an implicit constructed value. */
export function context(tag: number, ...children: readonly Asn1[]): Asn1 {
  return asn1.create(CONTEXT, tag, true, children);
}

/** `[tag] IMPLICIT` of a primitive type. */
export function contextPrimitive(tag: number, bytes: Uint8Array): Asn1 {
  return asn1.create(CONTEXT, tag, false, binary(bytes));
}

export function oid(dotted: string): Asn1 {
  return asn1.create(UNIVERSAL, TAG.oid, false, asn1.oidToDer(dotted).getBytes());
}

export function boolean(value: boolean): Asn1 {
  return primitive(TAG.boolean, Uint8Array.of(value ? 0xff : 0));
}

/** A non-negative INTEGER from its big-endian magnitude. */
export function integer(magnitude: Uint8Array): Asn1 {
  const first = magnitude[0] ?? 0;
  return primitive(TAG.integer, first >= 0x80 ? Uint8Array.of(0, ...magnitude) : magnitude);
}

export function octetString(bytes: Uint8Array): Asn1 {
  return primitive(TAG.octetString, bytes);
}

/** A BIT STRING; `unusedBits` are those that do not count in the last byte. */
export function bitString(bytes: Uint8Array, unusedBits = 0): Asn1 {
  return primitive(TAG.bitString, Uint8Array.of(unusedBits, ...bytes));
}

/** Time as RFC 5280 section 4.1.2.5 wants it: UTCTime until 2049, then GeneralizedTime; whole seconds. */
export function time(ms: number): Asn1 {
  const digits = new Date(ms).toISOString().replace(/[-:T]/g, "").slice(0, 14);
  return digits < "2050"
    ? primitive(TAG.utcTime, Buffer.from(`${digits.slice(2)}Z`))
    : primitive(TAG.generalizedTime, Buffer.from(`${digits}Z`));
}

export function encode(node: Asn1): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), "latin1");
}

/** Parses one value, at most `maxBytes` long. @throws MeshError CERTIFICATE_INVALID for what is not canonical DER */
export function decode(der: Uint8Array, maxBytes: number): Asn1 {
  if (der.length > maxBytes) throw invalid(`${der.length} bytes are more than ${maxBytes}`);
  let node: Asn1;
  try {
    node = asn1.fromDer(binary(der), { strict: true, decodeBitStrings: false, maxDepth: MAX_DEPTH });
  } catch (error) {
    throw new MeshError("CERTIFICATE_INVALID", "Cannot parse DER: malformed.", { cause: error });
  }
  // BER's other spellings would let two parsers see two things.
  if (!encode(node).equals(der)) throw invalid("not canonical");
  return node;
}

function invalid(what: string): MeshError {
  return new MeshError("CERTIFICATE_INVALID", `Cannot parse DER: ${what}.`);
}

function isUniversal(node: Asn1 | undefined, tag: number): node is Asn1 {
  return node !== undefined && node.tagClass === UNIVERSAL && node.type === tag;
}

/** The children of a SEQUENCE (or SET). @throws MeshError CERTIFICATE_INVALID */
export function children(node: Asn1 | undefined, tag: number = TAG.sequence): readonly Asn1[] {
  if (!isUniversal(node, tag) || typeof node.value === "string") throw invalid("a SEQUENCE or SET is missing");
  return node.value;
}

/** The bytes of a primitive value. @throws MeshError CERTIFICATE_INVALID */
export function bytesOf(node: Asn1 | undefined, tag: number): Buffer {
  if (!isUniversal(node, tag) || typeof node.value !== "string") throw invalid(`a value of type ${tag} is missing`);
  return Buffer.from(node.value, "latin1");
}

/** Dotted text of an OBJECT IDENTIFIER. @throws MeshError CERTIFICATE_INVALID */
export function oidOf(node: Asn1 | undefined): string {
  return asn1.derToOid(bytesOf(node, TAG.oid).toString("latin1"));
}

/** The tag and content of a context-specific value; undefined for others. */
export function contextOf(node: Asn1 | undefined): { tag: number; value: Buffer | readonly Asn1[] } | undefined {
  if (node === undefined || node.tagClass !== CONTEXT) return undefined;
  const value = typeof node.value === "string" ? Buffer.from(node.value, "latin1") : node.value;
  return { tag: node.type, value };
}

export function isType(node: Asn1 | undefined, tag: number): boolean {
  return isUniversal(node, tag);
}
