import assert from "node:assert/strict";
import fc from "fast-check";
import forge from "node-forge";
import { hasCode } from "../core/errors.ts";
import {
  type Asn1,
  context,
  contextPrimitive,
  decode,
  encode,
  oid,
  oidOf,
  primitive,
  sequence,
  set,
  TAG,
} from "./der.ts";

const MAX_BYTES = 65_536;
const bytes = fc.uint8Array({ maxLength: 300 });
const { tree } = fc.letrec<{ tree: Asn1 }>((tie) => {
  const children = fc.array(tie("tree"), { maxLength: 4 });
  const leaf = fc.oneof(
    bytes.map((value) => primitive(TAG.octetString, value)),
    bytes.map((value) => contextPrimitive(6, value)),
  );
  const inner = fc.oneof(
    children.map((all) => sequence(...all)),
    children.map((all) => set(...all)),
    children.map((all) => context(3, ...all)),
  );
  return { tree: fc.oneof({ maxDepth: 5 }, leaf, inner) };
});

function refused(error: unknown): boolean {
  return hasCode(error, "CERTIFICATE_INVALID");
}

/** As another implementation writes it. */
function foreign(node: Asn1): forge.asn1.Asn1 {
  const { tagClass, type, value } = node;
  return value instanceof Uint8Array
    ? forge.asn1.create(tagClass as forge.asn1.Class, type, false, Buffer.from(value).toString("latin1"))
    : forge.asn1.create(tagClass as forge.asn1.Class, type, true, value.map(foreign));
}

describe("DER", () => {
  it("encode() writes what another implementation writes, and decode() reads it back", () => {
    fc.assert(
      fc.property(tree, (node) => {
        const der = encode(node);
        assert.deepEqual(der, Buffer.from(forge.asn1.toDer(foreign(node)).getBytes(), "latin1"));
        assert.deepEqual(encode(decode(der, MAX_BYTES)), der);
      }),
    );
  });

  it("decode() takes nothing that would be written otherwise, and fails with its code alone", () => {
    fc.assert(
      fc.property(tree, fc.nat(), fc.nat(255), (node, place, byte) => {
        const der = encode(node);
        der[place % der.length] = byte;
        try {
          assert.deepEqual(encode(decode(der, MAX_BYTES)), der);
        } catch (error) {
          assert.ok(refused(error), String(error));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it("decode() refuses other spellings than DER's, what is cut off, and what follows", () => {
    const bad = {
      empty: "",
      "no length": "04",
      "cut off": "0402aa",
      "length cut off": "0482ff",
      "a long length for a short value": "048101aa",
      "zeros before the length": "04820080",
      "an indefinite length": "3080020100" + "0000",
      "a length of five bytes": "048500000000" + "01aa",
      "a tag in several bytes": "1f8101" + "00",
      "an OCTET STRING in parts": "2403040100",
      "a primitive SEQUENCE": "1000",
      "two values": "04000400",
    };
    for (const [what, hex] of Object.entries(bad)) {
      assert.throws(() => decode(Buffer.from(hex, "hex"), MAX_BYTES), refused, what);
    }
    assert.throws(() => decode(Buffer.alloc(11), 10), refused);
  });

  it("decode() goes no deeper than certificates do", () => {
    const nested = (depth: number): Asn1 => (depth === 0 ? sequence() : sequence(nested(depth - 1)));
    assert.ok(decode(encode(nested(23)), MAX_BYTES));
    assert.throws(() => decode(encode(nested(24)), MAX_BYTES), refused);
  });

  it("oid() and oidOf() agree with another implementation", () => {
    for (const id of ["2.5.29.17", "1.3.6.1.5.5.7.3.1", "1.2.840.10045.4.3.2", "0.9.2342.19200300.100.1.25"]) {
      assert.equal(oidOf(oid(id)), id);
      assert.deepEqual(encode(oid(id)).subarray(2), Buffer.from(forge.asn1.oidToDer(id).getBytes(), "latin1"), id);
    }
    assert.equal(oidOf(oid("2.999.3")), "2.999.3");
  });

  it("oidOf() refuses what is no object identifier", () => {
    for (const hex of ["", "80", "2a80", "2a8001", "2affffffffffffffffff7f"]) {
      assert.throws(() => oidOf(primitive(TAG.oid, Buffer.from(hex, "hex"))), refused, hex);
    }
  });
});
