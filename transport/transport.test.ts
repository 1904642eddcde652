import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect as connectSocket, createServer, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { hasCode, MeshError } from "../core/errors.ts";
import { type Log, silentLog } from "../core/log.ts";
import { createTestAuthority, type TestAuthority } from "../test/support/openssl-certificates.ts";
import { Recorder } from "./byte-stream.contract.ts";
import type { ByteStream } from "./byte-stream.ts";
import { createTransport } from "./create-transport.ts";
import type { ConnectTlsOptions, Listener, ListenTlsOptions, TlsPeer, TlsSettings, Transport } from "./transport.ts";

type Accepted = { stream: ByteStream; peer: TlsPeer<string>; user: Recorder };

describe("createTransport()", () => {
  it("takes the handle adapter where its self-test passes", async () => {
    const warned: string[] = [];
    const log: Log = { ...silentLog, warn: (event) => warned.push(event) };
    assert.equal((await createTransport({ adapter: "auto", log })).adapter, "handle");
    assert.deepEqual(warned, []);
  });

  it("falls back to net with a logged reason where handles are not to be had", async () => {
    const warned: Record<string, unknown>[] = [];
    const log: Log = { ...silentLog, warn: (_event, fields = {}) => warned.push(fields) };
    const original = Object.getOwnPropertyDescriptor(process, "binding");
    Object.defineProperty(process, "binding", { value: () => ({}), configurable: true });
    try {
      assert.equal((await createTransport({ adapter: "auto", log })).adapter, "net");
      await assert.rejects(createTransport({ adapter: "handle", log }), (error) => hasCode(error, "INTERNAL"));
    } finally {
      if (original !== undefined) Object.defineProperty(process, "binding", original);
    }
    assert.equal(warned.length, 1);
    assert.match(String(warned[0]?.["reason"]), /\S/);
  });
});

function taken(stream: ByteStream, resolve: (stream: ByteStream) => void): Recorder {
  resolve(stream);
  return new Recorder();
}

