import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeHuffman, encodeHuffman, maxDecodedBytes } from "./huffman.ts";

const ROOM = 4096;

function encode(text: string): Buffer {
  const out = Buffer.alloc(ROOM);
  return out.subarray(0, encodeHuffman(text, out, 0, ROOM));
}

function decode(code: Uint8Array): string | undefined {
  const out = Buffer.alloc(maxDecodedBytes(code.length));
  const length = decodeHuffman(code, 0, code.length, out);
  return length < 0 ? undefined : out.toString("latin1", 0, length);
}

const octets = fc.uint8Array({ maxLength: 200 }).map((data) => Buffer.from(data).toString("latin1"));

describe("encodeHuffman()", () => {
  it("writes what decodeHuffman() reads, for every octet alone and for any string", () => {
    for (let octet = 0; octet < 256; octet++) {
      const text = String.fromCharCode(octet);
      assert.equal(decode(encode(text)), text);
    }
    fc.assert(fc.property(octets, (text) => assert.equal(decode(encode(text)), text)));
  });

  it("writes the examples of RFC 7541 appendix C", () => {
    assert.equal(encode("www.example.com").toString("hex"), "f1e3c2e5f23a6ba0ab90f4ff");
    assert.equal(
      encode("foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1").toString("hex"),
      "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    );
  });

  it("returns -1 where the code takes more than maxBytes, and writes nothing past them", () => {
    fc.assert(
      fc.property(octets, fc.nat(200), (text, maxBytes) => {
        const whole = encode(text).length;
        const out = Buffer.alloc(ROOM, 0xee);
        const end = encodeHuffman(text, out, 3, maxBytes);
        assert.equal(end, whole <= maxBytes ? 3 + whole : -1);
        assert.ok(out.subarray(0, 3).every((octet) => octet === 0xee));
        assert.ok(out.subarray(3 + maxBytes).every((octet) => octet === 0xee));
      }),
    );
  });
});

describe("decodeHuffman()", () => {
  it("takes 0 to 7 bits of ones as padding", () => {
    assert.equal(decode(Buffer.alloc(0)), "");
    assert.equal(decode(Buffer.from("1f", "hex")), "a");
    // "0" has the code 00000: 8 of them fill 5 octets without padding.
    assert.equal(decode(Buffer.alloc(5)), "00000000");
  });

  for (const [what, hex] of [
    ["padding of zeros", "18"],
    ["padding of zeros after ones", "1e"],
    ["8 bits of padding", "1fff"],
    ["8 bits of padding alone", "ff"],
    ["many octets of padding", "1fffffff"],
    ["EOS", "ffffffff"],
    ["EOS amid others", "1fffffffff18"],
    ["a code that is cut off", "fffffa"],
  ] as const) {
    it(`refuses ${what}`, () => assert.equal(decode(Buffer.from(hex, "hex")), undefined));
  }

  it("never writes past maxDecodedBytes(), and reads only what encodeHuffman() writes again", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (code) => {
        const text = decode(code);
        if (text === undefined) return;
        assert.ok(text.length <= maxDecodedBytes(code.length));
        assert.deepEqual(encode(text), Buffer.from(code));
      }),
      { numRuns: 2000 },
    );
  });
});
