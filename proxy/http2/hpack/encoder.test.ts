import assert from "node:assert/strict";
import fc from "fast-check";
import { HpackDecoder } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";
import { type Field, field, freshField } from "./field.ts";

const ROOM = 100_000;

/** The block that `encoder` makes of fields. */
function encode(encoder: HpackEncoder, fields: readonly Field[]): Buffer {
  const out = Buffer.alloc(ROOM);
  const end = encoder.encode(fields, fields.length, out, 0);
  assert.ok(end >= 0);
  return out.subarray(0, end);
}

function decode(decoder: HpackDecoder, block: Buffer): Field[] {
  const out: Field[] = [];
  assert.ok(decoder.decode(block, 0, block.length, out, 1e6) >= 0);
  return out;
}

const facts = (fields: readonly Field[]) => fields.map(({ name, value, neverIndexed }) => [name, value, neverIndexed]);

const octets = (maxLength: number) => fc.uint8Array({ maxLength }).map((data) => Buffer.from(data).toString("latin1"));
const anyField = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.constantFrom(":path", "x-a", "x-b", "x-c"), fc.nat(30).map(String))
      .map(([name, value]) => field(name, value)),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(field(":method", "GET"), field(":status", "200"), field("authorization", "x")),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(octets(20), octets(400), fc.boolean()).map(([name, value, never]) => field(name, value, never)),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom("x-long", "cookie"), fc.integer({ min: 100, max: 5000 }))
      .map(([name, length]) => field(name, "v".repeat(length))),
  },
);

