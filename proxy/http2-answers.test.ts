import assert from "node:assert/strict";
import type { ClientHttp2Session } from "node:http2";
import { ask2, http2Client } from "../test/support/http2-peers.ts";
import { listenRaw, type Pairs, type RawHttp2, rawFrame, uint32 } from "../test/support/http2-wire.ts";
import { createProxyWorld, type ProxyWorld } from "../test/support/proxy-world.ts";
import {
  COMPRESSION_ERROR,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLOW_CONTROL_ERROR,
  FRAME_CONTINUATION,
  FRAME_HEADERS,
  FRAME_PING,
  FRAME_PUSH_PROMISE,
  FRAME_RST_STREAM,
  FRAME_SETTINGS,
  FRAME_SIZE_ERROR,
  FRAME_WINDOW_UPDATE,
  PROTOCOL_ERROR,
} from "./http2/frames.ts";

const OK: Pairs = [[":status", "200"]];
const ENDS = FLAG_END_STREAM | FLAG_END_HEADERS;

describe("a proxy whose app breaks HTTP/2's rules", () => {
  let world: ProxyWorld;
  let app: { port: number; close(): void };
  let session: ClientHttp2Session;
  let raws: RawHttp2[] = [];
  /** What the app sends on each connection once the first request on it has come. */
  let answer: (raw: RawHttp2, id: number) => readonly Buffer[] = () => [];

  before(async () => {
    world = await createProxyWorld();
    app = await listenRaw((raw) => {
      raws.push(raw);
      raw.send(rawFrame(FRAME_SETTINGS, 0, 0));
      let served = 0;
      const next = () => {
        raw
          .until(() => raw.begun.length > served)
          .then(() => {
            raw.send(...answer(raw, raw.begun[served++] as number));
            next();
          })
          .catch(() => {});
      };
      next();
    });
    world.later(async () => app.close());
    const server = await world.proxy("web");
    const client = await world.proxy("client");
    const identity = world.control.mesh.identity("shop", "web");
    const at = { address: "127.0.0.1", port: app.port, proxyPort: server.inboundPort };
    const groups = [{ trustDomain: "east.mesh", endpoints: [{ id: "w", identity, ready: true, ...at }] }];
    world.control.service({ authority: "web.shop:80", kind: "KIND_SERVICE", groups });
    session = await http2Client(client.outboundPort);
    world.later(async () => session.destroy());
  });
  after(() => world.close());
  beforeEach(() => {
    for (const raw of raws.splice(0)) raw.destroy();
    raws = [];
  });

  const post = () => ask2(session, { ":method": "POST", ":path": "/", ":authority": "web.shop" }, "x");

  it("passes a right answer on", async () => {
    answer = (raw, id) => [
      raw.headers(
        id,
        [
          [":status", "103"],
          ["x-hint", "1"],
        ],
        false,
      ),
      raw.headers(id, OK, false),
      raw.data(id, "right", true),
    ];
    const got = await post();
    assert.deepEqual([got.status, got.body.toString(), got.informational.length], [200, "right", 1]);
  });

  describe("answers 502 in its place, and serves the next request, for", () => {
    const cases: Readonly<Record<string, (raw: RawHttp2, id: number) => readonly Buffer[]>> = {
      "no :status": (r, id) => [r.headers(id, [["x-a", "1"]], true)],
      "two :status": (r, id) => [r.headers(id, [...OK, ...OK], true)],
      "a :status of two digits": (r, id) => [r.headers(id, [[":status", "20"]], true)],
      "a :status over 599": (r, id) => [r.headers(id, [[":status", "600"]], true)],
      "status 101": (r, id) => [r.headers(id, [[":status", "101"]], false)],
      "a 1xx answer that ends the stream": (r, id) => [r.headers(id, [[":status", "103"]], true)],
      "a request's pseudo-header": (r, id) => [r.headers(id, [...OK, [":path", "/"]], true)],
      "a pseudo-header after a field": (r, id) => [r.headers(id, [["x-a", "1"], ...OK], true)],
      "a name in upper case": (r, id) => [r.headers(id, [...OK, ["X-Upper", "1"]], true)],
      "a value with LF": (r, id) => [r.headers(id, [...OK, ["x-a", "a\nb: c"]], true)],
      connection: (r, id) => [r.headers(id, [...OK, ["connection", "close"]], true)],
      "transfer-encoding": (r, id) => [r.headers(id, [...OK, ["transfer-encoding", "chunked"]], true)],
      "two content-lengths": (r, id) => [
        r.headers(id, [...OK, ["content-length", "0"], ["content-length", "0"]], true),
      ],
      "a content-length without a body": (r, id) => [r.headers(id, [...OK, ["content-length", "5"]], true)],
      "DATA before the head": (r, id) => [r.data(id, "x", true)],
      "a head over the limit": (r, id) => [
        rawFrame(FRAME_HEADERS, FLAG_END_STREAM, id, r.block(OK)),
        ...Array.from({ length: 40 }, (_, i) =>
          rawFrame(FRAME_CONTINUATION, 0, id, r.block([[`x-${i}`, "v".repeat(2_000)]])),
        ),
        rawFrame(FRAME_CONTINUATION, FLAG_END_HEADERS, id),
      ],
      "a head that is no HPACK": (_r, id) => [rawFrame(FRAME_HEADERS, ENDS, id, [0xff, 0xff, 0xff, 0xff, 0xff])],
      "a head on a stream that was not asked for": (r) => [r.headers(2, OK, true)],
      "a head on a stream that is to come": (r, id) => [r.headers(id + 100, OK, true)],
      PUSH_PROMISE: (r, id) => [
        rawFrame(FRAME_PUSH_PROMISE, FLAG_END_HEADERS, id, Buffer.concat([uint32(2), r.block(OK)])),
      ],
      "SETTINGS with ENABLE_PUSH of 1": () => [rawFrame(FRAME_SETTINGS, 0, 0, [0, 2, 0, 0, 0, 1])],
      "a frame over 16,384 octets": () => [rawFrame(0xfa, 0, 0, Buffer.alloc(16_385))],
      "an acknowledgement with settings": () => [rawFrame(FRAME_SETTINGS, FLAG_ACK, 0, [0, 1, 0, 0, 0, 1])],
      "PING on a stream": (_r, id) => [rawFrame(FRAME_PING, 0, id, Buffer.alloc(8))],
      "WINDOW_UPDATE of 0 on the connection": () => [rawFrame(FRAME_WINDOW_UPDATE, 0, 0, uint32(0))],
      "a connection's window over 2^31 - 1": () => [rawFrame(FRAME_WINDOW_UPDATE, 0, 0, uint32(2 ** 31 - 1))],
      "WINDOW_UPDATE of 0 on the stream": (_r, id) => [rawFrame(FRAME_WINDOW_UPDATE, 0, id, uint32(0))],
      "RST_STREAM on an idle stream": (_r, id) => [rawFrame(FRAME_RST_STREAM, 0, id + 100, uint32(8))],
      "PINGs without end": () => Array.from({ length: 20_000 }, () => rawFrame(FRAME_PING, 0, 0, Buffer.alloc(8))),
      "SETTINGS without end": () => Array.from({ length: 20_000 }, () => rawFrame(FRAME_SETTINGS, 0, 0)),
    };
    for (const [what, broken] of Object.entries(cases)) {
      it(what, async () => {
        answer = broken;
        const got = await post();
        assert.equal(got.status, 502);
        assert.match(String(got.headers["x-causeway-error"]), /^PROXY_(BAD_RESPONSE|RESET)$/);
        answer = (raw, id) => [raw.headers(id, OK, false), raw.data(id, "right", true)];
        assert.equal((await post()).body.toString(), "right");
      });
    }
  });

  describe("tells the app why it ends the connection", () => {
    for (const [what, code, broken] of [
      [
        "a head that is no HPACK",
        COMPRESSION_ERROR,
        (_r: RawHttp2, id: number) => [rawFrame(FRAME_HEADERS, ENDS, id, [0x80])],
      ],
      ["a frame over 16,384 octets", FRAME_SIZE_ERROR, () => [rawFrame(0xfa, 0, 0, Buffer.alloc(16_385))]],
      ["a window over 2^31 - 1", FLOW_CONTROL_ERROR, () => [rawFrame(FRAME_WINDOW_UPDATE, 0, 0, uint32(2 ** 31 - 1))]],
      [
        "PUSH_PROMISE",
        PROTOCOL_ERROR,
        (r: RawHttp2, id: number) => [
          rawFrame(FRAME_PUSH_PROMISE, FLAG_END_HEADERS, id, Buffer.concat([uint32(2), r.block(OK)])),
        ],
      ],
    ] as const) {
      it(what, async () => {
        answer = broken;
        await post();
        const [first] = raws;
        assert.ok(first);
        await first.until(() => first.goaway >= 0);
        assert.equal(first.goaway, code);
      });
    }
  });

  describe("cuts an answer short that goes wrong after its head, for", () => {
    const cases: Readonly<Record<string, (raw: RawHttp2, id: number) => readonly Buffer[]>> = {
      "more DATA than content-length": (r, id) => [
        r.headers(id, [...OK, ["content-length", "2"]], false),
        r.data(id, "abc", true),
      ],
      "less DATA than content-length": (r, id) => [
        r.headers(id, [...OK, ["content-length", "9"]], false),
        r.data(id, "abc", true),
      ],
      "trailers that do not end it": (r, id) => [r.headers(id, OK, false), r.headers(id, [["x-t", "1"]], false)],
      "trailers with :status": (r, id) => [r.headers(id, OK, false), r.headers(id, OK, true)],
      "trailers with a name in upper case": (r, id) => [r.headers(id, OK, false), r.headers(id, [["X-T", "1"]], true)],
      "trailers with connection": (r, id) => [r.headers(id, OK, false), r.headers(id, [["connection", "x"]], true)],
    };
    for (const [what, broken] of Object.entries(cases)) {
      it(what, async () => {
        answer = broken;
        await assert.rejects(post(), /reset with 2|INTERNAL_ERROR/);
        answer = (raw, id) => [raw.headers(id, OK, false), raw.data(id, "right", true)];
        assert.equal((await post()).body.toString(), "right");
      });
    }
  });
});
