import assert from "node:assert/strict";
import type { ClientHttp2Session } from "node:http2";
import { ask2, type Http2App, http2Client, startHttp2App } from "../test/support/http2-peers.ts";
import { createProxyWorld, type ProxyWorld } from "../test/support/proxy-world.ts";
import type { RunningProxy } from "./start-proxy.ts";

for (const adapter of ["handle", "net"] as const) {
  describe(`a proxied HTTP/2 request on the ${adapter} adapter`, () => {
    let world: ProxyWorld;
    let app: Http2App;
    let server: RunningProxy;
    let client: RunningProxy;
    let session: ClientHttp2Session;

    before(async () => {
      world = await createProxyWorld();
      app = await startHttp2App((stream, headers) => {
        const chunks: Buffer[] = [];
        stream.on("data", (chunk: Buffer) => chunks.push(chunk));
        stream.on("end", () => {
          stream.respond({
            ":status": 200,
            "x-seen": JSON.stringify(headers),
          });
          stream.end(`${headers[":method"]} ${headers[":path"]} ${Buffer.concat(chunks).toString()}`);
        });
      });
      world.later(() => app.close());
      server = await world.proxy("web", { adapter });
      client = await world.proxy("client", { adapter });
      serve("web.shop:80", app.port);
      session = await http2Client(client.outboundPort);
      world.later(() => session.destroy());
    });
    after(() => world.close());

    function serve(authority: string, port: number): void {
      const identity = world.control.mesh.identity("shop", "web");
      const endpoint = { id: "w", address: "127.0.0.1", port, proxyPort: server.inboundPort, identity, ready: true };
      const groups = [{ trustDomain: "east.mesh", endpoints: [endpoint] }];
      world.control.service({ authority, kind: "KIND_SERVICE", groups });
    }

    it("reaches the app and comes back", async () => {
      const got = await ask2(session, { ":path": "/a", ":authority": "web.shop" });
      assert.equal(got.status, 200);
      assert.equal(got.body.toString(), "GET /a ");
      const posted = await ask2(session, { ":method": "POST", ":path": "/b", ":authority": "web.shop" }, "hello");
      assert.equal(posted.body.toString(), "POST /b hello");
      const seen = JSON.parse(String(posted.headers["x-seen"])) as Record<string, string>;
      assert.equal(seen["x-causeway-client-id"], "spiffe://east.mesh/ns/shop/sa/client");
    });
  });
}
