import assert from "node:assert/strict";
import fc from "fast-check";
import { rawFrame } from "../../test/support/http2-wire.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { FLAG_END_STREAM, FLAG_PADDED, FRAME_DATA, FRAME_PING, FRAME_SIZE_ERROR, PROTOCOL_ERROR } from "./frames.ts";

/** What a reader says of `wire`, cut into reads at `cuts`; pieces of DATA are put together. */
function heard(wire: Buffer, cuts: readonly number[]): string[] {
  const said: string[] = [];
  let data = "";
  const sink: FrameSink = {
    over: false,
    onFrame: (type, flags, id, b, start, end) =>
      said.push(`${type} ${flags} ${id} ${b.toString("latin1", start, end)}`),
    onData(id, charge, padding, b, from, to, end) {
      if (charge > 0) said.push(`begin ${id} ${charge} ${padding}`);
      data += b.toString("latin1", from, to);
      if (end) said.push(`end ${id} ${data}`);
    },
    onBrokenFrame: (code) => said.push(`broken ${code}`),
  };
  const reader = new FrameReader(sink);
  let from = 0;
  for (const cut of [...cuts, wire.length]) {
    const piece = wire.subarray(from, cut);
    // As in a shared buffer, where other bytes follow.
    const shared = Buffer.concat([piece, Buffer.from("\xff\xff\xff\xff", "latin1")]);
    if (piece.length > 0) reader.read(shared, 0, piece.length);
    from = cut;
  }
  said.push(`all ${data}`);
  return said;
}

describe("FrameReader", () => {
  const padded = Buffer.concat([Buffer.from([3]), Buffer.from("padded"), Buffer.alloc(3)]);
  const wire = Buffer.concat([
    rawFrame(FRAME_PING, 0, 0, Buffer.from("12345678")),
    rawFrame(FRAME_DATA, 0, 1, Buffer.from("one, ")),
    rawFrame(0xbe, 5, 7, Buffer.alloc(700, "u")),
    rawFrame(FRAME_DATA, FLAG_PADDED, 1, padded),
    rawFrame(FRAME_DATA, 0, 1),
    rawFrame(FRAME_DATA, FLAG_END_STREAM, 1, Buffer.from(", two")),
    rawFrame(FRAME_PING, 1, 0, Buffer.from("abcdefgh")),
  ]);

  it("says the same however the bytes are cut", () => {
    const whole = heard(wire, []);
    assert.ok(whole.includes("end 1 one, padded, two"));
    assert.ok(whole.includes("begin 1 10 4"));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: wire.length }), { maxLength: 12 }), (cuts) => {
        assert.deepEqual(
          heard(
            wire,
            cuts.sort((a, b) => a - b),
          ),
          whole,
        );
      }),
      { numRuns: 300 },
    );
    assert.deepEqual(
      heard(
        wire,
        Array.from({ length: wire.length }, (_, i) => i),
      ),
      whole,
    );
  });

  for (const [what, frame, code] of [
    [
      "more padding than there is room for",
      rawFrame(FRAME_DATA, FLAG_PADDED, 1, Buffer.from([5, 1, 2])),
      PROTOCOL_ERROR,
    ],
    ["padding without its length", rawFrame(FRAME_DATA, FLAG_PADDED, 1), FRAME_SIZE_ERROR],
    ["a frame of more than 16 KiB", rawFrame(FRAME_DATA, 0, 1, Buffer.alloc(16_385)), FRAME_SIZE_ERROR],
    ["a ping of 7 octets", rawFrame(FRAME_PING, 0, 0, Buffer.alloc(7)), FRAME_SIZE_ERROR],
  ] as const) {
    it(`refuses ${what}, whole and cut`, () => {
      assert.equal(heard(frame, []).at(-2), `broken ${code}`);
      assert.ok(heard(frame, [4, 9]).includes(`broken ${code}`));
    });
  }
});
