import assert from "node:assert/strict";
import fc from "fast-check";
import { HPACK_ERROR, HPACK_TOO_LARGE, HpackDecoder } from "./decoder.ts";
import { type Field, field } from "./field.ts";

const MAX_LIST = 16_384;
const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

function decode(block: Buffer, decoder = new HpackDecoder(), maxListBytes = MAX_LIST) {
  const out: Field[] = [];
  const result = decoder.decode(block, 0, block.length, out, maxListBytes);
  return { result, out, pairs: out.map(({ name, value }) => `${name}: ${value}`) };
}

/** A literal with indexing, of a name and a value of plain octets. */
function literal(name: string, value: string, prefix = 0x40): Buffer {
  const text = (octets: string) =>
    octets.length < 127
      ? Buffer.concat([Buffer.from([octets.length]), Buffer.from(octets, "latin1")])
      : Buffer.concat([
          Buffer.from([127, ((octets.length - 127) & 127) | 128, (octets.length - 127) >> 7]),
          Buffer.from(octets, "latin1"),
        ]);
  return Buffer.concat([Buffer.from([prefix]), text(name), text(value)]);
}

describe("HpackDecoder.decode() calls it an error of the connection", () => {
  for (const [what, block] of [
    ["index 0", "80"],
    ["an index past the static table, with nothing in the dynamic one", "be"],
    ["an index far past both tables", "ff ff ff 7f"],
    ["a name's index past both tables, with indexing", "7e 01 61"],
    ["a name's index past both tables, without indexing", "0f 7f 01 61"],
    ["a name's index past both tables, never indexed", "1f 7f 01 61"],
    ["an index that is cut off", "ff"],
    ["an index that is cut off in its continuation", "ff 80"],
    ["an index over 2^28", "ff ff ff ff ff 01"],
    ["an index over 2^53", "ff ff ff ff ff ff ff ff ff ff 01"],
    ["zeros without end in an index", "ff 80 80 80 80 80 00"],
    ["a literal without name", "40"],
    ["a literal with half a name", "40 05 61 62"],
    ["a literal without value", "40 01 61"],
    ["a literal with half a value", "40 01 61 02 62"],
    ["an indexed name without value", "41"],
    ["a name's index that is cut off", "7f"],
    ["a length that is cut off", "40 7f"],
    ["a length over 2^28", "40 7f ff ff ff ff 01 61"],
    ["a length past the block", "40 01 61 7f 80 80 01 62"],
    ["a name in Huffman code with padding of zeros", "40 81 18 01 61"],
    ["a value in Huffman code with EOS", "40 01 61 84 ff ff ff ff"],
    ["a value in Huffman code with too much padding", "40 01 61 82 1f ff"],
    ["a table size update after a field", "82 20"],
    ["a table size update at the end", "40 01 61 01 62 3f e1 1f"],
    ["a table size over the limit", "3f e2 1f"],
    ["a table size that is cut off", "3f"],
    ["a table size over 2^28", "3f ff ff ff ff 01"],
  ] as const) {
    it(what, () => {
      assert.equal(decode(hex(block)).result, HPACK_ERROR);
      assert.equal(decode(Buffer.concat([hex("82"), hex(block)])).result, HPACK_ERROR, "after a field");
    });
  }
});

