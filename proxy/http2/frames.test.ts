import assert from "node:assert/strict";
import fc from "fast-check";
import * as frames from "./frames.ts";

const { NO_ERROR, PROTOCOL_ERROR, FRAME_SIZE_ERROR } = frames;
const PADDED = frames.FLAG_PADDED;
const PRIORITY = frames.FLAG_PRIORITY;
const ACK = frames.FLAG_ACK;

describe("checkFrame()", () => {
  const rows: readonly [what: string, type: number, flags: number, stream: number, length: number, want: number][] = [
    ["DATA on stream 0", frames.FRAME_DATA, 0, 0, 1, PROTOCOL_ERROR],
    ["empty DATA", frames.FRAME_DATA, 0, 1, 0, NO_ERROR],
    ["padded DATA without pad length", frames.FRAME_DATA, PADDED, 1, 0, FRAME_SIZE_ERROR],
    ["DATA of the greatest length", frames.FRAME_DATA, 0, 1, 16_384, NO_ERROR],
    ["DATA over the greatest length", frames.FRAME_DATA, 0, 1, 16_385, FRAME_SIZE_ERROR],
    ["HEADERS on stream 0", frames.FRAME_HEADERS, 0, 0, 1, PROTOCOL_ERROR],
    ["HEADERS without room for their priority", frames.FRAME_HEADERS, PRIORITY, 1, 4, FRAME_SIZE_ERROR],
    ["padded HEADERS without room for both", frames.FRAME_HEADERS, PADDED | PRIORITY, 1, 5, FRAME_SIZE_ERROR],
    ["padded HEADERS with room for both", frames.FRAME_HEADERS, PADDED | PRIORITY, 1, 6, NO_ERROR],
    ["PRIORITY on stream 0", frames.FRAME_PRIORITY, 0, 0, 5, PROTOCOL_ERROR],
    ["short PRIORITY", frames.FRAME_PRIORITY, 0, 1, 4, FRAME_SIZE_ERROR],
    ["long PRIORITY", frames.FRAME_PRIORITY, 0, 1, 6, FRAME_SIZE_ERROR],
    ["RST_STREAM on stream 0", frames.FRAME_RST_STREAM, 0, 0, 4, PROTOCOL_ERROR],
    ["long RST_STREAM", frames.FRAME_RST_STREAM, 0, 1, 5, FRAME_SIZE_ERROR],
    ["SETTINGS on a stream", frames.FRAME_SETTINGS, 0, 1, 6, PROTOCOL_ERROR],
    ["SETTINGS with half a setting", frames.FRAME_SETTINGS, 0, 0, 9, FRAME_SIZE_ERROR],
    ["SETTINGS of two", frames.FRAME_SETTINGS, 0, 0, 12, NO_ERROR],
    ["an acknowledgement with settings", frames.FRAME_SETTINGS, ACK, 0, 6, FRAME_SIZE_ERROR],
    ["an acknowledgement", frames.FRAME_SETTINGS, ACK, 0, 0, NO_ERROR],
    ["PUSH_PROMISE on stream 0", frames.FRAME_PUSH_PROMISE, 0, 0, 8, PROTOCOL_ERROR],
    ["short PUSH_PROMISE", frames.FRAME_PUSH_PROMISE, PADDED, 1, 4, FRAME_SIZE_ERROR],
    ["PING on a stream", frames.FRAME_PING, 0, 1, 8, PROTOCOL_ERROR],
    ["short PING", frames.FRAME_PING, 0, 0, 7, FRAME_SIZE_ERROR],
    ["GOAWAY on a stream", frames.FRAME_GOAWAY, 0, 1, 8, PROTOCOL_ERROR],
    ["short GOAWAY", frames.FRAME_GOAWAY, 0, 0, 7, FRAME_SIZE_ERROR],
    ["GOAWAY with debug data", frames.FRAME_GOAWAY, 0, 0, 80, NO_ERROR],
    ["short WINDOW_UPDATE", frames.FRAME_WINDOW_UPDATE, 0, 0, 3, FRAME_SIZE_ERROR],
    ["WINDOW_UPDATE of a connection", frames.FRAME_WINDOW_UPDATE, 0, 0, 4, NO_ERROR],
    ["CONTINUATION on stream 0", frames.FRAME_CONTINUATION, 0, 0, 1, PROTOCOL_ERROR],
    ["CONTINUATION, which knows no padding", frames.FRAME_CONTINUATION, PADDED, 1, 0, NO_ERROR],
    ["an unknown type", 0xfa, 0xff, 0, 5, NO_ERROR],
    ["an unknown type over the greatest length", 0xfa, 0, 0, 16_385, FRAME_SIZE_ERROR],
  ];
  for (const [what, type, flags, stream, length, want] of rows) {
    it(`${want === NO_ERROR ? "takes" : "refuses"} ${what}`, () => {
      assert.equal(frames.checkFrame(type, flags, stream, length, frames.DEFAULT_MAX_FRAME_BYTES), want);
    });
  }
});

