import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { eventually } from "../../test/support/eventually.ts";
import { OpenSsl } from "../../test/support/openssl.ts";
import {
  createProxyWorld,
  type ProxyWorld,
  type RawClient,
  rawClient,
  startApp,
  type TestApp,
} from "../../test/support/proxy-world.ts";
import type { RunningProxy } from "../start-proxy.ts";

const DETECT_MS = 300;

describe("serveDestined() inside of a CONNECT", () => {
  let world: ProxyWorld;
  let server: RunningProxy;
  let client: RunningProxy;
  let apps: TestApp[];

  before(async () => {
    world = await createProxyWorld();
    server = await world.proxy("web");
    client = await world.proxy("client", { limits: { detectMs: DETECT_MS } });
    apps = [];
    for (const name of ["one", "two"]) {
      const app = await startApp((request, response) => {
        response.end(`${name} ${request.headers.host} ${request.url}\n`);
      });
      apps.push(app);
      world.later(() => app.close());
    }
    serve(
      "web.shop:80",
      apps.map(({ port }) => port),
    );
  });
  after(() => world.close());

  function serve(authority: string, ports: readonly number[], appProtocol = ""): void {
    const identity = world.control.mesh.identity("shop", "web");
    const endpoints = ports.map((port) => ({
      id: `${authority} ${port}`,
      address: "127.0.0.1",
      port,
      proxyPort: server.inboundPort,
      identity,
      ready: true,
    }));
    world.control.service({
      authority,
      kind: "KIND_SERVICE",
      appProtocol,
      groups: [{ trustDomain: "east.mesh", endpoints }],
    });
  }

  async function listening(accept: (socket: Socket) => void): Promise<number> {
    const listener: Server = createServer(accept);
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", () => resolve()));
    world.later(() => listener.close());
    return (listener.address() as AddressInfo).port;
  }

  async function tunnel(authority: string): Promise<RawClient> {
    const raw = await rawClient(client.outboundPort);
    world.later(() => raw.socket.destroy());
    raw.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
    await raw.until((text) => text.includes("\r\n\r\n"));
    assert.match(raw.text, /^HTTP\/1\.1 200 /);
    return raw;
  }

  async function metric(pattern: RegExp): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${client.adminPort}/metrics`);
    return Number(pattern.exec(await response.text())?.[1] ?? 0);
  }

  it("balances HTTP/1.1 by request, to the service that CONNECT named, whatever Host says", async () => {
    const raw = await tunnel("web.shop:80");
    const before = await metric(/request_total\{[^}]*authority="web.shop:80"[^}]*} (\d+)/);
    for (let i = 1; i <= 12; i++) {
      raw.send(`GET /${i} HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n`);
      await raw.until((text) => text.includes(` /${i}\n`));
    }
    raw.socket.destroy();
    for (const name of ["one", "two"]) assert.match(raw.text, new RegExp(`${name} elsewhere.example /`));
    assert.equal((await metric(/request_total\{[^}]*authority="web.shop:80"[^}]*} (\d+)/)) - before, 12);
  });

  it("takes an absolute URL within it for its path and Host", async () => {
    const raw = await tunnel("web.shop:80");
    raw.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    await raw.until((text) => text.includes(" a /a\n"));
    raw.send("GET http://b.example/b HTTP/1.1\r\nHost: a\r\n\r\n");
    await raw.until((text) => text.includes(" b.example /b\n"));
    raw.send("CONNECT b.example:80 HTTP/1.1\r\nHost: b.example:80\r\n\r\n");
    assert.match(await raw.ended(), /HTTP\/1\.1 400 [\s\S]*x-causeway-error: PROXY_BAD_REQUEST/);
  });

  it("leaves a forward proxy of the mesh its own requests", async () => {
    const port = await listening((socket) => {
      socket.once("data", (data: Buffer) => socket.end(data));
      socket.on("error", () => {});
    });
    serve("squid.shop:3128", [port]);
    for (const line of ["CONNECT db.example:443 HTTP/1.1\r\n", "GET http://db.example/ HTTP/1.1\r\n"]) {
      const raw = await tunnel("squid.shop:3128");
      raw.send(`${line}Host: db.example\r\n\r\n`);
      assert.ok((await raw.ended()).endsWith(`${line}Host: db.example\r\n\r\n`));
    }
  });

  it("passes TLS through unread, and counts its server name", async () => {
    const openssl = new OpenSsl();
    world.later(() => openssl[Symbol.dispose]());
    openssl.certificate("app", "app", "subjectAltName=DNS:db.shop\n");
    const tls = createTlsServer({ key: openssl.read("app.key"), cert: openssl.read("app.pem") }, (socket) => {
      socket.on("error", () => {});
      socket.end(`you asked ${String(socket.servername)}`);
    });
    await new Promise<void>((resolve) => tls.listen(0, "127.0.0.1", () => resolve()));
    world.later(() => tls.close());
    serve("db.shop:8443", [(tls.address() as AddressInfo).port]);
    const raw = await tunnel("db.shop:8443");
    raw.socket.removeAllListeners("data");
    raw.socket.setEncoding();
    const inner = connectTls({ socket: raw.socket, servername: "db.shop", rejectUnauthorized: false });
    const chunks: Buffer[] = [];
    inner.on("data", (data: Buffer) => chunks.push(data));
    await once(inner, "end");
    inner.destroy();
    assert.equal(Buffer.concat(chunks).toString(), "you asked db.shop");
    assert.equal(await metric(/tls_passthrough_total\{direction="outbound",server_name="db.shop"} (\d+)/), 1);
  });

  it("lets the server speak first on a port that is called opaque, at once", async () => {
    const port = await listening((socket) => {
      socket.on("error", () => {});
      socket.end("220 ready\r\n");
    });
    serve("mail.shop:2525", [port], "opaque");
    serve("mail.shop:25", [port]);
    for (const authority of ["mail.shop:2525", "mail.shop:25"])
      assert.match(await (await tunnel(authority)).ended(), /220 ready\r\n$/);
    assert.equal(await metric(/protocol_detections_total\{direction="outbound",protocol="timeout"} (\d+)/), 0);
  });

  it("takes a client that stays silent for one of a server that speaks first", async () => {
    const port = await listening((socket) => {
      socket.on("error", () => {});
      socket.write("220 ready\r\n");
      socket.once("data", (data: Buffer) => socket.end(data));
    });
    serve("ftp.shop:21", [port]);
    const raw = await tunnel("ftp.shop:21");
    await raw.until((text) => text.includes("220 ready"));
    raw.send("QUIT\r\n");
    assert.match(await raw.ended(), /QUIT\r\n$/);
    assert.equal(await metric(/protocol_detections_total\{direction="outbound",protocol="timeout"} (\d+)/), 1);
  });

  it("passes on what a client says that is no protocol it knows, and its end", async () => {
    const port = await listening((socket) => {
      socket.on("error", () => {});
      const chunks: Buffer[] = [];
      socket.on("data", (data: Buffer) => chunks.push(data));
      socket.on("end", () => socket.end(Buffer.concat(chunks)));
    });
    serve("line.shop:7000", [port]);
    const raw = await tunnel("line.shop:7000");
    raw.socket.end("HELLO");
    assert.match(await raw.ended(), /HELLO$/);
  });

  it("answers 503 to a CONNECT that nobody can take", async () => {
    serve("empty.shop:80", []);
    const raw = await rawClient(client.outboundPort);
    raw.send("CONNECT empty.shop:80 HTTP/1.1\r\nHost: empty.shop:80\r\n\r\n");
    assert.match(await raw.ended(), /^HTTP\/1\.1 503 [\s\S]*x-causeway-error: PROXY_NO_ENDPOINTS/);
  });

  it("resets a connection whose endpoint cannot be reached after all", async () => {
    const port = await listening(() => {});
    serve("gone.shop:7000", [port + 1 > 65_535 ? port - 1 : port + 1]);
    const raw = await tunnel("gone.shop:7000");
    raw.send("HELLO\r\n");
    await raw.ended();
    await eventually(() => raw.socket.destroyed);
  });
});
