import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { connect as connectTls } from "node:tls";
import fc from "fast-check";
import { portHint } from "./port-hint.ts";
import { type Detection, detectProtocol, MAX_DETECT_BYTES } from "./protocol.ts";

const detect = (text: string | Buffer): Detection => {
  const b = typeof text === "string" ? Buffer.from(text, "latin1") : text;
  return detectProtocol(b, b.length);
};
const kind = (text: string | Buffer) => detect(text).kind;

/** What Node's TLS client says first. */
async function clientHello(servername: string, ALPNProtocols: string[]): Promise<Buffer> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as { port: number };
  try {
    return await new Promise<Buffer>((resolve) => {
      server.once("connection", (socket) => {
        socket.once("data", (data: Buffer) => {
          socket.destroy();
          resolve(data);
        });
      });
      const client = connectTls({ socket: connect({ host: "127.0.0.1", port }), servername, ALPNProtocols });
      client.on("error", () => {});
    });
  } finally {
    server.close();
  }
}

describe("detectProtocol()", () => {
  let hello: Buffer;
  before(async () => {
    hello = await clientHello("db.shop.svc.cluster.local", ["h2", "http/1.1"]);
  });

  it("knows a common method with a path before the line has ended", () => {
    for (const text of ["GET /", "POST /a?b", "OPTIONS /", "DELETE / nonsense"])
      assert.equal(kind(text), "http1", text);
  });

  it("takes any valid method for HTTP/1 once it sees a version", () => {
    for (const text of [
      "M-SEARCH * HTTP/1.1\r\n",
      `${"X".repeat(300)} /a HTTP/1.1`,
      "!#$%&'*+-.^_`|~ / HTTP/1.0",
      "get / HTTP/1.1\r\n",
      "CONNECT web.shop:443 HTTP/1.1\r\n",
      "OPTIONS * HTTP/1.1\r\n",
      "GET http://web.shop/ HTTP/1.1\r\n",
      "PRI /x HTTP/1.1\r\n",
      "\r\nGET / HTTP/1.1\r\n",
      "GET /a HTTP/9.9\r\n",
    ])
      assert.equal(kind(text), "http1", text);
  });

  it("passes other line protocols on", () => {
    for (const text of [
      "EHLO client.example\r\n",
      "USER anonymous\r\n",
      "PING\r\n",
      "*1\r\n$4\r\nPING\r\n",
      "get key\r\n",
      "SET a 1\r\n",
      "GET a\r\n",
      "SSH-2.0-OpenSSH_9.2\r\n",
      "OPTIONS rtsp://a/b RTSP/1.0\r\n",
      "INVITE sip:a@b SIP/2.0\r\n",
      "GET http://web.shop/\u0001 HTTP/1.1",
      "\r\r\n",
      "\u0000\u0000\u0000\u0008\u0004\u00d2\u0016\u002f",
      " GET / HTTP/1.1\r\n",
      "GET  / HTTP/1.1\r\n",
    ])
      assert.equal(kind(text), "opaque", JSON.stringify(text));
  });

  it("knows HTTP/2 by its preface only", () => {
    assert.equal(kind("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "http2");
    assert.equal(kind("PRI * HTTP/2.0\r\n"), "http2");
    assert.equal(kind("PRI * HTTP/2.0"), "needMore");
    assert.equal(kind("PRI * HTTP/1.1\r\n"), "http1");
  });

  it("reads SNI and ALPN of a ClientHello", () => {
    assert.deepEqual(detect(hello), {
      kind: "tls",
      serverName: "db.shop.svc.cluster.local",
      alpn: ["h2", "http/1.1"],
    });
  });

  it("passes TLS on that begins otherwise, and what only looks like it", () => {
    assert.equal(kind(Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])), "opaque");
    assert.equal(kind(Buffer.from([22, 9, 9])), "opaque");
    assert.equal(kind(Buffer.from([0x80, 0x2e, 1, 0, 2])), "opaque");
  });

  it("waits as long as the beginning could still be either, at every split", () => {
    const whole = ["PATCHY /a HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", hello];
    for (const text of whole) {
      const b = Buffer.from(text as string, "latin1");
      const source = typeof text === "string" ? b : text;
      const final = detectProtocol(source, source.length).kind;
      for (let n = 0; n <= source.length; n++) {
        const now = detectProtocol(source, n).kind;
        assert.ok(now === "needMore" || now === final, `${now} after ${n} bytes`);
      }
    }
  });

  it("decides within its bound, whatever comes", () => {
    for (const b of [
      Buffer.alloc(MAX_DETECT_BYTES, "A"),
      Buffer.from(`A ${"b".repeat(MAX_DETECT_BYTES)}`),
      Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xf0]), Buffer.alloc(MAX_DETECT_BYTES)]),
    ])
      assert.notEqual(detectProtocol(b, MAX_DETECT_BYTES).kind, "needMore");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const b = Buffer.from(bytes);
        const once = detectProtocol(b, b.length).kind;
        const more = detectProtocol(Buffer.concat([b, Buffer.from("x")]), b.length + 1).kind;
        assert.ok(once === "needMore" || once === more, "a decision holds whatever follows");
      }),
    );
  });
});

describe("portHint()", () => {
  it("takes discovery's word first, then the ports of server-first protocols", () => {
    assert.equal(portHint("", 80), "detect");
    assert.equal(portHint("", 3306), "opaque");
    assert.equal(portHint("http", 3306), "http");
    assert.equal(portHint("kubernetes.io/h2c", 80), "http");
    assert.equal(portHint("HTTPS", 443), "opaque");
    assert.equal(portHint("something-else", 80), "detect");
  });
});
