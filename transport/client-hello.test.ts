import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { connect } from "node:tls";
import fc from "fast-check";
import { type ClientHelloResult, parseClientHello } from "./client-hello.ts";

function vector(size: 1 | 2 | 3, body: Buffer): Buffer {
  const head = Buffer.alloc(size);
  head.writeUIntBE(body.length, 0, size);
  return Buffer.concat([head, body]);
}

function extension(type: number, body: Buffer): Buffer {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(type);
  return Buffer.concat([head, vector(2, body)]);
}

function serverName(name: string | Buffer, type = 0): Buffer {
  return Buffer.concat([Buffer.from([type]), vector(2, Buffer.from(name))]);
}

const sni = (...entries: Buffer[]) => extension(0, vector(2, Buffer.concat(entries)));
const alpn = (...names: string[]) =>
  extension(16, vector(2, Buffer.concat(names.map((name) => vector(1, Buffer.from(name))))));

function message(extensions: readonly Buffer[], tail = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 9),
    vector(1, Buffer.alloc(32)),
    vector(2, Buffer.from([0x13, 0x01, 0x13, 0x02])),
    vector(1, Buffer.from([0])),
    vector(2, Buffer.concat(extensions)),
    tail,
  ]);
  return Buffer.concat([Buffer.from([1]), vector(3, body)]);
}

/** `bytes` in records of at most `size`. */
function records(bytes: Buffer, size = 16_384): Buffer {
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    out.push(Buffer.from([22, 3, 1]), vector(2, bytes.subarray(at, at + size)));
  }
  return Buffer.concat(out);
}

function hello(...extensions: Buffer[]): Buffer {
  return records(message(extensions));
}

/** Takes records apart, for hellos of real clients. */
function handshakeOf(stream: Buffer): Buffer {
  return stream.subarray(5, 5 + stream.readUInt16BE(3));
}

function isMalformed(result: ClientHelloResult, reason: RegExp): void {
  assert.equal(result.kind, "malformed");
  if (result.kind === "malformed") assert.match(result.reason, reason);
}

