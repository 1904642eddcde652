import assert from "node:assert/strict";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { eventually } from "../../test/support/eventually.ts";
import {
  listenRaw,
  RawHttp2,
  type RawServer,
  rawFrame,
  settingsFrame,
  uint32,
  type WireFrame,
} from "../../test/support/http2-wire.ts";
import { createTransport } from "../../transport/create-transport.ts";
import type { Listener, Transport } from "../../transport/transport.ts";
import { createEngine, DEFAULT_LIMITS, type Engine, type ServerLimits } from "../http1/engine.ts";
import { Http2ClientConnection } from "./client-connection.ts";
import { createHttp2Engine } from "./engine.ts";
import {
  CANCEL,
  CLIENT_PREFACE,
  COMPRESSION_ERROR,
  ENHANCE_YOUR_CALM,
  FLAG_ACK,
  FLAG_END_STREAM,
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
  REFUSED_STREAM,
  STREAM_CLOSED,
} from "./frames.ts";
import type { ServedStream, StreamHandler } from "./handler.ts";
import { Http2Pool } from "./http2-pool.ts";
import { Exchanges, Http2ServerConnection } from "./server-connection.ts";
import { SETTINGS_INITIAL_WINDOW_SIZE } from "./settings.ts";

const GET = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "a"],
] as const;
const POST = [[":method", "POST"], ...GET.slice(1)] as const;

const ROUNDS = 200;

