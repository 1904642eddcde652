import assert from "node:assert/strict";
import { type Http2App, startHttp2App } from "../test/support/http2-peers.ts";
import { type Pairs, RawHttp2, rawFrame, uint32 } from "../test/support/http2-wire.ts";
import { createProxyWorld, type ProxyWorld } from "../test/support/proxy-world.ts";
import {
  CLIENT_PREFACE,
  COMPRESSION_ERROR,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FLAG_PRIORITY,
  FLOW_CONTROL_ERROR,
  FRAME_CONTINUATION,
  FRAME_DATA,
  FRAME_GOAWAY,
  FRAME_HEADERS,
  FRAME_PING,
  FRAME_PRIORITY,
  FRAME_PUSH_PROMISE,
  FRAME_RST_STREAM,
  FRAME_SETTINGS,
  FRAME_SIZE_ERROR,
  FRAME_WINDOW_UPDATE,
  PROTOCOL_ERROR,
  STREAM_CLOSED,
} from "./http2/frames.ts";
import type { RunningProxy } from "./start-proxy.ts";

const HEADS: Pairs = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "web.shop"],
];
const POST: Pairs = [[":method", "POST"], ...HEADS.slice(1)];
const ENDS = FLAG_END_STREAM | FLAG_END_HEADERS;
const setting = (id: number, value: number) => Buffer.concat([Buffer.from([id >> 8, id & 255]), uint32(value)]);
const without = (name: string): Pairs => HEADS.filter(([key]) => key !== name);

type Send = (raw: RawHttp2) => readonly Buffer[];

