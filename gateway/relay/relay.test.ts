import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { createTestAuthority, type TestAuthority } from "../../test/support/openssl-certificates.ts";
import { createTransport } from "../../transport/create-transport.ts";
import { type Relay, type RelayOptions, startRelay } from "./relay.ts";
import type { RelayRoute } from "./relay-connection.ts";

for (const adapter of ["handle", "net"] as const) {
  describe(`startRelay() on the ${adapter} adapter`, () => {
    let authority: TestAuthority;
    let tlsServer: Server;
    let relay: Relay;
    let dialled = 0;
    let routes: Map<string, RelayRoute>;
    let removed: (key: string) => void;
    const opened: Socket[] = [];

    before(async () => {
      authority = createTestAuthority();
      const pair = authority.issue("a.east.mesh");
      tlsServer = createTlsServer(pair, serveText);
      tlsServer.on("connection", () => dialled++);
      tlsServer.listen(0, "127.0.0.1");
      await once(tlsServer, "listening");
    });

    after(() => {
      tlsServer.close();
      authority.remove();
    });

    beforeEach(async () => {
      dialled = 0;
      routes = new Map([["a.east.mesh", { host: "127.0.0.1", port: portOf(tlsServer), key: "a", peer: "west" }]]);
      relay = await start();
    });

    afterEach(async () => {
      for (const socket of opened.splice(0)) socket.destroy();
      await relay.close();
    });

    async function start(options: Partial<RelayOptions> = {}): Promise<Relay> {
      return await startRelay({
        transport: await createTransport({ adapter, log: silentLog }),
        host: "127.0.0.1",
        port: 0,
        routes: {
          lookup: (name) => routes.get(name),
          onRemoved: (listener) => {
            removed = (key) => listener(new Set([key]));
            return () => {};
          },
        },
        clock: systemClock,
        log: silentLog,
        ...options,
      });
    }

    async function restart(options: Partial<RelayOptions>): Promise<void> {
      await relay.close();
      relay = await start(options);
    }

    function dial(servername: string): TLSSocket {
      const checkServerIdentity = () => undefined;
      const socket = connectTls({ socket: dialPlain(), servername, ca: authority.ca, checkServerIdentity });
      opened.push(socket);
      return socket;
    }

    function dialPlain(): Socket {
      const socket = connect({ host: "127.0.0.1", port: relay.port, allowHalfOpen: true });
      opened.push(socket);
      return socket;
    }

    it("carries a TLS connection to the endpoint that its SNI names, whatever the case", async () => {
      const socket = dial("A.East.Mesh");
      await once(socket, "secureConnect");
      assert.ok(socket.authorized);
      assert.equal(await ask(socket, "hello"), "you said hello");
      assert.equal(relay.stats().relayed, 1);
    });

    it("is transparent to openssl s_client", async () => {
      const args = ["s_client", "-connect", `127.0.0.1:${relay.port}`, "-servername", "a.east.mesh"];
      const output = await openssl([...args, "-CAfile", `${authority.directory}/root.pem`, "-verify_return_error"]);
      assert.match(output, /Verify return code: 0/);
    });

    it("answers an unknown name with the alert unrecognized_name, and dials nothing", async () => {
      const output = await openssl(["s_client", "-connect", `127.0.0.1:${relay.port}`, "-servername", "b.east.mesh"]);
      assert.match(output, /alert number 112|unrecognized name/);
      assert.equal(dialled, 0);
      assert.equal(relay.stats().refusals.unknown_route, 1);
    });

    it("answers a missing name the same way", async () => {
      const output = await openssl(["s_client", "-connect", `127.0.0.1:${relay.port}`, "-noservername"]);
      assert.match(output, /alert number 112|unrecognized name/);
      assert.equal(relay.stats().refusals.no_server_name, 1);
      assert.equal(dialled, 0);
    });

    it("drops what is no TLS at its first bytes", async () => {
      const socket = dialPlain();
      socket.write("GET / HTTP/1.1\r\nHost: a.east.mesh\r\n\r\n");
      await closeOf(socket);
      assert.equal(relay.stats().refusals.not_tls, 1);
    });

    it("drops a client whose ClientHello takes too long", async () => {
      await restart({ limits: { handshakeTimeoutMs: 60 } });
      const socket = dialPlain();
      socket.write(Buffer.from([22, 3, 1, 2, 0]));
      await closeOf(socket);
      assert.equal(relay.stats().refusals.handshake_timeout, 1);
    });

    it("accepts a ClientHello byte by byte", async () => {
      const socket = dial("a.east.mesh");
      await once(socket, "secureConnect");
      socket.destroy();
      const hello = await captureHello("a.east.mesh");
      const slow = dialPlain();
      slow.setNoDelay(true);
      await once(slow, "connect");
      for (const byte of hello) {
        slow.write(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      const [answer] = (await once(slow, "data")) as [Buffer];
      assert.equal(answer[0], 22, "a ServerHello");
    });

    it("cuts live connections whose route was removed", async () => {
      const socket = dial("a.east.mesh");
      await once(socket, "secureConnect");
      const closed = closeOf(socket);
      routes.clear();
      removed("another");
      assert.equal(relay.stats().open, 1);
      removed("a");
      await closed;
      assert.equal(relay.stats().cuts.route, 1);
    });

    it("resets the client when the endpoint refuses", async () => {
      const closedPort = await freePort();
      routes.set("a.east.mesh", { host: "127.0.0.1", port: closedPort, key: "a" });
      const socket = dial("a.east.mesh");
      const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
      assert.equal(error.code, "ECONNRESET");
      assert.equal(relay.stats().refusals.upstream_failed, 1);
    });

    it("passes on what a client says and its end while the endpoint is still being dialled", async () => {
      const heard: Buffer[] = [];
      const endpoint = createServer((socket) => {
        socket.on("data", (data: Buffer) => heard.push(data));
        socket.on("end", () => socket.end("all heard"));
      });
      endpoint.listen(0, "127.0.0.1");
      await once(endpoint, "listening");
      try {
        routes.set("a.east.mesh", { host: "localhost", port: portOf(endpoint), key: "a" });
        const hello = await captureHello("a.east.mesh");
        const socket = dialPlain();
        const answer: Buffer[] = [];
        socket.on("data", (data: Buffer) => answer.push(data));
        const more = Buffer.alloc(200_000, "m");
        socket.write(hello);
        socket.end(more);
        await closeOf(socket);
        assert.equal(Buffer.concat(answer).toString(), "all heard");
        assert.ok(Buffer.concat(heard).equals(Buffer.concat([hello, more])));
      } finally {
        endpoint.close();
      }
    });

    it("keeps half-close: an answer after the client's end arrives", async () => {
      const socket = dial("a.east.mesh");
      await once(socket, "secureConnect");
      socket.end("bye");
      assert.equal(await textOf(socket), "you said bye");
    });

    it("makes room at the expense of who has not said for longest where it goes", async () => {
      await restart({ limits: { unrouted: 2 } });
      const first = dialPlain();
      await once(first, "connect");
      for (const other of [dialPlain(), dialPlain()]) other.on("error", () => {});
      first.on("error", () => {}).resume();
      await new Promise((resolve) => first.once("close", resolve));
      assert.equal(relay.stats().refusals.unrouted_limit, 1);
      const socket = dial("a.east.mesh");
      await once(socket, "secureConnect");
    });

    it("refuses what is over the limits", async () => {
      await restart({ limits: { connections: 2, perPeer: 1 } });
      const first = dial("a.east.mesh");
      await once(first, "secureConnect");
      const second = dial("a.east.mesh");
      await once(second, "error");
      assert.equal(relay.stats().refusals.peer_limit, 1);
      const held = dialPlain();
      await once(held, "connect");
      const third = dialPlain();
      const [error] = (await once(third.resume(), "error")) as [NodeJS.ErrnoException];
      assert.equal(error.code, "ECONNRESET");
      assert.equal(relay.stats().refusals.connection_limit, 1);
    });

    it("cuts a connection that is silent for too long", async () => {
      await restart({ idleTimeoutMs: 80 });
      const socket = dial("a.east.mesh");
      await once(socket, "secureConnect");
      await closeOf(socket);
      assert.equal(relay.stats().cuts.idle, 1);
    });

    it("drain() accepts no more, lets go what ends, and cuts the rest at the deadline", async () => {
      const ending = dial("a.east.mesh");
      const lasting = dial("a.east.mesh");
      await Promise.all([once(ending, "secureConnect"), once(lasting, "secureConnect")]);
      lasting.on("error", () => {});
      const { port } = relay;
      const drained = relay.drain(150);
      const late = connect({ host: "127.0.0.1", port });
      const [error] = (await once(late, "error")) as [NodeJS.ErrnoException];
      assert.equal(error.code, "ECONNREFUSED");
      ending.end("last");
      assert.equal(await textOf(ending), "you said last");
      assert.equal(await drained, 1);
      assert.equal(relay.stats().open, 0);
    });

    it("drain() is done at once when nothing is open", async () => {
      assert.equal(await relay.drain(60_000), 0);
    });

    it("metricsText() names its counters", async () => {
      const socket = dial("a.east.mesh");
      await once(socket, "secureConnect");
      const text = relay.metricsText();
      assert.match(text, /^relay_open_connections 1$/m);
      assert.match(text, /^relay_bytes_total\{direction="in"\} [1-9]\d*$/m);
      assert.match(text, /^relay_refusals_total\{reason="unknown_route"\} 0$/m);
    });

    const bulkMegabytes = adapter === "handle" ? 200 : 32;
    it(`carries ${bulkMegabytes} MB unchanged at the reader's pace, with bounded memory`, async function () {
      this.timeout(60_000);
      const total = bulkMegabytes * 1024 * 1024;
      const hello = await captureHello("a.east.mesh");
      const sink = createServer((socket) => void pour(socket, total)).listen(0, "127.0.0.1");
      await once(sink, "listening");
      routes.set("a.east.mesh", { host: "127.0.0.1", port: portOf(sink), key: "a" });
      try {
        const before = process.memoryUsage().rss;
        const socket = dialPlain();
        socket.write(hello);
        const hash = createHash("sha256");
        let got = 0;
        for await (const chunk of socket as AsyncIterable<Buffer>) {
          hash.update(chunk);
          got += chunk.length;
        }
        assert.equal(got, total);
        assert.equal(hash.digest("hex"), expectedHash(total));
        assert.ok(process.memoryUsage().rss - before < 120 * 1024 * 1024);
      } finally {
        sink.close();
      }
    });

    /** What a client would send first. */
    async function captureHello(servername: string): Promise<Buffer> {
      const catcher = createServer().listen(0, "127.0.0.1");
      await once(catcher, "listening");
      const client = connectTls({ host: "127.0.0.1", port: portOf(catcher), servername });
      client.on("error", () => {});
      const [socket] = (await once(catcher, "connection")) as [Socket];
      const [hello] = (await once(socket, "data")) as [Buffer];
      client.destroy();
      socket.destroy();
      catcher.close();
      return hello;
    }
  });
}

function serveText(socket: Socket): void {
  socket.on("error", () => {});
  let said = "";
  socket.on("data", (chunk: Buffer) => {
    said += chunk.toString();
    if (said === "hello") socket.write(`you said ${said}`);
  });
  socket.on("end", () => socket.end(said === "hello" ? "" : `you said ${said}`));
}

async function ask(socket: TLSSocket, question: string): Promise<string> {
  socket.write(question);
  const [answer] = (await once(socket, "data")) as [Buffer];
  return answer.toString();
}

async function textOf(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket as AsyncIterable<Buffer>) text += chunk.toString();
  return text;
}

/** Resolves when the connection is gone, orderly or not. */
function closeOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on("error", () => {});
    socket.on("end", () => socket.end());
    socket.once("close", () => resolve());
    socket.resume();
  });
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const port = portOf(server);
  server.close();
  await once(server, "close");
  return port;
}

/** Runs `openssl` with an empty input, whatever its exit status. */
function openssl(args: string[]): Promise<string> {
  return new Promise((resolve) => {
    const child = execFile("openssl", args, { timeout: 10_000 }, (_error, stdout, stderr) => resolve(stdout + stderr));
    child.stdin?.end();
  });
}

const PATTERNS = Array.from({ length: 7 }, (_, i) => Buffer.alloc(1 << 20, `pattern ${i}`));

function patternChunk(round: number): Buffer {
  return PATTERNS[round % PATTERNS.length] ?? Buffer.alloc(0);
}

function expectedHash(total: number): string {
  const hash = createHash("sha256");
  for (let round = 0; round < total >> 20; round++) hash.update(patternChunk(round));
  return hash.digest("hex");
}

async function pour(socket: Socket, total: number): Promise<void> {
  socket.on("error", () => {});
  for (let round = 0; round < total >> 20; round++) {
    if (!socket.write(patternChunk(round))) await once(socket, "drain");
  }
  socket.end();
}