describe("Http2ServerConnection", () => {
  let transport: Transport;
  let engine: Engine;
  /** What the connections go by; to be changed before one is made. */
  let limits: { -readonly [K in keyof ServerLimits]: ServerLimits[K] };
  let pings: { pingAfterMs: number; pingMs: number };
  let listener: Listener;
  let app: RawServer;
  let pool: Http2Pool;
  let finished: string[];
  const peers: RawHttp2[] = [];

  before(async () => {
    transport = await createTransport({ adapter: "auto", log: silentLog });
  });
  beforeEach(async () => {
    limits = { ...DEFAULT_LIMITS };
    pings = { pingAfterMs: 10_000, pingMs: 10_000 };
    engine = createEngine({ clock: systemClock, log: silentLog, transport, limits });
    const made = createHttp2Engine(engine, { maxStreams: 3 });
    const http2 = { ...made, limits: Object.assign(pings, { ...made.limits, ...pings }) };
    finished = [];
    pool = new Http2Pool();
    app = await listenRaw(() => {}, false);
    const handler: StreamHandler<undefined> = {
      createState: () => undefined,
      route: () => "routed",
      dispatch(request: ServedStream<undefined>) {
        const known = pool.acquire();
        if (known !== undefined) {
          request.attach(known);
          return;
        }
        transport.connectTcp(
          { host: "127.0.0.1", port: app.port, timeoutMs: 1_000 },
          (stream) => {
            const made = new Http2ClientConnection(stream, http2, pool);
            pool.add(made);
            request.attach(made);
            return stream.user;
          },
          () => request.fail({ status: 502, code: "PROXY_CONNECT_FAILED", message: "no app" }),
        );
      },
      cancel() {},
      rejects: () => false,
      answered() {},
      judged() {},
      amend() {},
      failed: (request) => request.fail({ status: 502, code: "PROXY_RESET", message: "it failed" }),
      finished: (_request, status, grpcStatus) => void finished.push(`${status} ${grpcStatus}`),
      bytes() {},
      trusted: () => false,
    };
    const exchanges = new Exchanges(http2, handler);
    listener = await transport.listenTcp(
      { host: "127.0.0.1", port: 0 },
      (stream) => new Http2ServerConnection(stream, exchanges),
    );
  });
  afterEach(async () => {
    for (const peer of peers.splice(0)) peer.socket.destroy();
    for (const connection of [...engine.connections]) connection.destroy();
    pool.destroy();
    await listener.close();
    app.close();
  });

  /** The preface is sent, SETTINGS are not. */
  async function connected(): Promise<RawHttp2> {
    const peer = await RawHttp2.open(listener.port, false);
    peer.send(Buffer.from(CLIENT_PREFACE));
    return peer;
  }

  async function client(...settings: number[]): Promise<RawHttp2> {
    const peer = await connected();
    peers.push(peer);
    peer.send(settingsFrame(...settings));
    await peer.frame(({ type, flags }) => type === FRAME_SETTINGS && flags === FLAG_ACK);
    return peer;
  }

  async function accepted(...settings: number[]): Promise<RawHttp2> {
    const peer = await app.accept();
    peers.push(peer);
    peer.send(settingsFrame(...settings), rawFrame(FRAME_SETTINGS, FLAG_ACK, 0));
    return peer;
  }

  const goaway = (code: number) => (frame: WireFrame) =>
    frame.type === FRAME_GOAWAY && frame.payload.readUInt32BE(4) === code;
  const reset = (id: number, code: number) => (frame: WireFrame) =>
    frame.type === FRAME_RST_STREAM && frame.id === id && frame.payload.readUInt32BE(0) === code;
  const head = (id: number) => (frame: WireFrame) => frame.type === FRAME_HEADERS && frame.id === id;
  const pong = (frame: WireFrame) => frame.type === FRAME_PING && frame.flags === FLAG_ACK;

  for (const [what, bytes, code] of [
    ["HEADERS on stream 2", (p: RawHttp2) => p.headers(2, GET, true), PROTOCOL_ERROR],
    ["DATA on an idle stream", () => rawFrame(FRAME_DATA, 0, 5, Buffer.from("x")), PROTOCOL_ERROR],
    ["RST_STREAM on an idle stream", () => rawFrame(FRAME_RST_STREAM, 0, 5, uint32(8)), PROTOCOL_ERROR],
    ["WINDOW_UPDATE on an idle stream", () => rawFrame(FRAME_WINDOW_UPDATE, 0, 5, uint32(8)), PROTOCOL_ERROR],
    ["an increment of 0", () => rawFrame(FRAME_WINDOW_UPDATE, 0, 0, uint32(0)), PROTOCOL_ERROR],
    ["too large a window", () => rawFrame(FRAME_WINDOW_UPDATE, 0, 0, uint32(0x7fffffff)), FLOW_CONTROL_ERROR],
    ["PUSH_PROMISE", () => rawFrame(FRAME_PUSH_PROMISE, 4, 1, uint32(2)), PROTOCOL_ERROR],
    ["CONTINUATION out of place", () => rawFrame(FRAME_CONTINUATION, 4, 1), PROTOCOL_ERROR],
    [
      "a frame between HEADERS and CONTINUATION",
      () => Buffer.concat([rawFrame(FRAME_HEADERS, 0, 1), rawFrame(FRAME_PING, 0, 0, Buffer.alloc(8))]),
      PROTOCOL_ERROR,
    ],
    [
      "CONTINUATION of another stream",
      () => Buffer.concat([rawFrame(FRAME_HEADERS, 0, 1), rawFrame(FRAME_CONTINUATION, 4, 3)]),
      PROTOCOL_ERROR,
    ],
    ["a header block that cannot be read", () => rawFrame(FRAME_HEADERS, 5, 1, Buffer.from([0xff])), COMPRESSION_ERROR],
    ["SETTINGS of 5 octets", () => rawFrame(FRAME_SETTINGS, 0, 0, Buffer.alloc(5)), FRAME_SIZE_ERROR],
    ["an initial window over 2^31 - 1", () => settingsFrame(4, 0x80000000), FLOW_CONTROL_ERROR],
    [
      "endless CONTINUATION",
      () =>
        Buffer.concat([
          rawFrame(FRAME_HEADERS, 0, 1),
          ...Array.from({ length: 100 }, () => rawFrame(FRAME_CONTINUATION, 0, 1)),
        ]),
      ENHANCE_YOUR_CALM,
    ],
    [
      "a flood of pings",
      () => Buffer.concat(Array.from({ length: 20_000 }, () => rawFrame(FRAME_PING, 0, 0, Buffer.alloc(8)))),
      ENHANCE_YOUR_CALM,
    ],
    [
      "a flood of SETTINGS",
      () => Buffer.concat(Array.from({ length: 20_000 }, () => settingsFrame())),
      ENHANCE_YOUR_CALM,
    ],
    [
      "streams begun and reset at once",
      (p: RawHttp2) =>
        Buffer.concat(
          Array.from({ length: 1_500 }, (_, i) => [
            p.headers(2 * i + 1, POST, false),
            rawFrame(FRAME_RST_STREAM, 0, 2 * i + 1, uint32(CANCEL)),
          ]).flat(),
        ),
      ENHANCE_YOUR_CALM,
    ],
    ["a header block that does not end", () => rawFrame(FRAME_HEADERS, 0, 1), ENHANCE_YOUR_CALM],
  ] as const) {
    it(`ends the connection for ${what}`, async () => {
      if (what.endsWith("does not end")) limits.headMs = 200;
      const peer = await client();
      peer.send(bytes(peer));
      await peer.frame(goaway(code));
      await peer.end();
    });
  }

  it("ends the connection for a wrong preface, and for one that does not come", async () => {
    const wrong = await connected();
    wrong.send(rawFrame(FRAME_PING, 0, 0, Buffer.alloc(8)));
    await wrong.frame(goaway(PROTOCOL_ERROR));
    limits.headMs = 100;
    const silent = await connected();
    await silent.frame(goaway(PROTOCOL_ERROR));
    for (const peer of [wrong, silent]) await peer.end();
  });

  for (const [what, fields] of [
    ["no method", GET.slice(1)],
    ["no path", [...GET.slice(0, 2), GET[3]]],
    ["two methods", [GET[0], ...GET]],
    ["a pseudo-header field after others", [...GET, ["a", "b"], [":path", "/"]]],
    ["an unknown pseudo-header field", [[":odd", "x"], ...GET]],
    ["an upper-case name", [...GET, ["A", "b"]]],
    ["connection: close", [...GET, ["connection", "close"]]],
    ["te: gzip", [...GET, ["te", "gzip"]]],
    ["a line break in a value", [...GET, ["a", "b\r\nc: d"]]],
    ["a host of its own", [...GET, ["host", "b"]]],
    ["two lengths", [...GET, ["content-length", "0"], ["content-length", "0"]]],
    ["a length without a body", [...GET, ["content-length", "1"]]],
    ["a path that is none", [...GET.slice(0, 2), [":path", "a"], GET[3]]],
  ] as const) {
    it(`resets a stream with ${what}, and goes on`, async () => {
      const peer = await client();
      peer.send(peer.headers(1, fields as readonly (readonly [string, string])[], true));
      await peer.frame(reset(1, PROTOCOL_ERROR));
      peer.send(rawFrame(FRAME_PING, 0, 0, Buffer.alloc(8)));
      await peer.frame(pong);
      assert.deepEqual(finished, []);
    });
  }

  it("holds a body against its length", async () => {
    const peer = await client();
    for (const [id, text, last] of [
      [1, "abcd", 0],
      [3, "ab", FLAG_END_STREAM],
    ] as const) {
      peer.send(peer.headers(id, [...POST, ["content-length", "3"]], false));
      peer.send(rawFrame(FRAME_DATA, last, id, Buffer.from(text)));
      await peer.frame(reset(id, PROTOCOL_ERROR));
    }
  });

  it("resets what depends on itself, and more streams than it takes", async () => {
    const peer = await client();
    for (const id of [1, 3, 5, 7]) peer.send(peer.headers(id, POST, false));
    await peer.frame(reset(7, REFUSED_STREAM));
    peer.send(rawFrame(FRAME_PRIORITY, 0, 5, Buffer.concat([uint32(5), Buffer.alloc(1)])));
    await peer.frame(reset(5, PROTOCOL_ERROR));
    // What was under way on a stream that was reset is not held against the client.
    peer.send(rawFrame(FRAME_DATA, 0, 5, Buffer.from("late")), rawFrame(FRAME_PING, 0, 0, Buffer.alloc(8)));
    await peer.frame(pong);
    peer.send(peer.headers(3, GET, true), peer.headers(3, GET, true));
    await peer.frame((frame) => reset(3, PROTOCOL_ERROR)(frame) || reset(3, STREAM_CLOSED)(frame));
  });

  it("sends no more than the client's windows let it, also when they shrink below nothing", async () => {
    const peer = await client(SETTINGS_INITIAL_WINDOW_SIZE, 10);
    peer.send(peer.headers(1, GET, true));
    const upstream = await accepted();
    await upstream.frame(head(1));
    upstream.send(upstream.headers(1, [[":status", "200"]], false));
    upstream.send(rawFrame(FRAME_DATA, FLAG_END_STREAM, 1, Buffer.alloc(40, "x")));
    const sent = () => peer.frames.filter(({ type }) => type === FRAME_DATA).reduce((n, f) => n + f.payload.length, 0);
    const settle = async () => {
      const pongs = peer.frames.filter(pong).length;
      peer.send(rawFrame(FRAME_PING, 0, 0, Buffer.alloc(8)));
      await eventually(() => peer.frames.filter(pong).length > pongs);
    };
    await eventually(() => sent() === 10);
    // 0 - 5 is a window of -5: only the sixth octet of an update counts.
    peer.send(settingsFrame(SETTINGS_INITIAL_WINDOW_SIZE, 5));
    peer.send(rawFrame(FRAME_WINDOW_UPDATE, 0, 1, uint32(5)));
    await settle();
    assert.equal(sent(), 10);
    peer.send(rawFrame(FRAME_WINDOW_UPDATE, 0, 1, uint32(6)));
    await eventually(() => sent() === 16);
    peer.send(settingsFrame(SETTINGS_INITIAL_WINDOW_SIZE, 100));
    await eventually(() => sent() === 40);
    await peer.frame(({ type, flags }) => type === FRAME_DATA && (flags & FLAG_END_STREAM) !== 0);
    await eventually(() => finished.length === 1);
    assert.deepEqual(finished, ["200 -1"]);
  });

  it("takes no more of a body than its window, while nobody reads it", async () => {
    const peer = await client();
    peer.send(peer.headers(1, POST, false));
    const upstream = await accepted(SETTINGS_INITIAL_WINDOW_SIZE, 0);
    await upstream.frame(head(1));
    for (let i = 0; i < 4; i++) peer.send(rawFrame(FRAME_DATA, 0, 1, Buffer.alloc(16_383)));
    peer.send(rawFrame(FRAME_DATA, 0, 1, Buffer.alloc(3)), rawFrame(FRAME_PING, 0, 0, Buffer.alloc(8)));
    await peer.frame(pong);
    assert.ok(!peer.frames.some(({ type, id }) => type === FRAME_WINDOW_UPDATE && id === 1));
    peer.send(rawFrame(FRAME_DATA, 0, 1, Buffer.alloc(1)));
    await peer.frame(reset(1, FLOW_CONTROL_ERROR));
    await upstream.frame(({ type, id }) => type === FRAME_RST_STREAM && id === 1);
  });

  it("gives the connection's window back for what is dropped, either way", async () => {
    const peer = await client(SETTINGS_INITIAL_WINDOW_SIZE, 0);
    const upstreams: RawHttp2[] = [];
    let id = -1;
    for (let round = 0; round < ROUNDS; round++) {
      id += 2;
      peer.send(peer.headers(id, POST, false), rawFrame(FRAME_DATA, 0, id, Buffer.alloc(16_384)));
      if (upstreams.length === 0) upstreams.push(await accepted(SETTINGS_INITIAL_WINDOW_SIZE, 0));
      const upstream = upstreams[0] as RawHttp2;
      const there = id;
      await upstream.frame(head(there));
      upstream.send(upstream.headers(there, [[":status", "200"]], false));
      for (let i = 0; i < 3; i++) {
        upstream.send(rawFrame(FRAME_DATA, 0, there, Buffer.alloc(16_384)));
        peer.send(rawFrame(FRAME_DATA, 0, id, Buffer.alloc(16_000)));
      }
      await peer.frame(head(id));
      if (round % 2 === 0) {
        peer.send(rawFrame(FRAME_RST_STREAM, 0, id, uint32(CANCEL)));
        await upstream.frame(reset(there, CANCEL));
      } else {
        upstream.send(rawFrame(FRAME_RST_STREAM, 0, there, uint32(CANCEL)));
        await peer.frame(reset(id, CANCEL));
      }
    }
    // Up to a quarter of the window is kept back, to be given at once.
    const least = 0.74 * 16 * 1_048_576;
    for (const [each, bytes] of [
      [peer, ROUNDS * 64_384],
      [upstreams[0], ROUNDS * 49_152],
    ] as const) {
      const given = each?.frames.filter(({ type, id: on }) => type === FRAME_WINDOW_UPDATE && on === 0) ?? [];
      const sum = given.reduce((n, { payload }) => n + payload.readUInt32BE(0), 0);
      assert.ok(sum >= least + bytes, `${sum} bytes were given back for ${bytes}`);
    }
  });

  it("gives padding back, and windows as the app takes the bytes", async () => {
    const peer = await client();
    peer.send(peer.headers(1, POST, false));
    const upstream = await accepted();
    await upstream.frame(head(1));
    const padded = Buffer.concat([Buffer.from([255]), Buffer.alloc(10_000), Buffer.alloc(255)]);
    for (let i = 0; i < 4; i++) peer.send(rawFrame(FRAME_DATA, 8, 1, padded));
    await peer.frame(({ type, id }) => type === FRAME_WINDOW_UPDATE && id === 1);
    const got = () =>
      upstream.frames.filter(({ type }) => type === FRAME_DATA).reduce((n, f) => n + f.payload.length, 0);
    await eventually(() => got() === 40_000);
  });

  it("passes an answer on that comes before the request has ended, and the reset that ends it", async () => {
    const peer = await client();
    peer.send(peer.headers(1, POST, false));
    const upstream = await accepted();
    await upstream.frame(head(1));
    upstream.send(upstream.headers(1, [[":status", "413"]], true), rawFrame(FRAME_RST_STREAM, 0, 1, uint32(0)));
    await peer.frame(head(1));
    await peer.frame(reset(1, 0));
    await eventually(() => finished.length === 1);
    assert.deepEqual(finished, ["413 -1"]);
  });

  for (const [what, answer] of [
    ["no status", (p: RawHttp2) => p.headers(1, [["a", "b"]], false)],
    ["status 101", (p: RawHttp2) => p.headers(1, [[":status", "101"]], false)],
    ["DATA first", () => rawFrame(FRAME_DATA, 0, 1, Buffer.from("x"))],
    ["a 1xx that ends", (p: RawHttp2) => p.headers(1, [[":status", "103"]], true)],
    [
      "connection fields",
      (p: RawHttp2) =>
        p.headers(
          1,
          [
            [":status", "200"],
            ["upgrade", "x"],
          ],
          false,
        ),
    ],
    [
      "a length that ends early",
      (p: RawHttp2) =>
        p.headers(
          1,
          [
            [":status", "200"],
            ["content-length", "3"],
          ],
          true,
        ),
    ],
  ] as const) {
    it(`answers 502 to an answer with ${what}`, async () => {
      const peer = await client();
      peer.send(peer.headers(1, GET, true));
      const upstream = await accepted();
      await upstream.frame(head(1));
      upstream.send(answer(upstream));
      await upstream.frame(reset(1, PROTOCOL_ERROR));
      assert.equal((await peer.frame(head(1))).fields[0], ":status: 502");
    });
  }

  it("pings a silent peer while streams are open, and drops one that does not answer", async () => {
    pings.pingAfterMs = 100;
    pings.pingMs = 300;
    const peer = await client();
    peer.send(peer.headers(1, GET, true));
    const upstream = await accepted();
    const dead = await upstream.frame(({ type, flags }) => type === FRAME_PING && flags === 0);
    assert.equal(dead.payload.length, 8);
    // The client answers pings, the app does not.
    const mine = await peer.frame(({ type, flags }) => type === FRAME_PING && flags === 0);
    peer.send(rawFrame(FRAME_PING, FLAG_ACK, 0, mine.payload));
    await upstream.end();
    assert.equal((await peer.frame(head(1))).fields[0], ":status: 502");
  });

  it("ends a connection that idles, with GOAWAY", async () => {
    limits.idleMs = 200;
    const peer = await client();
    await peer.frame(goaway(0));
    await peer.end();
    await eventually(() => engine.connections.size === 0);
  });
});