describe("a proxy's HTTP/2 connection with a client", () => {
  let world: ProxyWorld;
  let app: Http2App;
  let client: RunningProxy;
  let raw: RawHttp2;
  let seen: string[] = [];

  before(async () => {
    world = await createProxyWorld();
    app = await startHttp2App((stream, headers) => {
      seen.push(String(headers[":path"]));
      if (headers[":path"] === "/keep") return;
      let body = "";
      stream.on("data", (chunk: Buffer) => {
        body += chunk.toString();
      });
      stream.on("end", () => {
        if (stream.destroyed) return;
        stream.respond({ ":status": 200 });
        stream.end(`${headers[":method"]} ${body}`);
      });
    });
    world.later(() => app.close());
    const server = await world.proxy("web");
    client = await world.proxy("client");
    const identity = world.control.mesh.identity("shop", "web");
    const at = { address: "127.0.0.1", port: app.port, proxyPort: server.inboundPort };
    const endpoints = [{ id: "w", identity, ready: true, ...at }];
    world.control.service({
      authority: "web.shop:80",
      kind: "KIND_SERVICE",
      groups: [{ trustDomain: "east.mesh", endpoints }],
    });
  });
  after(() => world.close());
  beforeEach(async () => {
    seen = [];
    raw = await RawHttp2.connect(client.outboundPort);
  });
  afterEach(() => raw.destroy());

  /** A request that the proxy takes on the same connection. */
  async function serves(id: number): Promise<void> {
    raw.send(raw.headers(id, HEADS, true));
    await raw.until(() => raw.of(id).ended);
    assert.equal(raw.of(id).body, "GET ");
  }

  it("serves a request in the plainest form, and one cut into single octets", async () => {
    await serves(1);
    for (const octet of Buffer.concat([raw.headers(3, POST, false), raw.data(3, "hello", true)])) {
      raw.send(Buffer.from([octet]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await raw.until(() => raw.of(3).ended);
    assert.equal(raw.of(3).body, "POST hello");
  });

  it("takes padding and priorities, reserved bits, unknown flags, frames and settings", async () => {
    const block = raw.block(POST);
    const payload = Buffer.concat([Buffer.from([3, 0, 0, 0, 0, 9]), block, Buffer.alloc(3)]);
    raw.send(
      rawFrame(0xfa, 0xff, 77, [1, 2, 3]),
      rawFrame(FRAME_SETTINGS, 0xfe, 0, setting(0x7a7a, 1)),
      rawFrame(FRAME_PRIORITY, 0, 99, [0, 0, 0, 1, 200]),
      rawFrame(FRAME_HEADERS, FLAG_END_HEADERS | FLAG_PADDED | FLAG_PRIORITY | 0xd2, 0x8000_0001 | 0, payload),
      rawFrame(FRAME_DATA, FLAG_PADDED, 1, [0, 104]),
      rawFrame(FRAME_DATA, FLAG_PADDED, 1, [4, 0, 0, 0, 0]),
      rawFrame(FRAME_DATA, FLAG_PADDED | FLAG_END_STREAM, 1, [2, 105, 0, 0]),
    );
    await raw.until(() => raw.of(1).ended);
    assert.equal(raw.of(1).body, "POST hi");
  });

  it("takes a header block in CONTINUATION, empty ones too", async () => {
    const block = raw.block(HEADS);
    raw.send(
      rawFrame(FRAME_HEADERS, FLAG_END_STREAM, 1),
      rawFrame(FRAME_CONTINUATION, 0, 1, block.subarray(0, 3)),
      rawFrame(FRAME_CONTINUATION, 0, 1),
      rawFrame(FRAME_CONTINUATION, FLAG_END_HEADERS, 1, block.subarray(3)),
    );
    await raw.until(() => raw.of(1).ended);
    assert.equal(raw.of(1).body, "GET ");
  });

  it("takes a body of as many octets as content-length says", async () => {
    raw.send(
      raw.headers(1, [...POST, ["content-length", "5"]], false),
      raw.data(1, "hel", false),
      raw.data(1, "lo", true),
    );
    await raw.until(() => raw.of(1).ended);
    assert.equal(raw.of(1).body, "POST hello");
  });

  describe("ends the connection for", () => {
    const cases: readonly [what: string, code: number, send: Send][] = [
      ["DATA on an idle stream", PROTOCOL_ERROR, (r) => [r.data(1, "x", false)]],
      ["DATA on stream 0", PROTOCOL_ERROR, (r) => [r.data(0, "x", false)]],
      ["HEADERS on stream 0", PROTOCOL_ERROR, (r) => [r.headers(0, HEADS, true)]],
      ["HEADERS on an even stream", PROTOCOL_ERROR, (r) => [r.headers(2, HEADS, true)]],
      [
        "a stream below one that was begun",
        STREAM_CLOSED,
        (r) => [r.headers(5, HEADS, true), r.headers(3, HEADS, true)],
      ],
      ["a frame over 16,384 octets", FRAME_SIZE_ERROR, () => [rawFrame(FRAME_DATA, 0, 1, Buffer.alloc(16_385))]],
      ["an unknown frame over 16,384 octets", FRAME_SIZE_ERROR, () => [rawFrame(0xfa, 0, 0, Buffer.alloc(16_385))]],
      [
        "DATA of padding only that is too long",
        PROTOCOL_ERROR,
        (r) => [r.headers(1, POST, false), rawFrame(FRAME_DATA, FLAG_PADDED, 1, [2, 0])],
      ],
      [
        "padded DATA without pad length",
        FRAME_SIZE_ERROR,
        (r) => [r.headers(1, POST, false), rawFrame(FRAME_DATA, FLAG_PADDED, 1)],
      ],
      [
        "HEADERS with too much padding",
        PROTOCOL_ERROR,
        (r) => [rawFrame(FRAME_HEADERS, ENDS | FLAG_PADDED, 1, Buffer.concat([Buffer.from([200]), r.block(HEADS)]))],
      ],
      [
        "HEADERS without room for their priority",
        FRAME_SIZE_ERROR,
        () => [rawFrame(FRAME_HEADERS, ENDS | FLAG_PRIORITY, 1, [0, 0, 0])],
      ],
      [
        "HEADERS that depend on their own stream",
        PROTOCOL_ERROR,
        (r) => [
          rawFrame(
            FRAME_HEADERS,
            ENDS | FLAG_PRIORITY,
            1,
            Buffer.concat([Buffer.from([0, 0, 0, 1, 9]), r.block(HEADS)]),
          ),
        ],
      ],
      ["PRIORITY on stream 0", PROTOCOL_ERROR, () => [rawFrame(FRAME_PRIORITY, 0, 0, [0, 0, 0, 1, 9])]],
      ["PRIORITY of an idle stream on itself", PROTOCOL_ERROR, () => [rawFrame(FRAME_PRIORITY, 0, 3, [0, 0, 0, 3, 9])]],
      ["PRIORITY of 4 octets", FRAME_SIZE_ERROR, () => [rawFrame(FRAME_PRIORITY, 0, 1, [0, 0, 0, 3])]],
      ["RST_STREAM on stream 0", PROTOCOL_ERROR, () => [rawFrame(FRAME_RST_STREAM, 0, 0, uint32(8))]],
      ["RST_STREAM on an idle stream", PROTOCOL_ERROR, () => [rawFrame(FRAME_RST_STREAM, 0, 7, uint32(8))]],
      ["RST_STREAM of 3 octets", FRAME_SIZE_ERROR, () => [rawFrame(FRAME_RST_STREAM, 0, 1, [0, 0, 8])]],
      ["SETTINGS on a stream", PROTOCOL_ERROR, () => [rawFrame(FRAME_SETTINGS, 0, 1)]],
      ["SETTINGS with half a setting", FRAME_SIZE_ERROR, () => [rawFrame(FRAME_SETTINGS, 0, 0, [0, 1, 0])]],
      [
        "an acknowledgement with settings",
        FRAME_SIZE_ERROR,
        () => [rawFrame(FRAME_SETTINGS, FLAG_ACK, 0, setting(1, 1))],
      ],
      ["ENABLE_PUSH of 2", PROTOCOL_ERROR, () => [rawFrame(FRAME_SETTINGS, 0, 0, setting(2, 2))]],
      ["INITIAL_WINDOW_SIZE of 2^31", FLOW_CONTROL_ERROR, () => [rawFrame(FRAME_SETTINGS, 0, 0, setting(4, 2 ** 31))]],
      ["MAX_FRAME_SIZE of 16,383", PROTOCOL_ERROR, () => [rawFrame(FRAME_SETTINGS, 0, 0, setting(5, 16_383))]],
      ["MAX_FRAME_SIZE of 2^24", PROTOCOL_ERROR, () => [rawFrame(FRAME_SETTINGS, 0, 0, setting(5, 2 ** 24))]],
      [
        "an INITIAL_WINDOW_SIZE that takes a stream's window over 2^31 - 1",
        FLOW_CONTROL_ERROR,
        (r) => [
          r.headers(1, [...POST.slice(0, 2), [":path", "/keep"], [":authority", "web.shop"]], false),
          rawFrame(FRAME_WINDOW_UPDATE, 0, 1, uint32(2 ** 31 - 1 - 65_535)),
          rawFrame(FRAME_SETTINGS, 0, 0, setting(4, 65_536)),
        ],
      ],
      [
        "PUSH_PROMISE",
        PROTOCOL_ERROR,
        (r) => [rawFrame(FRAME_PUSH_PROMISE, FLAG_END_HEADERS, 1, Buffer.concat([uint32(2), r.block(HEADS)]))],
      ],
      ["PING on a stream", PROTOCOL_ERROR, () => [rawFrame(FRAME_PING, 0, 1, Buffer.alloc(8))]],
      ["PING of 7 octets", FRAME_SIZE_ERROR, () => [rawFrame(FRAME_PING, 0, 0, Buffer.alloc(7))]],
      ["GOAWAY on a stream", PROTOCOL_ERROR, () => [rawFrame(FRAME_GOAWAY, 0, 1, Buffer.alloc(8))]],
      ["GOAWAY of 7 octets", FRAME_SIZE_ERROR, () => [rawFrame(FRAME_GOAWAY, 0, 0, Buffer.alloc(7))]],
      ["WINDOW_UPDATE of 0 on the connection", PROTOCOL_ERROR, () => [rawFrame(FRAME_WINDOW_UPDATE, 0, 0, uint32(0))]],
      ["WINDOW_UPDATE of 3 octets", FRAME_SIZE_ERROR, () => [rawFrame(FRAME_WINDOW_UPDATE, 0, 0, [0, 0, 1])]],
      ["WINDOW_UPDATE on an idle stream", PROTOCOL_ERROR, () => [rawFrame(FRAME_WINDOW_UPDATE, 0, 9, uint32(1))]],
      [
        "a connection's window over 2^31 - 1",
        FLOW_CONTROL_ERROR,
        () => [rawFrame(FRAME_WINDOW_UPDATE, 0, 0, uint32(2 ** 31 - 1))],
      ],
      [
        "CONTINUATION without HEADERS",
        PROTOCOL_ERROR,
        (r) => [rawFrame(FRAME_CONTINUATION, FLAG_END_HEADERS, 1, r.block(HEADS))],
      ],
      [
        "CONTINUATION after the end of a block",
        PROTOCOL_ERROR,
        (r) => [r.headers(1, POST, false), rawFrame(FRAME_CONTINUATION, FLAG_END_HEADERS, 1)],
      ],
      [
        "CONTINUATION of another stream",
        PROTOCOL_ERROR,
        (r) => [rawFrame(FRAME_HEADERS, 0, 1, r.block(HEADS)), rawFrame(FRAME_CONTINUATION, FLAG_END_HEADERS, 3)],
      ],
      [
        "CONTINUATION on stream 0",
        PROTOCOL_ERROR,
        (r) => [rawFrame(FRAME_HEADERS, 0, 1, r.block(HEADS)), rawFrame(FRAME_CONTINUATION, FLAG_END_HEADERS, 0)],
      ],
      [
        "another frame amid a block",
        PROTOCOL_ERROR,
        (r) => [rawFrame(FRAME_HEADERS, 0, 1, r.block(HEADS)), rawFrame(FRAME_PING, 0, 0, Buffer.alloc(8))],
      ],
      [
        "DATA amid a block",
        PROTOCOL_ERROR,
        (r) => [r.headers(1, POST, false), rawFrame(FRAME_HEADERS, 0, 3, r.block(HEADS)), r.data(1, "x", true)],
      ],
      [
        "an unknown frame amid a block",
        PROTOCOL_ERROR,
        (r) => [rawFrame(FRAME_HEADERS, 0, 1, r.block(HEADS)), rawFrame(0xfa, 0, 1)],
      ],
      [
        "a header block that is no HPACK",
        COMPRESSION_ERROR,
        () => [rawFrame(FRAME_HEADERS, ENDS, 1, [0xff, 0xff, 0xff, 0xff, 0xff])],
      ],
      ["an index past the table", COMPRESSION_ERROR, () => [rawFrame(FRAME_HEADERS, ENDS, 1, [0x82, 0xbe])]],
      ["a table size over ours", COMPRESSION_ERROR, () => [rawFrame(FRAME_HEADERS, ENDS, 1, [0x3f, 0xff, 0x7f, 0x82])]],
    ];
    for (const [what, code, send] of cases) {
      it(what, async () => {
        raw.send(...send(raw));
        await raw.until(() => raw.goaway >= 0);
        assert.equal(raw.goaway, code);
        await raw.until(() => raw.closed);
      });
    }

    it("HEADERS before SETTINGS", async () => {
      const early = await RawHttp2.open(client.outboundPort);
      early.send(Buffer.from(CLIENT_PREFACE), early.headers(1, HEADS, true));
      await early.until(() => early.goaway >= 0 || early.closed);
      assert.equal(early.goaway, PROTOCOL_ERROR);
      assert.deepEqual(seen, []);
      early.destroy();
    });

    it("an acknowledgement before SETTINGS", async () => {
      const early = await RawHttp2.open(client.outboundPort);
      early.send(Buffer.from(CLIENT_PREFACE), rawFrame(FRAME_SETTINGS, FLAG_ACK, 0));
      await early.until(() => early.goaway >= 0 || early.closed);
      assert.equal(early.goaway, PROTOCOL_ERROR);
      early.destroy();
    });

    it("a preface that goes wrong at any octet", async () => {
      for (let at = 4; at < CLIENT_PREFACE.length; at += 3) {
        const bad = Buffer.from(CLIENT_PREFACE);
        bad[at] = (bad[at] as number) ^ 1;
        const early = await RawHttp2.open(client.outboundPort);
        early.send(bad, rawFrame(FRAME_SETTINGS, 0, 0), early.headers(1, HEADS, true));
        await early.until(() => early.closed);
        assert.deepEqual(seen, []);
      }
    });

    it("HEADERS on a stream that was served", async () => {
      await serves(1);
      raw.send(raw.headers(1, HEADS, true));
      await raw.until(() => raw.goaway >= 0);
      assert.equal(raw.goaway, STREAM_CLOSED);
    });

    it("DATA on a stream that was served", async () => {
      await serves(1);
      raw.send(raw.data(1, "x", true));
      await raw.until(() => raw.goaway >= 0);
      assert.equal(raw.goaway, STREAM_CLOSED);
    });
  });

  describe("resets the stream, and serves others, for", () => {
    const lists: Readonly<Record<string, Pairs>> = {
      "a name in upper case": [...HEADS, ["X-Upper", "1"]],
      "an empty name": [...HEADS, ["", "1"]],
      "a name with a blank": [...HEADS, ["x a", "1"]],
      "a name with a colon": [...HEADS, ["x:a", "1"]],
      "a name beyond ASCII": [...HEADS, ["x-\xe9", "1"]],
      "a value with NUL": [...HEADS, ["x-a", "a\0b"]],
      "a value with CR": [...HEADS, ["x-a", "a\rb"]],
      "a value with LF": [...HEADS, ["x-a", "a\nx-b: c"]],
      "a value that starts with a blank": [...HEADS, ["x-a", " b"]],
      "a value that ends with HTAB": [...HEADS, ["x-a", "b\t"]],
      connection: [...HEADS, ["connection", "close"]],
      "keep-alive": [...HEADS, ["keep-alive", "1"]],
      "proxy-connection": [...HEADS, ["proxy-connection", "close"]],
      "transfer-encoding": [...POST, ["transfer-encoding", "chunked"]],
      upgrade: [...HEADS, ["upgrade", "h2c"]],
      "te of another value": [...HEADS, ["te", "trailers, deflate"]],
      "no :method": without(":method"),
      "no :scheme": without(":scheme"),
      "no :path": without(":path"),
      "an empty :path": [...without(":path"), [":path", ""]],
      "a :path without slash": [...without(":path"), [":path", "a"]],
      "a :path in absolute form": [...without(":path"), [":path", "http://web.shop/"]],
      "* without OPTIONS": [...without(":path"), [":path", "*"]],
      "a :path with a blank": [...without(":path"), [":path", "/a b"]],
      "a :path with a fragment": [...without(":path"), [":path", "/a#b"]],
      "a :path with HTAB": [...without(":path"), [":path", "/a\tb"]],
      "a :path that could end a request line": [...without(":path"), [":path", "/ HTTP/1.1\r\nx: y"]],
      "a :method with a blank": [[":method", "GET /x"], ...without(":method")],
      "an empty :method": [[":method", ""], ...without(":method")],
      "a :scheme that is none": [...without(":scheme"), [":scheme", "ht tp"]],
      "an empty :scheme": [...without(":scheme"), [":scheme", ""]],
      "two :methods": [...HEADS, [":method", "GET"]],
      "two :paths": [...HEADS, [":path", "/"]],
      "two :schemes": [...HEADS, [":scheme", "http"]],
      "two :authorities": [...HEADS, [":authority", "web.shop"]],
      ":status": [...HEADS, [":status", "200"]],
      "an unknown pseudo-header": [...HEADS, [":other", "1"]],
      "a pseudo-header after a field": [...without(":path"), ["x-a", "1"], [":path", "/"]],
      "a host that is not the :authority": [...HEADS, ["host", "other.shop"]],
      "two hosts": [...without(":authority"), ["host", "web.shop"], ["host", "web.shop"]],
      ":protocol without CONNECT": [...HEADS, [":protocol", "websocket"]],
      "CONNECT with :path": [
        [":method", "CONNECT"],
        [":path", "/"],
        [":authority", "web.shop:80"],
      ],
      "CONNECT without :authority": [[":method", "CONNECT"]],
      "two content-lengths": [...POST, ["content-length", "0"], ["content-length", "0"]],
      "a content-length list": [...POST, ["content-length", "0, 0"]],
      "a content-length with a sign": [...POST, ["content-length", "+0"]],
      "a negative content-length": [...POST, ["content-length", "-1"]],
      "a content-length that is empty": [...POST, ["content-length", ""]],
      "a content-length over 2^53": [...POST, ["content-length", "99999999999999999999"]],
      "a content-length without a body": [...POST, ["content-length", "1"]],
    };
    for (const [what, list] of Object.entries(lists)) {
      it(what, async () => {
        raw.send(raw.headers(1, list, true));
        await raw.until(() => raw.of(1).reset >= 0 || raw.of(1).heads.length > 0);
        assert.deepEqual(raw.of(1).heads, []);
        assert.equal(raw.of(1).reset, PROTOCOL_ERROR);
        assert.deepEqual(seen, []);
        await serves(3);
      });
    }

    const keep: Pairs = [...POST.slice(0, 2), [":path", "/keep"], [":authority", "web.shop"]];
    const streams: readonly [what: string, code: number, send: Send][] = [
      [
        "more DATA than content-length",
        PROTOCOL_ERROR,
        (r) => [r.headers(1, [...keep, ["content-length", "2"]], false), r.data(1, "abc", false)],
      ],
      [
        "less DATA than content-length",
        PROTOCOL_ERROR,
        (r) => [r.headers(1, [...keep, ["content-length", "5"]], false), r.data(1, "abc", true)],
      ],
      [
        "less DATA than content-length before trailers",
        PROTOCOL_ERROR,
        (r) => [
          r.headers(1, [...keep, ["content-length", "5"]], false),
          r.data(1, "abc", false),
          r.headers(1, [["x-t", "1"]], true),
        ],
      ],
      [
        "HEADERS amid a body that do not end it",
        PROTOCOL_ERROR,
        (r) => [r.headers(1, keep, false), r.headers(1, [["x-t", "1"]], false)],
      ],
      [
        "trailers with a pseudo-header",
        PROTOCOL_ERROR,
        (r) => [r.headers(1, keep, false), r.headers(1, [[":path", "/"]], true)],
      ],
      [
        "trailers with a name in upper case",
        PROTOCOL_ERROR,
        (r) => [r.headers(1, keep, false), r.headers(1, [["X-T", "1"]], true)],
      ],
      [
        "trailers with connection",
        PROTOCOL_ERROR,
        (r) => [r.headers(1, keep, false), r.headers(1, [["connection", "close"]], true)],
      ],
      ["DATA after its end", STREAM_CLOSED, (r) => [r.headers(1, keep, true), r.data(1, "x", false)]],
      ["HEADERS after its end", STREAM_CLOSED, (r) => [r.headers(1, keep, true), r.headers(1, [["x-t", "1"]], true)]],
      [
        "WINDOW_UPDATE of 0",
        PROTOCOL_ERROR,
        (r) => [r.headers(1, keep, false), rawFrame(FRAME_WINDOW_UPDATE, 0, 1, uint32(0))],
      ],
      [
        "a window over 2^31 - 1",
        FLOW_CONTROL_ERROR,
        (r) => [r.headers(1, keep, false), rawFrame(FRAME_WINDOW_UPDATE, 0, 1, uint32(2 ** 31 - 1))],
      ],
      [
        "more DATA than its window",
        FLOW_CONTROL_ERROR,
        (r) => [r.headers(1, keep, false), ...Array.from({ length: 64 }, () => r.data(1, "x".repeat(16_384), false))],
      ],
      [
        "PRIORITY on itself",
        PROTOCOL_ERROR,
        (r) => [r.headers(1, keep, false), rawFrame(FRAME_PRIORITY, 0, 1, [0, 0, 0, 1, 9])],
      ],
    ];
    for (const [what, code, send] of streams) {
      it(what, async () => {
        raw.send(...send(raw));
        await raw.until(() => raw.of(1).reset >= 0);
        assert.equal(raw.of(1).reset, code);
        await serves(3);
      });
    }
  });

  it("takes what was under way on a stream that it has reset", async () => {
    raw.send(raw.headers(1, [...HEADS, ["X-Upper", "1"]], false));
    await raw.until(() => raw.of(1).reset >= 0);
    raw.send(
      raw.data(1, "late", false),
      rawFrame(FRAME_WINDOW_UPDATE, 0, 1, uint32(5)),
      raw.headers(1, [["x-late", "1"]], true),
      rawFrame(FRAME_RST_STREAM, 0, 1, uint32(8)),
    );
    await serves(3);
  });

  it("takes frames on a stream that the client has reset and the app answers still", async () => {
    raw.send(
      raw.headers(1, HEADS, true),
      rawFrame(FRAME_RST_STREAM, 0, 1, uint32(8)),
      rawFrame(FRAME_PRIORITY, 0, 1, [0, 0, 0, 0, 9]),
    );
    await serves(3);
  });

  it("keeps the header tables right over a list that is too large", async () => {
    const large: Pairs = Array.from({ length: 40 }, (_, i) => [`x-large-${i}`, "v".repeat(2_000)]);
    raw.send(
      rawFrame(FRAME_HEADERS, FLAG_END_STREAM, 1, raw.block(HEADS)),
      ...large.map((pair) => rawFrame(FRAME_CONTINUATION, 0, 1, raw.block([pair]))),
      rawFrame(FRAME_CONTINUATION, FLAG_END_HEADERS, 1, raw.block([["x-kept", "kept"]])),
    );
    await raw.until(() => raw.of(1).heads.length > 0);
    assert.equal(raw.of(1).heads[0]?.[":status"], "431");
    assert.deepEqual(seen, []);
    raw.send(raw.headers(3, [...HEADS, ["x-kept", "kept"]], true));
    await raw.until(() => raw.of(3).ended);
    assert.equal(raw.of(3).body, "GET ");
  });
});
