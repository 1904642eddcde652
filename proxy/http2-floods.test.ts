import assert from "node:assert/strict";
import { type Http2App, startHttp2App } from "../test/support/http2-peers.ts";
import { type Pairs, RawHttp2, rawFrame, uint32 } from "../test/support/http2-wire.ts";
import { createProxyWorld, type ProxyWorld } from "../test/support/proxy-world.ts";
import {
  CANCEL,
  ENHANCE_YOUR_CALM,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FRAME_CONTINUATION,
  FRAME_DATA,
  FRAME_GOAWAY,
  FRAME_HEADERS,
  FRAME_PING,
  FRAME_PRIORITY,
  FRAME_RST_STREAM,
  FRAME_SETTINGS,
  FRAME_WINDOW_UPDATE,
} from "./http2/frames.ts";
import type { RunningProxy } from "./start-proxy.ts";

/** As an indexed field, RFC 7541 section 2.3.3. */
const NEWEST_ENTRY = 0x80 | 62;
const MANY = 15_000;

describe("a proxy flooded over HTTP/2", () => {
  let world: ProxyWorld;
  let app: Http2App;
  let client: RunningProxy;
  let raw: RawHttp2;
  let asked = 0;

  before(async () => {
    world = await createProxyWorld();
    app = await startHttp2App((stream, headers) => {
      asked++;
      if (headers[":path"] !== "/") return;
      stream.respond({ ":status": 200 });
      stream.end("ok");
    });
    world.later(() => app.close());
    const server = await world.proxy("web");
    client = await world.proxy("client");
    const identity = world.control.mesh.identity("shop", "web");
    const at = { address: "127.0.0.1", port: app.port, proxyPort: server.inboundPort };
    const groups = [{ trustDomain: "east.mesh", endpoints: [{ id: "w", identity, ready: true, ...at }] }];
    world.control.service({ authority: "web.shop:80", kind: "KIND_SERVICE", groups });
  });
  after(() => world.close());
  beforeEach(async () => {
    asked = 0;
    raw = await RawHttp2.connect(client.outboundPort);
    await raw.settled();
  });
  afterEach(() => raw.destroy());

  const heads = (path: string): Pairs => [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "web.shop"],
  ];

  /** Sends `count` times what `make` gives, as fast as the proxy takes it; false where it hung up before the end. */
  async function flood(count: number, make: (i: number) => readonly Buffer[]): Promise<boolean> {
    for (let i = 0; i < count && raw.goaway < 0 && !raw.closed; i++) {
      for (const part of make(i)) {
        if (!raw.socket.write(part)) {
          await Promise.race([
            new Promise((resolve) => raw.socket.once("drain", resolve)),
            raw.until(() => raw.goaway >= 0).catch(() => {}),
          ]);
        }
      }
    }
    return raw.goaway < 0 && !raw.closed;
  }

  async function calmed(count: number, make: (i: number) => readonly Buffer[]): Promise<void> {
    await flood(count, make);
    await raw.until(() => raw.goaway >= 0);
    assert.equal(raw.goaway, ENHANCE_YOUR_CALM);
    await raw.until(() => raw.closed);
    // Whoever else comes is served.
    const other = await RawHttp2.connect(client.outboundPort);
    other.send(other.headers(1, heads("/"), true));
    await other.until(() => other.of(1).ended);
    assert.equal(other.of(1).body, "ok");
    other.destroy();
  }

  it("ends a connection that begins and resets streams without end (CVE-2023-44487)", async () => {
    await calmed(MANY, (i) => [
      raw.headers(i * 2 + 1, heads("/keep"), true),
      rawFrame(FRAME_RST_STREAM, 0, i * 2 + 1, uint32(CANCEL)),
    ]);
    assert.ok(asked <= 1_002, `the app was asked ${asked} times`);
  });

  it("ends a connection that has its streams reset without end (CVE-2025-8671)", async () => {
    await calmed(MANY, (i) => [
      raw.headers(i * 2 + 1, heads("/keep"), false),
      rawFrame(FRAME_WINDOW_UPDATE, 0, i * 2 + 1, uint32(0)),
    ]);
    assert.ok(asked <= 1_002, `the app was asked ${asked} times`);
  });

  it("ends a connection of malformed requests without end", async () => {
    await calmed(MANY, (i) => [raw.headers(i * 2 + 1, [...heads("/"), ["X-Upper", "1"]], true)]);
    assert.equal(asked, 1, "only the other connection's");
  });

  it("ends a connection that begins more streams than it may, again and again", async () => {
    await calmed(MANY, (i) => [raw.headers(i * 2 + 1, heads("/keep"), true)]);
    assert.ok(asked <= 251, `the app was asked ${asked} times`);
  });

  const floods: Readonly<Record<string, (r: RawHttp2, i: number) => readonly Buffer[]>> = {
    SETTINGS: () => [rawFrame(FRAME_SETTINGS, 0, 0, [0, 3, 0, 0, 0, 9])],
    "empty SETTINGS": () => [rawFrame(FRAME_SETTINGS, 0, 0)],
    "SETTINGS acknowledgements": () => [rawFrame(FRAME_SETTINGS, FLAG_ACK, 0)],
    PING: () => [rawFrame(FRAME_PING, 0, 0, Buffer.alloc(8))],
    "PING answers": () => [rawFrame(FRAME_PING, FLAG_ACK, 0, Buffer.alloc(8))],
    PRIORITY: (_r, i) => [rawFrame(FRAME_PRIORITY, 0, i * 2 + 1, [0, 0, 0, 0, 1])],
    "unknown frames": () => [rawFrame(0xfa, 0, 0)],
    GOAWAY: () => [rawFrame(FRAME_GOAWAY, 0, 0, Buffer.alloc(8))],
    "WINDOW_UPDATE of the connection": () => [rawFrame(FRAME_WINDOW_UPDATE, 0, 0, uint32(1))],
    "WINDOW_UPDATE of a stream": (r, i) => [
      ...(i === 0 ? [r.headers(1, heads("/keep"), false)] : []),
      rawFrame(FRAME_WINDOW_UPDATE, 0, 1, uint32(1)),
    ],
    "empty DATA": (r, i) => [...(i === 0 ? [r.headers(1, heads("/keep"), false)] : []), r.data(1, "", false)],
    "DATA of padding": (r, i) => [
      ...(i === 0 ? [r.headers(1, heads("/keep"), false)] : []),
      rawFrame(FRAME_DATA, FLAG_PADDED, 1, [0]),
    ],
    "empty CONTINUATION": (r, i) => [
      i === 0 ? rawFrame(FRAME_HEADERS, FLAG_END_STREAM, 1, r.block(heads("/"))) : rawFrame(FRAME_CONTINUATION, 0, 1),
    ],
    "long CONTINUATION": (r, i) => [
      i === 0
        ? rawFrame(FRAME_HEADERS, FLAG_END_STREAM, 1, r.block(heads("/")))
        : rawFrame(FRAME_CONTINUATION, 0, 1, Buffer.alloc(16_384, 0x82)),
    ],
    "frames on a stream that was reset": (r, i) => [
      ...(i === 0 ? [r.headers(1, [...heads("/"), ["X-Upper", "1"]], false)] : []),
      rawFrame(FRAME_RST_STREAM, 0, 1, uint32(CANCEL)),
    ],
  };
  for (const [what, make] of Object.entries(floods)) {
    it(`ends a connection that sends ${what} without end`, () => calmed(MANY, (i) => make(raw, i)));
  }

  it("takes no more of a header list than it says, however few octets stand for it", async () => {
    const bomb: [string, string] = ["x-bomb", "v".repeat(2_900)];
    raw.send(raw.headers(1, heads("/"), true), raw.headers(3, [...heads("/"), bomb], true));
    await raw.until(() => raw.of(3).ended);
    const blocks = Buffer.concat([raw.block(heads("/")), Buffer.alloc(16_000, NEWEST_ENTRY)]);
    for (let id = 5; id < 45; id += 2) {
      raw.send(rawFrame(FRAME_HEADERS, FLAG_END_STREAM | FLAG_END_HEADERS, id, blocks));
      await raw.until(() => raw.of(id).heads.length > 0);
      assert.equal(raw.of(id).heads[0]?.[":status"], "431");
    }
    assert.equal(asked, 2);
  });

  it("counts the connections that it ends", async () => {
    const text = await (await fetch(`http://127.0.0.1:${client.adminPort}/metrics`)).text();
    assert.match(text, /http2_connections_failed_total\{direction="outbound",error="ENHANCE_YOUR_CALM"[^}]*\} [1-9]/);
  });

  it("serves a client that does much, but what is of use", async () => {
    for (let i = 0; i < 1_500; i++) {
      const id = i * 2 + 1;
      raw.send(raw.headers(id, heads("/"), false), rawFrame(FRAME_WINDOW_UPDATE, 0, id, uint32(100)));
      raw.send(rawFrame(FRAME_PING, 0, 0, Buffer.alloc(8)), raw.data(id, "", true));
      if (i % 100 === 99) await raw.until(() => raw.of(id).ended);
    }
    assert.equal(asked, 1_500);
  });

  it("goes by the limits that its proxy was given", async () => {
    const strict = await world.proxy("strict", { limits: { maxIdleFrames: 50 } });
    const calm = await RawHttp2.connect(strict.outboundPort);
    await calm.settled();
    calm.send(...Array.from({ length: 60 }, () => rawFrame(FRAME_PING, 0, 0, Buffer.alloc(8))));
    await calm.until(() => calm.goaway >= 0);
    assert.equal(calm.goaway, ENHANCE_YOUR_CALM);
  });
});
