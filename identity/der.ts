import { MeshError } from "../core/errors.ts";

/** A value of DER (X.690). The sidecar lives with this file: a library for it costs 5 MB of memory a process. */
export interface Asn1 {
  readonly tagClass: number;
  /** The tag's number. */
  readonly type: number;
  /** Content of a primitive value, or the children of a constructed one. */
  readonly value: Uint8Array | readonly Asn1[];
}

/** Tags of the universal class that X.509 and PKCS #10 use (X.680 section 8.4). */
export const TAG = {
  boolean: 1,
  integer: 2,
  bitString: 3,
  octetString: 4,
  null: 5,
  oid: 6,
  utf8String: 12,
  sequence: 16,
  set: 17,
  utcTime: 23,
  generalizedTime: 24,
} as const;

const UNIVERSAL = 0;
const CONTEXT = 0x80;
const CONSTRUCTED = 0x20;
const MAX_DEPTH = 24;
const MAX_LENGTH_BYTES = 4;
/** Larger ones would lose digits as numbers. */
const MAX_ARC = Number.MAX_SAFE_INTEGER / 256;

/** A primitive value of the universal class. */
export function primitive(tag: number, bytes: Uint8Array): Asn1 {
  return { tagClass: UNIVERSAL, type: tag, value: bytes };
}

export function sequence(...children: readonly Asn1[]): Asn1 {
  return { tagClass: UNIVERSAL, type: TAG.sequence, value: children };
}

export function set(...children: readonly Asn1[]): Asn1 {
  return { tagClass: UNIVERSAL, type: TAG.set, value: children };
}

/** `[tag] EXPLICIT`, or an implicit constructed value. */
export function context(tag: number, ...children: readonly Asn1[]): Asn1 {
  return { tagClass: CONTEXT, type: tag, value: children };
}

/** `[tag] IMPLICIT` of a primitive type. */
export function contextPrimitive(tag: number, bytes: Uint8Array): Asn1 {
  return { tagClass: CONTEXT, type: tag, value: bytes };
}

/** OBJECT IDENTIFIER of its dotted text (X.690 section 8.19). */
export function oid(dotted: string): Asn1 {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const digits = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) digits.unshift(0x80 + (left % 128));
    bytes.push(...digits);
  }
  return primitive(TAG.oid, Uint8Array.from(bytes));
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
  const { value } = node;
  const constructed = !(value instanceof Uint8Array);
  const content = constructed ? Buffer.concat(value.map(encode)) : value;
  const length = [content.length];
  if (content.length > 127) {
    length[0] = content.length % 256;
    for (let left = content.length >> 8; left > 0; left >>= 8) length.unshift(left % 256);
    length.unshift(0x80 + length.length);
  }
  return Buffer.concat([Buffer.of(node.tagClass | (constructed ? CONSTRUCTED : 0) | node.type, ...length), content]);
}

/** Parses one value, at most `maxBytes` long. @throws MeshError CERTIFICATE_INVALID for what is not canonical DER */
export function decode(der: Uint8Array, maxBytes: number): Asn1 {
  if (der.length > maxBytes) throw invalid(`${der.length} bytes are more than ${maxBytes}`);
  const nodes = readAll(der, 0);
  const [node] = nodes;
  if (node === undefined || nodes.length !== 1) throw invalid("not one value");
  return node;
}

/** The values that fill `bytes`. Of BER only DER's spelling is taken: others would let two parsers see two things. */
function readAll(bytes: Uint8Array, depth: number): Asn1[] {
  if (depth > MAX_DEPTH) throw invalid("nested too deep");
  const nodes: Asn1[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] ?? 0;
    const type = tag & 0x1f;
    const tagClass = tag & 0xc0;
    if (type === 0x1f) throw invalid("a tag is too large");
    const { start, end } = readLength(bytes, at + 1);
    const content = bytes.subarray(start, end);
    const constructed = (tag & CONSTRUCTED) !== 0;
    if (tagClass === UNIVERSAL && constructed !== (type === TAG.sequence || type === TAG.set))
      throw invalid("not canonical");
    nodes.push({ tagClass, type, value: constructed ? readAll(content, depth + 1) : content });
    at = end;
  }
  return nodes;
}

/** Where the content is whose length stands at `at`: definite, in as few bytes as can be. */
function readLength(bytes: Uint8Array, at: number): { readonly start: number; readonly end: number } {
  const first = bytes[at];
  if (first === undefined) throw invalid("cut off");
  let start = at + 1;
  let length = first;
  if (first >= 0x80) {
    const count = first - 0x80;
    if (count === 0 || count > MAX_LENGTH_BYTES) throw invalid("not canonical, or too long");
    length = 0;
    for (const byte of bytes.subarray(start, start + count)) length = length * 256 + byte;
    start += count;
    if (length < 0x80 || length < 256 ** (count - 1)) throw invalid("not canonical");
  }
  if (start + length > bytes.length) throw invalid("cut off");
  return { start, end: start + length };
}

function invalid(what: string): MeshError {
  return new MeshError("CERTIFICATE_INVALID", `Cannot parse DER: ${what}.`);
}

function isUniversal(node: Asn1 | undefined, tag: number): node is Asn1 {
  return node !== undefined && node.tagClass === UNIVERSAL && node.type === tag;
}

/** The children of a SEQUENCE (or SET). @throws MeshError CERTIFICATE_INVALID */
export function children(node: Asn1 | undefined, tag: number = TAG.sequence): readonly Asn1[] {
  if (!isUniversal(node, tag) || node.value instanceof Uint8Array) throw invalid("a SEQUENCE or SET is missing");
  return node.value;
}

/** The bytes of a primitive value. @throws MeshError CERTIFICATE_INVALID */
export function bytesOf(node: Asn1 | undefined, tag: number): Buffer {
  if (!isUniversal(node, tag) || !(node.value instanceof Uint8Array))
    throw invalid(`a value of type ${tag} is missing`);
  return bufferOf(node.value);
}

/** Shares the bytes. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Dotted text of an OBJECT IDENTIFIER. @throws MeshError CERTIFICATE_INVALID */
export function oidOf(node: Asn1 | undefined): string {
  const arcs: number[] = [];
  let arc = 0;
  let begun = false;
  for (const byte of bytesOf(node, TAG.oid)) {
    if ((!begun && byte === 0x80) || arc > MAX_ARC) throw invalid("an object identifier is malformed");
    arc = arc * 128 + (byte & 0x7f);
    begun = byte >= 0x80;
    if (begun) continue;
    arcs.push(arc);
    arc = 0;
  }
  const [first, ...rest] = arcs;
  if (first === undefined || begun) throw invalid("an object identifier is malformed");
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - 40 * root, ...rest].join(".");
}

/** The tag and content of a context-specific value; undefined for others. */
export function contextOf(node: Asn1 | undefined): { tag: number; value: Buffer | readonly Asn1[] } | undefined {
  if (node === undefined || node.tagClass !== CONTEXT) return undefined;
  const value = node.value instanceof Uint8Array ? bufferOf(node.value) : node.value;
  return { tag: node.type, value };
}

export function isType(node: Asn1 | undefined, tag: number): boolean {
  return isUniversal(node, tag);
}