describe("HpackDecoder.decode()", () => {
  it("takes an empty block, and reads only between start and end", () => {
    assert.equal(decode(Buffer.alloc(0)).result, 0);
    const out: Field[] = [field("x-before", "1")];
    assert.equal(new HpackDecoder().decode(hex("80 82 80"), 1, 2, out, MAX_LIST), 42);
    assert.deepEqual(
      out.map(({ name }) => name),
      ["x-before", ":method"],
    );
  });

  it("is not led past end by a string that goes on after it", () => {
    const out: Field[] = [];
    assert.equal(new HpackDecoder().decode(hex("40 01 61 02 62 63"), 0, 5, out, MAX_LIST), HPACK_ERROR);
  });

  it("keeps what is never indexed out of the table, and says so", () => {
    const decoder = new HpackDecoder();
    const { out } = decode(
      Buffer.concat([literal("x-secret", "1", 0x10), literal("x-plain", "2", 0), hex("1f 0d 01 61")]),
      decoder,
    );
    assert.deepEqual(
      out.map(({ name, neverIndexed }) => [name, neverIndexed]),
      [
        ["x-secret", true],
        ["x-plain", false],
        ["content-length", true],
      ],
    );
    assert.equal(decoder.tableBytes, 0);
  });

  it("tells never-indexed from other literals of the same octets, in any order", () => {
    const never = literal("x-same", "same", 0x10);
    const plain = literal("x-same", "same", 0);
    const flags = decode(Buffer.concat([never, plain, never, plain])).out.map((each) => each.neverIndexed);
    assert.deepEqual(flags, [true, false, true, false]);
  });

  it("gives the same object for a literal that comes again, over connections too", () => {
    const block = literal("x-again", "value", 0);
    const first = decode(block).out[0];
    assert.equal(decode(block).out[0], first);
    assert.equal(decode(block, new HpackDecoder()).out[0], first);
  });

  it("tells literals apart that share their octets after the index", () => {
    const { pairs } = decode(hex("04 02 2f 61  06 02 2f 61  05 02 2f 61  0f 0d 02 2f 61"));
    assert.deepEqual(pairs, [":path: /a", ":scheme: /a", ":path: /a", "content-length: /a"]);
    assert.deepEqual(decode(hex("00 01 61 01 62  04 01 62")).pairs, ["a: b", ":path: b"]);
  });

  it("refuses wrong Huffman code each time, and remembers nothing of it", () => {
    for (let i = 0; i < 3; i++) assert.equal(decode(hex("04 81 18")).result, HPACK_ERROR);
  });

  it("drops the oldest entries first, and the whole table for an entry over its size", () => {
    const decoder = new HpackDecoder();
    const pad = (n: number) => "v".repeat(n);
    decode(Buffer.concat([literal("a", pad(1000)), literal("b", pad(1000)), literal("c", pad(1000))]), decoder);
    assert.equal(decoder.tableBytes, 3 * 1033);
    assert.deepEqual(
      decode(hex("c0 bf be"), decoder).out.map(({ name }) => name),
      ["a", "b", "c"],
    );
    decode(literal("d", pad(1000)), decoder);
    assert.equal(decoder.tableBytes, 3 * 1033);
    assert.deepEqual(
      decode(hex("c0 bf be"), decoder).out.map(({ name }) => name),
      ["b", "c", "d"],
    );
    assert.equal(decode(literal("e", pad(4096)), decoder).result, 4096 + 33);
    assert.equal(decoder.tableBytes, 0);
    assert.equal(decode(hex("be"), decoder).result, HPACK_ERROR);
  });

  it("takes a name from the very entry that the insertion drops", () => {
    const decoder = new HpackDecoder();
    decode(literal("name-that-goes", "v".repeat(3000)), decoder);
    const value = "w".repeat(2000);
    const block = Buffer.concat([hex("7e 7f d1 0e"), Buffer.from(value)]);
    assert.deepEqual(decode(block, decoder).pairs, [`name-that-goes: ${value}`]);
    assert.equal(decoder.tableBytes, 14 + 2000 + 32);
  });

  it("takes table size updates at the start: down to nothing, up to the limit", () => {
    const decoder = new HpackDecoder();
    decode(literal("a", "1"), decoder);
    assert.deepEqual(decode(hex("20 3f e1 1f 82"), decoder).pairs, [":method: GET"]);
    assert.equal(decoder.tableBytes, 0);
    decode(hex("20"), decoder);
    decode(literal("a", "1"), decoder);
    assert.equal(decoder.tableBytes, 0, "a table of no size takes nothing");
  });

  it("grows past 4,096 octets only after an update, up to what it was made for", () => {
    const decoder = new HpackDecoder(65_536);
    const many = Buffer.concat(Array.from({ length: 1000 }, (_, i) => literal("n", String(i).padStart(10, "0"))));
    decode(many, decoder, 1e6);
    assert.equal(decoder.tableBytes, Math.floor(4096 / 43) * 43);
    assert.equal(decode(hex("3f e1 ff 03"), decoder).result, 0);
    decode(many, decoder, 1e6);
    assert.equal(decoder.tableBytes, Math.floor(4096 / 43) * 43 + 1000 * 43);
    assert.equal(decode(hex("3f e2 ff 03"), decoder).result, HPACK_ERROR);
  });

  it("reads on over the list's limit, so that the table stays right", () => {
    const decoder = new HpackDecoder();
    const small = [literal("a", "1"), literal("b", "2"), literal("c", "3")];
    const { result, pairs } = decode(Buffer.concat(small), decoder, 70);
    assert.equal(result, HPACK_TOO_LARGE);
    assert.deepEqual(pairs, ["a: 1", "b: 2"]);
    assert.deepEqual(decode(hex("c0 bf be"), decoder).pairs, ["a: 1", "b: 2", "c: 3"]);
  });

  it("finds errors behind the list's limit all the same", () => {
    assert.equal(decode(hex("82 82 82 be"), new HpackDecoder(), 10).result, HPACK_ERROR);
  });

  it("does not let one octet stand for kilobytes without bound", () => {
    const decoder = new HpackDecoder();
    decode(literal("x-bomb", "v".repeat(4000)), decoder);
    const { result, out } = decode(Buffer.alloc(1_000_000, 0xbe), decoder, 65_536);
    assert.equal(result, HPACK_TOO_LARGE);
    assert.equal(out.length, Math.floor(65_536 / 4038));
    assert.equal(decode(Buffer.alloc(1_000_000, 0x82), decoder, 65_536).out.length, Math.floor(65_536 / 42));
  });

  it("decodes long values in Huffman code", () => {
    // "0" has the code 00000; 20,000 octets of code, their length as 127 and 33 and 155 * 128.
    const { out } = decode(Buffer.concat([hex("00 01 61 ff a1 9b 01"), Buffer.alloc(20_000)]), undefined, 1e6);
    assert.ok(out[0]?.value === "0".repeat(32_000));
  });
});