describe("parseClientHello()", () => {
  const name = fc
    .array(fc.constantFrom(..."abcxyzABC0189-."), { minLength: 1, maxLength: 253 })
    .map((letters) => letters.join(""));
  const protocols = fc.array(fc.constantFrom("h2", "http/1.1", "causeway/1"), { minLength: 1, maxLength: 4 });

  it("gives name and protocols at every split, in any records, whatever follows", () => {
    fc.assert(
      fc.property(name, protocols, fc.integer({ min: 1, max: 400 }), (host, names, recordBytes) => {
        const bytes = records(message([alpn(...names), sni(serverName(host))]), recordBytes);
        for (let length = 0; length < bytes.length; length++) {
          assert.deepEqual(parseClientHello(bytes, length), { kind: "needMore" }, `at ${length}`);
        }
        const whole = { kind: "hello", serverName: host.toLowerCase(), alpn: names };
        assert.deepEqual(parseClientHello(bytes), whole);
        assert.deepEqual(parseClientHello(Buffer.concat([bytes, Buffer.from("anything")])), whole);
      }),
      { numRuns: 60 },
    );
  });

  it("never throws, and never takes back a verdict when more bytes come", () => {
    const start = hello(sni(serverName("a.east.mesh")), alpn("h2"));
    const change = fc.record({ at: fc.nat(start.length - 1), to: fc.nat(255) });
    fc.assert(
      fc.property(
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.uint8Array({ maxLength: 40 }),
        (changes, tail) => {
          const bytes = Buffer.concat([start, tail]);
          for (const { at, to } of changes) bytes[at] = to;
          let verdict: ClientHelloResult = { kind: "needMore" };
          for (let length = 0; length <= bytes.length; length++) {
            const result = parseClientHello(bytes, length);
            if (verdict.kind !== "needMore") assert.equal(result.kind, verdict.kind);
            verdict = result;
          }
        },
      ),
    );
  });

  it("tells at the first byte what is no TLS", () => {
    assert.equal(parseClientHello(Buffer.from("G")).kind, "notTls");
    assert.equal(parseClientHello(Buffer.from([22, 2])).kind, "notTls");
    assert.equal(parseClientHello(Buffer.from([23, 3, 3])).kind, "notTls");
    assert.equal(parseClientHello(Buffer.from([0x80, 0x2e, 1])).kind, "notTls", "SSL 2");
    assert.equal(parseClientHello(Buffer.alloc(0)).kind, "needMore");
  });

  it("gives an empty name without SNI, and without extensions", () => {
    assert.deepEqual(parseClientHello(hello(alpn("h2"))), { kind: "hello", serverName: "", alpn: ["h2"] });
    const bare = message([]);
    bare.writeUIntBE(bare.length - 6, 1, 3);
    assert.equal(parseClientHello(records(bare.subarray(0, -2))).kind, "hello");
  });

  it("refuses what is ambiguous", () => {
    const one = serverName("a.test");
    isMalformed(parseClientHello(hello(sni(one), sni(one))), /twice/);
    isMalformed(parseClientHello(hello(sni(one, one))), /more than one/);
    isMalformed(parseClientHello(hello(sni(serverName("a.test", 1)))), /host_name/);
    isMalformed(parseClientHello(hello(sni(serverName("")))), /too short/);
    isMalformed(parseClientHello(hello(sni(serverName("a".repeat(254))))), /253/);
    isMalformed(parseClientHello(hello(sni(serverName("a\0b")))), /ASCII/);
    isMalformed(parseClientHello(hello(sni(serverName("ä.test")))), /ASCII/);
    isMalformed(parseClientHello(hello(extension(0, Buffer.concat([vector(2, one), Buffer.from([0])])))), /left over/);
    isMalformed(parseClientHello(hello(alpn(""))), /too short/);
    isMalformed(parseClientHello(records(message([sni(one)], Buffer.from([0])))), /left over/);
  });

  it("refuses what is too long, before it has come", () => {
    const head = Buffer.from([22, 3, 1, 0x40, 0x00, 1, 0x00, 0x40, 0x00]);
    isMalformed(parseClientHello(head), /16 KiB/);
    isMalformed(parseClientHello(Buffer.from([22, 3, 1, 0x40, 0x01])), /record over/);
    isMalformed(parseClientHello(Buffer.from([22, 3, 1, 0, 0])), /empty/);
  });

  it("refuses other handshake messages and interleaved records", () => {
    isMalformed(parseClientHello(Buffer.from([22, 3, 1, 0, 4, 2])), /no ClientHello/);
    const part = records(message([sni(serverName("a.test"))]).subarray(0, 20));
    isMalformed(parseClientHello(Buffer.concat([part, Buffer.from([21, 3, 3, 0, 2])])), /interrupts/);
  });

  describe("with real clients", () => {
    async function firstBytes(dial: (port: number) => () => void): Promise<Buffer> {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      const stop = dial((server.address() as AddressInfo).port);
      const [socket] = (await once(server, "connection")) as [Socket];
      socket.on("error", () => {});
      let bytes = Buffer.alloc(0);
      while (parseClientHello(bytes).kind === "needMore") {
        const [chunk] = (await once(socket, "data")) as [Buffer];
        bytes = Buffer.concat([bytes, chunk]);
      }
      stop();
      socket.destroy();
      server.close();
      return bytes;
    }

    const clients: Record<string, (port: number) => () => void> = {
      "node:tls": (port) => {
        const options = { servername: "A.West.Mesh", ALPNProtocols: ["causeway/1", "h2"] };
        const socket = connect({ host: "127.0.0.1", port, ...options });
        socket.on("error", () => {});
        return () => socket.destroy();
      },
      "openssl s_client": (port) => {
        const names = ["-servername", "A.West.Mesh", "-alpn", "causeway/1,h2"];
        const child = spawn("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...names], { stdio: "ignore" });
        return () => child.kill();
      },
    };

    for (const [client, dial] of Object.entries(clients)) {
      it(`reads the ClientHello of ${client}, whole and in fragments`, async () => {
        const bytes = await firstBytes(dial);
        const expected = { kind: "hello", serverName: "a.west.mesh", alpn: ["causeway/1", "h2"] };
        assert.deepEqual(parseClientHello(bytes), expected);
        for (const size of [1, 2, 3, 5, 64, 200]) {
          assert.deepEqual(parseClientHello(records(handshakeOf(bytes), size)), expected);
        }
      });
    }
  });
});