for (const adapter of ["handle", "net"] as const) {
  describe(`Transport: ${adapter} adapter`, () => {
    let transport: Transport;
    let authority: TestAuthority;
    let server: TlsSettings;
    let client: TlsSettings;
    const listeners: Listener[] = [];
    const streams: ByteStream[] = [];

    before(async () => {
      transport = await createTransport({ adapter, log: silentLog });
      authority = createTestAuthority();
      const both = { ca: authority.ca, requestCert: true, minVersion: "TLSv1.3" } as const;
      server = { ...both, ...authority.issue("server.test") };
      client = { ...both, ...authority.issue("client.test") };
    });

    after(() => authority.remove());

    afterEach(async () => {
      for (const stream of streams.splice(0)) stream.destroy();
      for (const listener of listeners.splice(0)) await listener.close();
    });

    /** The subject of the leaf; wants the issuer's certificate too, as real verification does. */
    function verify(chain: readonly Buffer[]): string {
      const [leaf, issuer] = chain.map((der) => new X509Certificate(der));
      if (leaf === undefined || issuer === undefined)
        throw new MeshError("CERTIFICATE_UNTRUSTED", "Cannot verify: no chain.");
      assert.ok(leaf.checkIssued(issuer));
      return leaf.subject;
    }

    async function listen(options: Partial<ListenTlsOptions<string>> = {}) {
      const accepted: Accepted[] = [];
      const arrivals = new Recorder();
      const refusals: MeshError[] = [];
      const base = { host: "127.0.0.1", port: 0, settings: () => server, alpn: ["causeway/1"], verify };
      const onRefused = (error: MeshError) => {
        refusals.push(error);
        arrivals.onDrain();
      };
      const listener = await transport.listenTls<string>({ ...base, onRefused, ...options }, (stream, peer) => {
        const user = new Recorder();
        accepted.push({ stream, peer, user });
        streams.push(stream);
        arrivals.onDrain();
        return user;
      });
      listeners.push(listener);
      return { listener, accepted, arrivals, refusals };
    }

    function dial(port: number, options: Partial<ConnectTlsOptions<string>> = {}): Promise<Accepted> {
      const where = { host: "127.0.0.1", port, servername: "server.test", timeoutMs: 5_000 };
      const base = { ...where, settings: client, alpn: ["causeway/1"], sessionKey: `server.test:${port}`, verify };
      return new Promise((resolve, reject) =>
        transport.connectTls<string>(
          { ...base, ...options } as ConnectTlsOptions<string>,
          (stream, peer) => {
            const user = new Recorder();
            streams.push(stream);
            resolve({ stream, peer, user });
            return user;
          },
          reject,
        ),
      );
    }

    it("connectTls() and listenTls() tell each who the other is", async () => {
      const { listener, accepted, arrivals } = await listen();
      const { peer } = await dial(listener.port);
      await arrivals.until(() => accepted.length === 1);
      assert.deepEqual(peer, {
        verified: "CN=server.test",
        alpn: "causeway/1",
        servername: "server.test",
        resumed: false,
      });
      assert.deepEqual(accepted[0]?.peer, { ...peer, verified: "CN=client.test" });
    });

    it("resumes a session, and verifies the whole chain again on both sides", async () => {
      const verified: string[] = [];
      const watched = (chain: readonly Buffer[]) => {
        verified.push(verify(chain));
        return "seen";
      };
      const { listener, accepted, arrivals } = await listen({ verify: watched });
      const first = await dial(listener.port, { verify: watched });
      await arrivals.until(() => accepted.length === 1);
      // The ticket comes after the handshake: data behind it shows that it was read.
      accepted[0]?.stream.write(Buffer.from("x"), 0, 1);
      await first.user.until(() => first.user.bytes === 1);
      const second = await dial(listener.port, { verify: watched });
      await arrivals.until(() => accepted.length === 2);
      assert.equal(second.peer.resumed, true);
      assert.equal(accepted[1]?.peer.resumed, true);
      assert.deepEqual(verified.sort(), ["CN=client.test", "CN=client.test", "CN=server.test", "CN=server.test"]);
    });

    it("does not resume under another session key", async () => {
      const { listener, accepted, arrivals } = await listen();
      const first = await dial(listener.port, { sessionKey: "one" });
      await arrivals.until(() => accepted.length === 1);
      accepted[0]?.stream.write(Buffer.from("x"), 0, 1);
      await first.user.until(() => first.user.bytes === 1);
      assert.equal((await dial(listener.port, { sessionKey: "two" })).peer.resumed, false);
    });

    it("asks for its settings at each connection", async () => {
      let current = server;
      const { listener } = await listen({ settings: () => current });
      assert.equal((await dial(listener.port)).peer.verified, "CN=server.test");
      current = { ...server, ...authority.issue("rotated.test") };
      assert.equal((await dial(listener.port, { sessionKey: "fresh" })).peer.verified, "CN=rotated.test");
    });

    it("refuses what verify() refuses, on either side", async () => {
      const refuse = () => {
        throw new MeshError("IDENTITY_UNEXPECTED", "Cannot accept the peer: another was expected.");
      };
      const { listener, refusals, arrivals, accepted } = await listen({ verify: refuse });
      const { user } = await dial(listener.port);
      await user.until(() => user.closed || user.ended);
      await arrivals.until(() => refusals.length === 1);
      assert.ok(hasCode(refusals[0], "IDENTITY_UNEXPECTED"));
      assert.equal(accepted.length, 0);
      const open = await listen();
      await assert.rejects(dial(open.listener.port, { verify: refuse }), (error) =>
        hasCode(error, "IDENTITY_UNEXPECTED"),
      );
    });

    it("refuses a client of another CA, and a server of another CA", async () => {
      const stranger = createTestAuthority();
      try {
        const strange = { ...client, ca: authority.ca, ...stranger.issue("client.test") };
        const { listener, refusals, arrivals } = await listen();
        dial(listener.port, { settings: strange }).catch(() => {});
        await arrivals.until(() => refusals.length === 1);
        assert.ok(hasCode(refusals[0], "TLS_HANDSHAKE"));
        const trusting = dial(listener.port, { settings: { ...client, ca: stranger.ca } });
        await assert.rejects(trusting, (error) => hasCode(error, "TLS_HANDSHAKE"));
      } finally {
        stranger.remove();
      }
    });

    it("refuses without a common ALPN protocol", async () => {
      const { listener } = await listen();
      await assert.rejects(dial(listener.port, { alpn: ["other/1"] }), (error) => hasCode(error, "TLS_HANDSHAKE"));
    });

    it("ends a handshake that takes too long, on either side", async () => {
      const { listener, refusals, arrivals } = await listen({ handshakeTimeoutMs: 50 });
      const mute = connectSocket({ host: "127.0.0.1", port: listener.port });
      mute.on("error", () => {});
      const hungUp = once(mute, "close");
      await arrivals.until(() => refusals.length === 1);
      mute.resume();
      await hungUp;
      const silent = createServer((socket) => socket.on("error", () => {})).listen(0, "127.0.0.1");
      await once(silent, "listening");
      try {
        const { port } = silent.address() as AddressInfo;
        await assert.rejects(dial(port, { timeoutMs: 60 }), (error) =>
          hasCode(error, "PROXY_CONNECT_FAILED", "TLS_HANDSHAKE"),
        );
      } finally {
        silent.close();
      }
    });

    it("says TLS_HANDSHAKE when the server hangs up, PROXY_CONNECT_FAILED when there is none", async () => {
      const rude = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
      await once(rude, "listening");
      const { port } = rude.address() as AddressInfo;
      await assert.rejects(dial(port), (error) => hasCode(error, "TLS_HANDSHAKE"));
      rude.close();
      await once(rude, "close");
      await assert.rejects(dial(port), (error) => hasCode(error, "PROXY_CONNECT_FAILED"));
    });

    it("delivers what came in one segment with the client's Finished", async () => {
      const { listener, accepted, arrivals } = await listen();
      const servername = "server.test";
      const raw = connectSocket({ host: "127.0.0.1", port: listener.port });
      await once(raw, "connect");
      raw.cork();
      const { ca, key, cert } = client;
      const ALPNProtocols = ["causeway/1"];
      const socket = connectTls({ ca, key, cert, servername, ALPNProtocols, socket: raw });
      socket.on("error", () => {});
      socket.write("preface");
      await arrivals.until(() => accepted.length === 1);
      const user = accepted[0]?.user;
      await user?.until(() => user.bytes === 7);
      assert.equal(user?.text, "preface");
      socket.destroy();
    });

    it("connectTcp() fails with the errno as cause", async () => {
      const listener = await transport.listenTcp({ host: "127.0.0.1", port: 0 }, () => new Recorder());
      await listener.close();
      const where = { host: "127.0.0.1", port: listener.port, timeoutMs: 1_000 };
      const error = await new Promise<MeshError>((resolve) =>
        transport.connectTcp(where, () => new Recorder(), resolve),
      );
      assert.equal(error.code, "PROXY_CONNECT_FAILED");
      assert.equal((error.cause as NodeJS.ErrnoException).code, "ECONNREFUSED");
      assert.match(error.message, /ECONNREFUSED/);
    });

    it("connectTcp() calls nothing back once it is cancelled", async () => {
      const accepted = new Recorder();
      const listener = await transport.listenTcp({ host: "127.0.0.1", port: 0 }, () => accepted);
      listeners.push(listener);
      const where = { host: "127.0.0.1", port: listener.port, timeoutMs: 1_000 };
      const called: string[] = [];
      const cancel = transport.connectTcp(
        where,
        () => {
          called.push("connect");
          return new Recorder();
        },
        () => called.push("fail"),
      );
      cancel();
      cancel();
      const other = await new Promise<ByteStream>((resolve, reject) =>
        transport.connectTcp(where, (stream) => taken(stream, resolve), reject),
      );
      other.destroy();
      assert.deepEqual(called, []);
    });

    it("connectTcp() dials by name, and from a given local address", async () => {
      let from = "";
      const listener = await transport.listenTcp({ host: "localhost", port: 0 }, (stream) => {
        from = stream.remoteAddress;
        streams.push(stream);
        return new Recorder();
      });
      listeners.push(listener);
      const where = { host: "127.0.0.1", port: listener.port, timeoutMs: 1_000, localAddress: "127.0.0.9" };
      const user = new Recorder();
      await new Promise<void>((resolve, reject) =>
        transport.connectTcp(
          where,
          (stream) => {
            streams.push(stream);
            assert.equal(stream.localAddress, "127.0.0.9");
            resolve();
            return user;
          },
          reject,
        ),
      );
      for (const stream of streams) stream.end();
      await user.until(() => user.closed);
      assert.equal(from, "127.0.0.9");
    });

    it("listenTcp() says PORT_IN_USE", async () => {
      const listener = await transport.listenTcp({ host: "127.0.0.1", port: 0 }, () => new Recorder());
      listeners.push(listener);
      const again = transport.listenTcp({ host: "127.0.0.1", port: listener.port }, () => new Recorder());
      await assert.rejects(again, (error) => hasCode(error, "PORT_IN_USE"));
    });

    it("listenTcp() closes connections over maxConnections", async () => {
      const accepted: ByteStream[] = [];
      const listener = await transport.listenTcp({ host: "127.0.0.1", port: 0, maxConnections: 1 }, (stream) => {
        accepted.push(stream);
        streams.push(stream);
        return new Recorder();
      });
      listeners.push(listener);
      const first = connectSocket({ host: "127.0.0.1", port: listener.port });
      await once(first, "connect");
      const second: Socket = connectSocket({ host: "127.0.0.1", port: listener.port });
      second.on("error", () => {});
      await new Promise((resolve) => second.resume().once("close", resolve));
      assert.equal(accepted.length, 1);
      first.destroy();
    });
  });
}