describe("HpackDecoder.decode(), given any octets", () => {
  const valid = fc
    .array(
      fc.oneof(
        fc.nat(60).map((index) => Buffer.from([0x81 + index])),
        fc
          .tuple(fc.constantFrom(0, 0x10, 0x40), fc.string({ maxLength: 12 }), fc.string({ maxLength: 40 }))
          .map(([prefix, name, value]) => literal(name, value, prefix)),
        fc.constantFrom(hex("be"), hex("bf"), hex("7e 01 61"), hex("0f 2f 01 61")),
      ),
      { maxLength: 30 },
    )
    .map((parts) => Buffer.concat(parts));
  const mutated = fc
    .tuple(valid, fc.array(fc.tuple(fc.nat(2000), fc.nat(255)), { maxLength: 4 }), fc.nat(2000))
    .map(([block, changes, cut]) => {
      const copy = Buffer.from(block);
      for (const [at, octet] of changes) if (copy.length > 0) copy[at % copy.length] = octet;
      return cut % 3 === 0 ? copy.subarray(0, cut % (copy.length + 1)) : copy;
    });
  const blocks = fc.array(fc.oneof(mutated, fc.uint8Array({ maxLength: 100 }).map(Buffer.from)), { maxLength: 6 });

  it("never throws, and keeps the table and the list within their bounds", () => {
    fc.assert(
      fc.property(
        blocks,
        fc.integer({ min: 0, max: 3000 }),
        fc.integer({ min: 0, max: 300 }),
        (all, maxList, table) => {
          const decoder = new HpackDecoder(table);
          for (const block of all) {
            const out: Field[] = [];
            const result = decoder.decode(block, 0, block.length, out, maxList);
            assert.ok(decoder.tableBytes >= 0 && decoder.tableBytes <= table);
            const size = out.reduce((sum, each) => sum + each.size, 0);
            assert.ok(size <= maxList && out.length <= maxList / 32);
            if (result === HPACK_ERROR) return;
            assert.equal(result, result === HPACK_TOO_LARGE ? HPACK_TOO_LARGE : size);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("decides the same whether a literal was seen before or not", () => {
    fc.assert(
      fc.property(mutated, (block) => {
        const first = decode(block);
        const again = decode(block);
        assert.equal(again.result, first.result);
        assert.deepEqual(again.pairs, first.pairs);
      }),
      { numRuns: 1000 },
    );
  });
});