describe("writeFrameHeader()", () => {
  it("writes what is read back, for any values", () => {
    const out = Buffer.alloc(32);
    fc.assert(
      fc.property(
        fc.nat(0xff_ffff),
        fc.nat(255),
        fc.nat(255),
        fc.nat(frames.MAX_STREAM_ID),
        fc.nat(20),
        (length, type, flags, stream, at) => {
          const end = frames.writeFrameHeader(out, at, length, type, flags, stream);
          assert.equal(end, at + frames.FRAME_HEADER_BYTES);
          assert.equal(frames.frameLength(out, at), length);
          assert.equal(frames.frameType(out, at), type);
          assert.equal(frames.frameFlags(out, at), flags);
          assert.equal(frames.frameStream(out, at), stream);
          out[at + 5] = (out[at + 5] as number) | 0x80;
          assert.equal(frames.frameStream(out, at), stream, "the reserved bit is ignored");
        },
      ),
    );
  });
});

describe("the writers of frames", () => {
  const written = (write: (out: Buffer, at: number) => number) => {
    const out = Buffer.alloc(64, 0xee);
    const end = write(out, 2);
    assert.equal(out[1], 0xee);
    assert.equal(out[end], 0xee);
    return out.toString("hex", 2, end);
  };

  it("write RST_STREAM", () => {
    assert.equal(
      written((out, at) => frames.writeRstStream(out, at, 0x7fff_ffff, frames.CANCEL)),
      "00000403007fffffff00000008",
    );
  });
  it("write SETTINGS and their acknowledgement", () => {
    assert.equal(
      written((out, at) => frames.writeSettings(out, at, [4, 0x7fff_ffff, 0x1234, 0xffff_ffff])),
      "00000c040000000000" + "00047fffffff" + "1234ffffffff",
    );
    assert.equal(
      written((out, at) => frames.writeSettingsAck(out, at)),
      "000000040100000000",
    );
  });
  it("write PING and its answer", () => {
    const data = Buffer.from("xx\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008");
    assert.equal(
      written((out, at) => frames.writePing(out, at, false, data, 2)),
      "000008060000000000" + "0102030405060708",
    );
    assert.equal(
      written((out, at) => frames.writePing(out, at, true, data, 2)),
      "000008060100000000" + "0102030405060708",
    );
  });
  it("write GOAWAY", () => {
    assert.equal(
      written((out, at) => frames.writeGoaway(out, at, 5, frames.ENHANCE_YOUR_CALM)),
      "000008070000000000" + "00000005" + "0000000b",
    );
  });
  it("write WINDOW_UPDATE", () => {
    assert.equal(
      written((out, at) => frames.writeWindowUpdate(out, at, 3, frames.MAX_WINDOW_BYTES)),
      "00000408000000000" + "37fffffff",
    );
  });
});

describe("contentStart() and contentEnd()", () => {
  const span = (type: number, flags: number, payload: readonly number[]) => {
    const b = Buffer.from([0xee, ...payload, 0xee]);
    return [frames.contentStart(type, flags, 1), frames.contentEnd(b, type, flags, 1, payload.length)];
  };
  it("leave out padding and priority", () => {
    assert.deepEqual(span(frames.FRAME_DATA, 0, [1, 2]), [1, 3]);
    assert.deepEqual(span(frames.FRAME_DATA, PADDED, [1, 9, 0]), [2, 3]);
    assert.deepEqual(span(frames.FRAME_DATA, PADDED | PRIORITY, [0, 9, 9]), [2, 4]);
    assert.deepEqual(span(frames.FRAME_HEADERS, PRIORITY, [0, 0, 0, 0, 1, 9]), [6, 7]);
    assert.deepEqual(span(frames.FRAME_HEADERS, PADDED | PRIORITY, [2, 0, 0, 0, 0, 1, 9, 0, 0]), [7, 8]);
    assert.deepEqual(span(frames.FRAME_CONTINUATION, PADDED | PRIORITY, [9, 9]), [1, 3]);
  });
  it("take padding that leaves no content, and refuse one octet more", () => {
    assert.deepEqual(span(frames.FRAME_DATA, PADDED, [2, 0, 0]), [2, 2]);
    assert.deepEqual(span(frames.FRAME_DATA, PADDED, [3, 0, 0]), [2, -1]);
    assert.deepEqual(span(frames.FRAME_HEADERS, PADDED | PRIORITY, [1, 0, 0, 0, 0, 1]), [7, -1]);
  });
  it("stay within the payload for any octets", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(0, 1, 9), fc.nat(255), (payload, type, flags) => {
        if (frames.checkFrame(type, flags, 1, payload.length, frames.DEFAULT_MAX_FRAME_BYTES) !== NO_ERROR) return;
        const start = frames.contentStart(type, flags, 0);
        const end = frames.contentEnd(payload, type, flags, 0, payload.length);
        assert.ok(end === -1 || (0 <= start && start <= end && end <= payload.length));
      }),
    );
  });
});

