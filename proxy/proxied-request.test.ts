import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Agent } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { eventually } from "../test/support/eventually.ts";
import {
  ask,
  createProxyWorld,
  type ProxyWorld,
  rawClient,
  startApp,
  type TestApp,
} from "../test/support/proxy-world.ts";
import type { RunningProxy } from "./start-proxy.ts";

/** What each connection to a scripted server is answered. */
type Script = (socket: Socket, text: string) => void;

describe("a proxied request", () => {
  let world: ProxyWorld;
  let app: TestApp;
  let server: RunningProxy;
  let client: RunningProxy;

  before(async () => {
    world = await createProxyWorld();
    app = await startApp((request, response) => {
      if (request.url === "/early") {
        response.writeHead(413, { "content-length": 2 });
        response.end("no");
        return;
      }
      if (request.url === "/hints") response.writeEarlyHints({ link: "</a>; rel=preload" });
      const hash = createHash("sha256");
      let bytes = 0;
      request.on("data", (data: Buffer) => {
        bytes += data.length;
        hash.update(data);
      });
      request.on("end", () => {
        if (request.url === "/big") return response.end(Buffer.alloc(3_000_000, 97));
        if (request.url === "/chunked") {
          response.write("one,");
          return setImmediate(() => response.end("two"));
        }
        if (request.url === "/status") return response.writeHead(204).end();
        response.setHeader("x-causeway-error", "FORGED");
        response.setHeader("x-seen", JSON.stringify(request.headers));
        return response.end(`${request.method} ${request.url} ${bytes} ${hash.digest("hex")}`);
      });
    });
    world.later(() => app.close());
    server = await world.proxy("web");
    client = await world.proxy("client", { limits: { headMs: 300, bodyMs: 300 } });
    serve("web.shop:80", app.port);
    world.control.fallback((authority) => (authority.startsWith("127.0.0.1:") ? { kind: "KIND_EXTERNAL" } : undefined));
  });
  after(() => world.close());

  function serve(authority: string, port: number): void {
    const identity = world.control.mesh.identity("shop", "web");
    const endpoint = {
      id: authority,
      address: "127.0.0.1",
      port,
      proxyPort: server.inboundPort,
      identity,
      ready: true,
    };
    world.control.service({
      authority,
      kind: "KIND_SERVICE",
      groups: [{ trustDomain: "east.mesh", endpoints: [endpoint] }],
    });
  }

  /** A server that answers by script, as the service `authority`. */
  async function scripted(authority: string, script: Script): Promise<void> {
    const listener: Server = createServer((socket) => {
      let text = "";
      socket.setEncoding("latin1");
      socket.on("error", () => {});
      socket.on("data", (data: string) => {
        text += data;
        script(socket, text);
      });
    });
    await new Promise<void>((resolve) => listener.listen({ host: "127.0.0.1", port: 0 }, resolve));
    world.later(() => void listener.close());
    const bound = listener.address();
    serve(authority, typeof bound === "object" && bound !== null ? bound.port : 0);
  }

  it("keeps connections alive on all three legs", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    assert.equal((await ask(client.outboundPort, "web.shop", { agent })).status, 200);
    const before = app.accepted;
    for (let i = 0; i < 5; i++) assert.equal((await ask(client.outboundPort, "web.shop", { agent })).status, 200);
    agent.destroy();
    assert.equal(app.accepted, before);
  });

  it("hides what only the mesh may say, in both directions", async () => {
    const headers = {
      "x-causeway-retries-left": "1",
      "x-causeway-client-id": "spiffe://forged",
      x_causeway_other: "y",
      "x-mine": "z",
    };
    const answer = await ask(client.outboundPort, "web.shop", { headers });
    const seen = JSON.parse(String(answer.headers["x-seen"])) as Record<string, string>;
    assert.equal(seen["x-causeway-client-id"], "spiffe://east.mesh/ns/shop/sa/client");
    assert.equal(seen["x_causeway_other"], undefined);
    assert.equal(seen["x-mine"], "z");
    assert.equal(seen["x-causeway-retries-left"], "1");
    assert.equal(answer.headers["x-causeway-error"], undefined);
  });

  it("carries bodies of a few MB both ways, by length and in chunks", async () => {
    const body = randomBytes(3_000_000);
    const sum = createHash("sha256").update(body).digest("hex");
    const sent = await ask(client.outboundPort, "web.shop", { method: "POST", path: "/up", body });
    assert.equal(sent.body, `POST /up 3000000 ${sum}`);
    const chunked = await ask(client.outboundPort, "web.shop", {
      method: "PUT",
      path: "/up",
      body,
      headers: { "transfer-encoding": "chunked" },
    });
    assert.equal(chunked.body, `PUT /up 3000000 ${sum}`);
    assert.equal((await ask(client.outboundPort, "web.shop", { path: "/big" })).body.length, 3_000_000);
    assert.equal((await ask(client.outboundPort, "web.shop", { path: "/chunked" })).body, "one,two");
  });

  it("answers pipelined requests in order", async () => {
    const raw = await rawClient(client.outboundPort);
    raw.send(
      ["/1", "/chunked", "/status", "/4"].map((path) => `GET ${path} HTTP/1.1\r\nHost: web.shop\r\n\r\n`).join(""),
    );
    const text = await raw.until((all) => all.includes("GET /4 0"));
    assert.match(text, /GET \/1 0[\s\S]*one,[\s\S]*two[\s\S]*204 No Content[\s\S]*GET \/4 0/);
    raw.socket.destroy();
  });

  it("passes a request on however it is cut into reads", async () => {
    const text = "POST /cut HTTP/1.1\r\nHost: web.shop\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    const sum = createHash("sha256").update("hello").digest("hex");
    const raw = await rawClient(client.outboundPort);
    raw.socket.setNoDelay(true);
    for (let cut = 1, answers = 0; cut < text.length; cut += 7) {
      raw.send(text.slice(0, cut));
      await new Promise((resolve) => setImmediate(resolve));
      raw.send(text.slice(cut));
      answers++;
      await raw.until((all) => all.split(`POST /cut 5 ${sum}`).length === answers + 1);
    }
    raw.socket.destroy();
  });

  it("frames answers to HEAD, 204 and HTTP/1.0 as they must be", async () => {
    const head = await ask(client.outboundPort, "web.shop", { method: "HEAD" });
    assert.deepEqual([head.status, head.body], [200, ""]);
    assert.equal((await ask(client.outboundPort, "web.shop", { path: "/status" })).status, 204);
    const raw = await rawClient(client.outboundPort);
    raw.send("GET /chunked HTTP/1.0\r\nHost: web.shop\r\n\r\n");
    const text = await raw.ended();
    assert.match(text, /^HTTP\/1\.1 200 OK\r\n[\s\S]*connection: close\r\n\r\none,two$/);
  });

  it("passes 1xx answers, 100-continue among them", async () => {
    const raw = await rawClient(client.outboundPort);
    raw.send("POST /hints HTTP/1.1\r\nHost: web.shop\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    await raw.until((text) => text.includes("HTTP/1.1 100 Continue\r\n\r\n"));
    raw.send("hi");
    assert.match(
      await raw.until((text) => text.includes("POST /hints 2")),
      /HTTP\/1\.1 103 Early Hints\r\n[\s\S]*HTTP\/1\.1 200 OK/,
    );
    raw.socket.destroy();
  });

  it("closes after an answer that came before the request was complete", async () => {
    const raw = await rawClient(client.outboundPort);
    raw.send("POST /early HTTP/1.1\r\nHost: web.shop\r\nContent-Length: 100000\r\n\r\nabc");
    assert.match(await raw.ended(), /^HTTP\/1\.1 413 [\s\S]*connection: close\r\n[\s\S]*no$/);
  });

  it("tunnels an upgrade", async () => {
    await scripted("ws.shop:80", (socket, text) => {
      if (text.endsWith("\r\n\r\n")) {
        assert.match(text, /connection: upgrade\r\n/i);
        socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nwelcome ");
      } else socket.write(`<${text.slice(text.indexOf("\r\n\r\n") + 4)}>`);
    });
    const raw = await rawClient(client.outboundPort);
    raw.send("GET / HTTP/1.1\r\nHost: ws.shop\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    await raw.until((text) => text.includes("welcome "));
    raw.send("hi");
    assert.match(
      await raw.until((text) => text.includes("<hi>")),
      /^HTTP\/1\.1 101 [\s\S]*Upgrade: echo\r\nconnection: upgrade\r\n/,
    );
    raw.socket.destroy();
  });

  it("tunnels CONNECT to a service of the mesh and outside of it", async () => {
    for (const authority of ["web.shop:80", `127.0.0.1:${app.port}`]) {
      const raw = await rawClient(client.outboundPort);
      raw.send(
        `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\nGET /early-bytes HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
      );
      assert.match(
        await raw.ended(),
        /^HTTP\/1\.1 200 Connection established\r\n\r\nHTTP\/1\.1 200 OK[\s\S]*GET \/early-bytes 0/,
      );
    }
  });

  it("reaches names outside of the mesh without it", async () => {
    const answer = await ask(client.outboundPort, `127.0.0.1:${app.port}`, { path: "/out" });
    assert.match(answer.body, /^GET \/out 0/);
    assert.doesNotMatch(String(answer.headers["x-seen"]), /causeway/);
  });

  it("answers 503 for a name that is unknown, and for one that control does not answer", async () => {
    world.control.service({ authority: "no.shop:80", kind: "KIND_NOT_FOUND" });
    const unknown = await ask(client.outboundPort, "no.shop");
    assert.deepEqual([unknown.status, unknown.headers["x-causeway-error"]], [503, "PROXY_UNKNOWN_SERVICE"]);
    const impatient = await world.proxy("client", { limits: { lookupMs: 50 } });
    const silent = await ask(impatient.outboundPort, "silent.shop");
    assert.deepEqual([silent.status, silent.headers["x-causeway-error"]], [503, "PROXY_TIMEOUT"]);
  });

  for (const [what, text, status] of [
    [
      "both lengths",
      "POST / HTTP/1.1\r\nHost: web.shop\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      400,
    ],
    ["malformed chunks", "POST / HTTP/1.1\r\nHost: web.shop\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400],
    ["a bare line feed", "GET / HTTP/1.1\nHost: web.shop\n\n", 400],
    ["a head over 64 KiB", `GET / HTTP/1.1\r\nHost: web.shop\r\nX: ${"y".repeat(70_000)}`, 431],
    ["a head that does not end in time", "GET / HTTP/1.1\r\nHost: web.sh", 408],
    ["a body that does not come in time", "POST / HTTP/1.1\r\nHost: web.shop\r\nContent-Length: 9\r\n\r\nabc", 408],
    ["an https URL", "GET https://web.shop/ HTTP/1.1\r\nHost: web.shop\r\n\r\n", 400],
    ["a malformed Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400],
  ] as const) {
    it(`refuses ${what} and ends the connection`, async () => {
      const raw = await rawClient(client.outboundPort);
      raw.send(text);
      const answer = await raw.ended();
      assert.equal(Number(answer.slice(9, 12)), status);
      assert.equal(answer.split("HTTP/1.1 ").length, 2);
    });
  }

  it("turns an answer that breaks the rules into 502", async () => {
    await scripted(
      "bad.shop:80",
      (socket) => void socket.end("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    );
    const { status, headers } = await ask(client.outboundPort, "bad.shop");
    assert.deepEqual([status, headers["x-causeway-error"]], [502, "PROXY_BAD_RESPONSE"]);
  });

  it("sends a GET again that got no answer, but never a POST", async () => {
    const seen: string[] = [];
    await scripted("flaky.shop:80", (socket, text) => {
      if (!text.endsWith("\r\n\r\n")) return;
      seen.push(text.slice(0, 4));
      if (seen.length === 1) socket.destroy();
      else socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    assert.equal((await ask(client.outboundPort, "flaky.shop")).body, "ok");
    assert.deepEqual(seen, ["GET ", "GET "]);
    seen.length = 0;
    const post = await ask(client.outboundPort, "flaky.shop", { method: "POST" });
    assert.deepEqual([post.status, post.headers["x-causeway-error"], seen.length], [502, "PROXY_RESET", 1]);
  });

  it("says of a GET that was lost each time what happened to it, not that nobody is there", async () => {
    await scripted("lost.shop:80", (socket) => void socket.destroy());
    const { status, headers } = await ask(client.outboundPort, "lost.shop");
    assert.deepEqual([status, headers["x-causeway-error"]], [502, "PROXY_RESET"]);
  });

  it("cuts the client's answer short when the app's is cut short", async () => {
    await scripted(
      "cut.shop:80",
      (socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", () => socket.destroy()),
    );
    await assert.rejects(ask(client.outboundPort, "cut.shop"), /aborted|hang up|ECONNRESET/);
  });

  it("shows metrics, state and readiness at the admin port", async () => {
    const get = async (path: string, method = "GET") => {
      const answer = await fetch(`http://127.0.0.1:${client.adminPort}${path}`, { method });
      return { status: answer.status, text: await answer.text() };
    };
    assert.equal((await get("/live")).status, 200);
    const { text } = await get("/metrics");
    assert.match(
      text,
      /request_total\{direction="outbound",authority="web\.shop:80",client_id="",server_id="spiffe:\/\/east\.mesh\/ns\/shop\/sa\/web",peer_cluster=""\} [1-9]/,
    );
    assert.match(text, /response_latency_ms_bucket\{[^}]*le="\+Inf"\} [1-9]/);
    assert.match((await get("/config")).text, /"web.shop:80"/);
    assert.equal((await get("/drain")).status, 405);
    assert.equal((await get("/nothing")).status, 404);
  });

  it("goes on with what control said last while control is away", async () => {
    await world.control.close();
    await eventually(() => world.control.watchers === 0);
    assert.equal((await ask(client.outboundPort, "web.shop")).status, 200);
  });
});