describe("HpackEncoder", () => {
  it("writes what HpackDecoder reads, block after block, whatever the peer's table size does meanwhile", () => {
    const step = fc.record({
      fields: fc.array(anyField, { maxLength: 12 }),
      limits: fc.array(fc.nat(6000), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder();
        for (const { fields, limits } of steps) {
          for (const limit of limits) encoder.setMaxTableBytes(limit);
          assert.deepEqual(facts(decode(decoder, encode(encoder, fields))), facts(fields));
          assert.equal(decoder.tableBytes, encoder.tableBytes);
          assert.ok(encoder.tableBytes <= (limits.at(-1) ?? 4096));
        }
      }),
      { numRuns: 300 },
    );
  });

  it("writes one octet for each field that it has lately indexed, far into the life of a connection", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    const usual = [field(":method", "POST"), field("x-usual", "1"), field("te", "trailers")];
    for (let i = 0; i < 5000; i++) {
      const fields = [...usual, field("x-other", String(i % 45))];
      const block = encode(encoder, fields);
      assert.deepEqual(facts(decode(decoder, block)), facts(fields));
    }
    encode(encoder, usual);
    assert.equal(encode(encoder, usual).length, 3);
  });

  it("indexes what changes often only when it comes again", () => {
    for (const name of [":path", "x-request-id", "traceparent", "set-cookie", "content-length"]) {
      const encoder = new HpackEncoder();
      const once = field(name, "/some-value/4711");
      assert.ok(encode(encoder, [once]).length > 2);
      assert.equal(encoder.tableBytes, 0);
      assert.ok(encode(encoder, [once]).length > 2);
      assert.equal(encoder.tableBytes, once.size);
      assert.equal(encode(encoder, [once]).length, 1);
    }
  });

  it("drops no entry for a field that comes once", () => {
    const encoder = new HpackEncoder();
    encoder.setMaxTableBytes(100);
    const kept = field("x-kept", "value");
    encode(encoder, [kept]);
    for (let i = 0; i < 100; i++) encode(encoder, [field("x-once", `${i}`.padEnd(40))]);
    assert.equal(encode(encoder, [kept]).length, 1);
    const again = field("x-again", "v".repeat(30));
    encode(encoder, [again]);
    encode(encoder, [again]);
    assert.equal(encode(encoder, [again]).length, 1);
    assert.ok(encode(encoder, [kept]).length > 1);
  });

  it("indexes a long value that comes again as the same object, and none that would fill the table", () => {
    const long = freshField("cookie", "c".repeat(2000), false);
    const encoder = new HpackEncoder();
    encode(encoder, [long]);
    assert.equal(encode(encoder, [long]).length, 1);
    const huge = freshField("cookie", "c".repeat(3500), false);
    for (let i = 0; i < 3; i++) assert.ok(encode(encoder, [huge]).length > 3500);
    assert.equal(encode(encoder, [long]).length, 1);
  });

  it("keeps never-indexed fields so, also where a table has their value", () => {
    const fields = [
      field("accept-encoding", "gzip, deflate", true),
      field("x-key", "secret", true),
      field("authorization", "Bearer secret"),
      field("cookie", "id=1"),
    ];
    const encoder = new HpackEncoder();
    encode(encoder, [field("x-key", "secret"), field("x-key", "secret")]);
    const before = encoder.tableBytes;
    for (let i = 0; i < 3; i++) {
      const decoder = new HpackDecoder();
      decode(decoder, encode(new HpackEncoder(), [field("x-key", "secret")]));
      const got = decode(decoder, encode(encoder, fields));
      assert.deepEqual(facts(got), facts(fields));
      assert.ok(got.every((each) => each.neverIndexed));
    }
    assert.equal(encoder.tableBytes, before);
  });

  it("names the lowest limit and the last one where the peer's table size changed more than once", () => {
    const encoder = new HpackEncoder();
    const start = () => encode(encoder, [field(":method", "GET")]).toString("hex");
    encoder.setMaxTableBytes(100_000);
    assert.equal(start(), "82", "no more than 4,096 octets are used, and that is where it starts");
    encoder.setMaxTableBytes(0);
    encoder.setMaxTableBytes(4096);
    assert.equal(start(), "203fe11f82");
    assert.equal(start(), "82");
    encoder.setMaxTableBytes(10);
    encoder.setMaxTableBytes(20);
    encoder.setMaxTableBytes(15);
    assert.equal(start(), "2a2f82");
    encoder.setMaxTableBytes(15);
    assert.equal(start(), "82");
    encoder.setMaxTableBytes(4096);
    assert.equal(start(), "3fe11f82");
  });

  it("returns -1 where a block might not fit, and has changed nothing then", () => {
    fc.assert(
      fc.property(fc.array(anyField, { maxLength: 8 }), fc.nat(600), fc.boolean(), (fields, room, shrunk) => {
        const encoder = new HpackEncoder();
        const twin = new HpackEncoder();
        for (const each of [encoder, twin]) {
          encode(each, [field("x-a", "1"), field(":path", "2")]);
          if (shrunk) each.setMaxTableBytes(1000);
        }
        const out = Buffer.alloc(room + 20, 0xee);
        const end = encoder.encode(fields, fields.length, out, 10);
        const needed = fields.reduce((sum, each) => sum + each.size, 6);
        assert.equal(end >= 0, 10 + needed <= out.length);
        assert.ok(out.subarray(0, 10).every((octet) => octet === 0xee));
        if (end < 0) {
          assert.ok(out.every((octet) => octet === 0xee));
          assert.deepEqual(encode(encoder, fields), encode(twin, fields));
          assert.equal(encoder.tableBytes, twin.tableBytes);
        } else assert.deepEqual(out.subarray(10, end), encode(twin, fields));
      }),
      { numRuns: 500 },
    );
  });

  it("never needs more room than it asks for, whatever octets it is given", () => {
    fc.assert(
      fc.property(octets(600), octets(600), fc.boolean(), (name, value, never) => {
        const each = freshField(name, value, never);
        const block = encode(new HpackEncoder(), [each]);
        assert.ok(block.length <= each.size + 6);
        assert.deepEqual(facts(decode(new HpackDecoder(), block)), facts([each]));
      }),
      { numRuns: 500 },
    );
  });

  it("takes only the first count of the fields", () => {
    const out = Buffer.alloc(100);
    const fields = [field(":method", "GET"), field(":method", "POST")];
    assert.equal(new HpackEncoder().encode(fields, 1, out, 0), 1);
  });
});
