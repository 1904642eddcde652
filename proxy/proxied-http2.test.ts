import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { type ClientHttp2Session, constants, type ServerHttp2Stream } from "node:http2";
import { Readable } from "node:stream";
import { eventually } from "../test/support/eventually.ts";
import { ask2, type Http2App, http2Client, startHttp2App } from "../test/support/http2-peers.ts";
import { createProxyWorld, type ProxyWorld } from "../test/support/proxy-world.ts";
import type { RunningProxy } from "./start-proxy.ts";

const sumOf = (b: Buffer | string) => createHash("sha256").update(b).digest("hex");

for (const adapter of ["handle", "net"] as const) {
  describe(`a proxied HTTP/2 request on the ${adapter} adapter`, () => {
    let world: ProxyWorld;
    let app: Http2App;
    let server: RunningProxy;
    let client: RunningProxy;
    let session: ClientHttp2Session;
    const kept: ServerHttp2Stream[] = [];

    before(async () => {
      world = await createProxyWorld();
      app = await startHttp2App(
        (stream, headers) => {
          const path = String(headers[":path"]);
          if (path === "/keep") {
            kept.push(stream);
            return;
          }
          if (path === "/refuse") {
            stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
            return;
          }
          if (path === "/big") {
            stream.respond({ ":status": 200 });
            const chunk = Buffer.alloc(65_536);
            const chunks = Math.ceil(Number(headers["x-bytes"]) / chunk.length);
            Readable.from(Array.from({ length: chunks }, () => chunk)).pipe(stream);
            return;
          }
          if (headers[":method"] === "CONNECT") {
            stream.respond({ ":status": 200 });
            stream.on("data", (chunk: Buffer) => stream.write(`<${chunk.toString()}>`));
            stream.on("end", () => stream.end("bye"));
            return;
          }
          const chunks: Buffer[] = [];
          stream.on("data", (chunk: Buffer) => chunks.push(chunk));
          stream.on("trailers", (trailers) => chunks.push(Buffer.from(`|${trailers["x-sum"]}`)));
          stream.on("end", () => {
            const body = Buffer.concat(chunks);
            if (path === "/hints") stream.additionalHeaders({ ":status": 103, link: "</a>" });
            stream.respond(
              { ":status": 200, "x-seen": JSON.stringify(headers), "x-sum": sumOf(body), "x-causeway-error": "fake" },
              { waitForTrailers: path === "/trailers" },
            );
            stream.on("wantTrailers", () => stream.sendTrailers({ "x-end": "yes" }));
            if (headers[":method"] === "HEAD") stream.end();
            else stream.end(path === "/echo" ? body : `${headers[":method"]} ${path} ${body.length}`);
          });
        },
        { settings: { enableConnectProtocol: true, maxConcurrentStreams: 50 } },
      );
      world.later(() => app.close());
      server = await world.proxy("web", { adapter });
      client = await world.proxy("client", { adapter });
      serve("web.shop:80", app.port);
      session = await http2Client(client.outboundPort);
      world.later(() => session.destroy());
    });
    after(() => world.close());
    afterEach(() => {
      for (const stream of kept.splice(0)) stream.destroy();
    });

    function serve(authority: string, ...ports: number[]): void {
      const identity = world.control.mesh.identity("shop", "web");
      const endpoints = ports.map((port) => ({
        id: `w${port}`,
        address: "127.0.0.1",
        port,
        proxyPort: server.inboundPort,
        identity,
        ready: true,
      }));
      world.control.service({ authority, kind: "KIND_SERVICE", groups: [{ trustDomain: "east.mesh", endpoints }] });
    }

    const to = (path: string, more: Record<string, string> = {}) => ({
      ":path": path,
      ":authority": "web.shop",
      ...more,
    });

    it("comes back with what the app says, which learns who asked", async () => {
      const got = await ask2(session, to("/a", { "x-causeway-client-id": "spiffe://forged/ns/a/sa/b" }));
      assert.deepEqual([got.status, got.body.toString()], [200, "GET /a 0"]);
      const seen = JSON.parse(String(got.headers["x-seen"])) as Record<string, string>;
      assert.equal(seen["x-causeway-client-id"], "spiffe://east.mesh/ns/shop/sa/client");
      assert.equal(seen["x-causeway-retries-left"], "2");
      assert.equal(seen[":authority"], "web.shop");
      assert.equal(got.headers["x-causeway-error"], undefined);
    });

    it("carries bodies, trailers and 1xx answers both ways", async () => {
      const posted = await ask2(session, to("/trailers", { ":method": "POST" }), "hello");
      assert.deepEqual([posted.body.toString(), posted.trailers["x-end"]], ["POST /trailers 5", "yes"]);
      const hinted = await ask2(session, to("/hints"));
      assert.deepEqual([hinted.informational[0]?.["link"], hinted.status], ["</a>", 200]);
      const withTrailers = session.request(to("/echo", { ":method": "POST" }), { waitForTrailers: true });
      withTrailers.on("wantTrailers", () => withTrailers.sendTrailers({ "x-sum": "17" }));
      withTrailers.end("body");
      let text = "";
      for await (const chunk of withTrailers) text += String(chunk);
      assert.equal(text, "body|17");
      assert.equal((await ask2(session, to("/head", { ":method": "HEAD" }))).status, 200);
    });

    it("carries megabytes both ways at once, on many streams", async () => {
      const body = randomBytes(1_000_000);
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, i) => ask2(session, to("/echo", { ":method": "POST", "x-i": String(i) }), body)),
      );
      for (const answer of answers) assert.equal(sumOf(answer.body), sumOf(body));
    });

    it("holds a fast sender to the pace of a slow reader", async () => {
      const stream = session.request(to("/big", { "x-bytes": "50000000" }));
      stream.pause();
      await new Promise((resolve) => stream.once("response", resolve));
      // Other streams of the connection go on meanwhile.
      for (let i = 0; i < 20; i++) assert.equal((await ask2(session, to("/beside"))).status, 200);
      const [appSession] = app.sessions;
      const taken = () => appSession?.socket.bytesWritten ?? 0;
      await eventually(async () => {
        const before = taken();
        await new Promise((resolve) => setTimeout(resolve, 50));
        return taken() === before;
      });
      assert.ok(taken() < 20_000_000, `${taken()} bytes were taken`);
      stream.close(constants.NGHTTP2_CANCEL);
    });

    it("shares one connection to the app among all", async () => {
      await Promise.all(Array.from({ length: 40 }, (_, i) => ask2(session, to(`/${i}`))));
      assert.ok(app.sessions.size <= 2, `${app.sessions.size} connections`);
    });

    it("makes more connections where the app limits the streams of one", async () => {
      const asked = Array.from({ length: 120 }, () => ask2(session, to("/keep")));
      await eventually(() => kept.length === 120);
      assert.ok(app.sessions.size >= 3, `${app.sessions.size} connections`);
      for (const stream of kept.splice(0)) {
        stream.respond({ ":status": 200 });
        stream.end("late");
      }
      assert.equal((await Promise.all(asked)).filter(({ body }) => body.toString() === "late").length, 120);
    });

    it("passes resets on, with their code", async () => {
      await assert.rejects(ask2(session, to("/refuse", { ":method": "POST" }), "x"), /ENHANCE_YOUR_CALM|reset with 11/);
      const stream = session.request(to("/keep", { ":method": "POST" }));
      stream.write("begun");
      stream.on("error", () => {});
      await eventually(() => kept.length === 1);
      const closed = new Promise<number>((resolve) => kept[0]?.once("close", () => resolve(kept[0]?.rstCode ?? -1)));
      stream.close(constants.NGHTTP2_CANCEL);
      assert.equal(await closed, constants.NGHTTP2_CANCEL);
    });

    it("cuts an answer short that the app cuts short", async () => {
      const asked = ask2(session, to("/keep"));
      await eventually(() => kept.length === 1);
      kept[0]?.respond({ ":status": 200, "content-length": 100 });
      kept[0]?.end("half");
      await assert.rejects(asked, /INTERNAL_ERROR|reset with 2/);
    });

    it("sends a GET again when the app's connection dies, but no POST", async () => {
      let seen = 0;
      const flaky = await startHttp2App((stream) => {
        seen++;
        if (seen % 2 === 1) stream.session?.destroy();
        else {
          stream.respond({ ":status": 200 });
          stream.end("second");
        }
      });
      world.later(() => flaky.close());
      serve("flaky.shop:80", flaky.port);
      const flakily = { ":path": "/", ":authority": "flaky.shop" };
      assert.equal((await ask2(session, flakily)).body.toString(), "second");
      const post = await ask2(session, { ...flakily, ":method": "POST" }, "x");
      assert.deepEqual([post.status, post.headers["x-causeway-error"], seen], [502, "PROXY_RESET", 3]);
    });

    it("sends streams anew that an app going away did not take", async () => {
      let refused = 0;
      const going = await startHttp2App((stream) => {
        if (refused++ === 0) {
          stream.close(constants.NGHTTP2_REFUSED_STREAM);
          return;
        }
        stream.respond({ ":status": 200 });
        stream.end("taken");
        stream.session?.goaway(constants.NGHTTP2_NO_ERROR);
      });
      world.later(() => going.close());
      serve("going.shop:80", going.port);
      for (let i = 0; i < 5; i++) {
        const { body } = await ask2(session, { ":method": "POST", ":path": "/", ":authority": "going.shop" }, "x");
        assert.equal(body.toString(), "taken");
      }
    });

    it("passes an extended CONNECT through", async () => {
      const fresh = await http2Client(client.outboundPort);
      await eventually(() => fresh.remoteSettings.enableConnectProtocol === true);
      const stream = fresh.request(to("/chat", { ":method": "CONNECT", ":protocol": "websocket", ":scheme": "http" }));
      let text = "";
      stream.on("data", (chunk: Buffer) => {
        text += chunk.toString();
      });
      stream.write("one");
      await eventually(() => text === "<one>");
      stream.write("two");
      await eventually(() => text === "<one><two>");
      stream.end();
      await new Promise((resolve) => stream.once("close", resolve));
      assert.equal(text, "<one><two>bye");
      fresh.destroy();
    });

    it("refuses in HTTP's words, and in gRPC's", async () => {
      world.control.service({ authority: "no.shop:80", kind: "KIND_NOT_FOUND" });
      const no = { ":path": "/", ":authority": "no.shop" };
      const plain = await ask2(session, no);
      assert.deepEqual([plain.status, plain.headers["x-causeway-error"]], [503, "PROXY_UNKNOWN_SERVICE"]);
      assert.match(plain.body.toString(), /^PROXY_UNKNOWN_SERVICE: Cannot reach no\.shop:80/);
      const grpc = await ask2(session, { ...no, ":method": "POST", "content-type": "application/grpc" }, "x");
      assert.deepEqual([grpc.status, grpc.headers["grpc-status"]], [200, "14"]);
      assert.match(String(grpc.headers["grpc-message"]), /^PROXY_UNKNOWN_SERVICE: /);
      for (const [headers, status] of [
        [{ ":path": "/", ":authority": "a b" }, 400],
        [{ ":method": "CONNECT", ":authority": "web.shop:80" }, 501],
        [to("/", Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`x-${i}`, "y"]))), 431],
      ] as const) {
        const fresh = await http2Client(client.outboundPort);
        assert.equal((await ask2(fresh, headers, undefined)).status, status);
        fresh.destroy();
      }
    });

    it("answers 503 where nobody takes connections", async () => {
      const gone = await startHttp2App(() => {});
      serve("gone.shop:80", gone.port);
      await gone.close();
      const { status, headers } = await ask2(session, { ":path": "/", ":authority": "gone.shop" });
      assert.equal(status, 503);
      assert.match(String(headers["x-causeway-error"]), /PROXY_CONNECT_FAILED|PROXY_NO_ENDPOINTS/);
    });

    it("lets what is under way end when it drains, and takes no more", async () => {
      const leaving = await world.proxy("leaving", { adapter });
      const there = await http2Client(leaving.outboundPort);
      const asked = ask2(there, to("/keep"));
      await eventually(() => kept.length === 1);
      const goaway = new Promise((resolve) => there.once("goaway", resolve));
      const drained = leaving.drain(10_000);
      await goaway;
      kept[0]?.respond({ ":status": 200 });
      kept[0]?.end("done");
      assert.equal((await asked).body.toString(), "done");
      await drained;
      await eventually(() => there.closed);
    });

    it("is counted, with gRPC's status", async () => {
      const text = await (await fetch(`http://127.0.0.1:${client.adminPort}/metrics`)).text();
      assert.match(text, /request_total\{direction="outbound",authority="web\.shop:80"[^}]*\} [1-9]/);
      assert.match(text, /outbound_http2_connections\{authority="web\.shop:80"\} [1-9]/);
      assert.match(text, /authority="web\.shop:80"[^}]*status_code="200",grpc_status_code=""\} [1-9]/);
    });
  });
}
