import assert from "node:assert/strict";
import fc from "fast-check";
import { field, freshField, STATIC_FIELDS } from "./field.ts";

describe("field()", () => {
  it("gives equal fields as the same object, though not long, malformed or never-indexed ones", () => {
    assert.equal(field("x-a", "1"), field("x-a", "1"));
    assert.notEqual(field("x-a", "1"), field("x-a", "2"));
    for (const [name, value] of [
      ["x-a", "v".repeat(300)],
      ["x".repeat(100), "v"],
      ["X-A", "v"],
      ["x-a", "v "],
    ] as const) {
      assert.notEqual(field(name, value), field(name, value));
      assert.deepEqual({ ...field(name, value), serial: 0 }, { ...field(name, value), serial: 0 });
    }
    assert.notEqual(field("x-a", "1", true), field("x-a", "1", true));
  });

  it("gives the entries of the static table as its own objects, with their index", () => {
    for (const [i, entry] of STATIC_FIELDS.entries()) {
      assert.equal(field(entry.name, entry.value), entry);
      assert.equal(entry.staticIndex, i + 1);
      assert.ok(entry.nameIndex <= i + 1 && !entry.neverIndexed && entry.wellFormed);
      assert.equal(freshField(entry.name, entry.value, false).staticIndex, i + 1);
    }
  });

  it("does not take one pair for another, whatever octets they hold", () => {
    assert.equal(field("a\0b", "c").name, "a\0b");
    assert.equal(field("a", "b\0c").value, "b\0c");
    assert.equal(field("a\0b", "c").name, "a\0b");
    const text = fc.uint8Array({ maxLength: 12 }).map((data) => Buffer.from(data).toString("latin1"));
    fc.assert(
      fc.property(text, text, fc.boolean(), (name, value, never) => {
        const got = field(name, value, never);
        assert.deepEqual([got.name, got.value, got.size], [name, value, name.length + value.length + 32]);
      }),
    );
  });

  it("keeps what is in use while thousands of others pass", () => {
    const kept = field("x-kept", "yes");
    for (let i = 0; i < 10_000; i++) {
      field("x-passing", String(i));
      if (i % 1000 === 0) assert.equal(field("x-kept", "yes"), kept);
    }
    const passed = field("x-passing", "0");
    assert.equal(passed.value, "0");
  });

  it("marks credentials as never indexed, and nothing else by itself", () => {
    const never = (name: string, value: string) => field(name, value).neverIndexed;
    assert.ok(never("authorization", "Bearer abc"));
    assert.ok(never("proxy-authorization", "Basic abc"));
    assert.ok(never("cookie", "short=1"));
    assert.ok(!never("cookie", "longer=0123456789abcdef"));
    assert.ok(!never("x-any", "1"));
    assert.equal(field("accept-encoding", "gzip, deflate", true).neverIndexed, true);
    assert.equal(field("accept-encoding", "gzip, deflate").neverIndexed, false);
  });

  for (const [name, value, want] of [
    ["x-a", "", true],
    ["x-a", "b\tc d\x80\xff", true],
    [":path", "/", true],
    [":any", "x", true],
    ["x_a!#$%&'*+-.^`|~09", "1", true],
    ["", "1", false],
    [":", "1", false],
    ["::path", "1", false],
    ["X-a", "1", false],
    ["x-A", "1", false],
    ["x a", "1", false],
    ["x:a", "1", false],
    ["x-\x80", "1", false],
    ["x\0", "1", false],
    ["x-a", " 1", false],
    ["x-a", "1 ", false],
    ["x-a", "\t1", false],
    ["x-a", "1\t", false],
    ["x-a", "a\0b", false],
    ["x-a", "a\rb", false],
    ["x-a", "a\nb", false],
    ["x-a", "a\x7fb", false],
    ["host", "a\nb", false],
    [":method", "M-SEARCH", true],
    [":method", "GET /", false],
    [":scheme", "coap+tcp", true],
    [":scheme", "ht tp", false],
    [":scheme", "1http", false],
    [":path", "/a?b=%20~", true],
    [":path", "*", true],
    [":path", "/a b", false],
    [":path", "/a\tb", false],
    [":path", "/a#b", false],
    [":path", "/\xe9", false],
  ] as const) {
    it(`says that ${JSON.stringify(`${name}: ${value}`)} is ${want ? "" : "not "}well-formed`, () =>
      assert.equal(field(name, value).wellFormed, want));
  }
});