describe("frameHeaderBlock()", () => {
  /** The block as a receiver joins it, and the flags of its frames. */
  function joined(b: Buffer, at: number, end: number, stream: number) {
    const parts: Buffer[] = [];
    const flags: number[] = [];
    for (let p = at; p < end; p += frames.FRAME_HEADER_BYTES + frames.frameLength(b, p)) {
      assert.equal(frames.frameType(b, p), p === at ? frames.FRAME_HEADERS : frames.FRAME_CONTINUATION);
      assert.equal(frames.frameStream(b, p), stream);
      flags.push(frames.frameFlags(b, p));
      const from = p + frames.FRAME_HEADER_BYTES;
      parts.push(b.subarray(from, from + frames.frameLength(b, p)));
    }
    return { parts, flags, block: Buffer.concat(parts) };
  }

  it("cuts a block into frames of at most the peer's size, which join to the same", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.integer({ min: 1, max: 70 }),
        fc.boolean(),
        fc.nat(5),
        (data, maxFrameBytes, endStream, at) => {
          const out = Buffer.alloc(at + 9 + 200 * 10);
          out.set(data, at + 9);
          const end = frames.frameHeaderBlock(out, at, at + 9 + data.length, 7, endStream, maxFrameBytes);
          const { parts, flags, block } = joined(out, at, end, 7);
          assert.deepEqual(block, Buffer.from(data));
          assert.ok(parts.every((part) => part.length <= maxFrameBytes));
          assert.ok(flags.every((each, i) => ((each & frames.FLAG_END_HEADERS) !== 0) === (i === flags.length - 1)));
          assert.ok(flags.every((each, i) => ((each & frames.FLAG_END_STREAM) !== 0) === (i === 0 && endStream)));
        },
      ),
    );
  });

  it("returns -1 where the further headers do not fit, and leaves the block", () => {
    const out = Buffer.alloc(9 + 30 + 17, 1);
    assert.equal(frames.frameHeaderBlock(out, 0, 39, 1, true, 10), -1);
    assert.ok(out.every((octet) => octet === 1));
  });
});

describe("the error codes", () => {
  it("are those of RFC 9113 section 7, in order", () => {
    assert.deepEqual(
      [
        frames.NO_ERROR,
        frames.PROTOCOL_ERROR,
        frames.INTERNAL_ERROR,
        frames.FLOW_CONTROL_ERROR,
        frames.SETTINGS_TIMEOUT,
        frames.STREAM_CLOSED,
        frames.FRAME_SIZE_ERROR,
        frames.REFUSED_STREAM,
        frames.CANCEL,
        frames.COMPRESSION_ERROR,
        frames.CONNECT_ERROR,
        frames.ENHANCE_YOUR_CALM,
        frames.INADEQUATE_SECURITY,
        frames.HTTP_1_1_REQUIRED,
      ],
      Array.from({ length: 14 }, (_, code) => code),
    );
    for (const [code, name] of frames.ERROR_NAMES.entries()) {
      assert.equal(Object.entries(frames).find(([key]) => key === name)?.[1], code);
    }
  });
});

describe("CLIENT_PREFACE", () => {
  it("is the 24 octets of RFC 9113 section 3.4", () => {
    assert.equal(
      Buffer.from(frames.CLIENT_PREFACE).toString("hex"),
      "505249202a20485454502f322e300d0a0d0a534d0d0a0d0a",
    );
  });
});
