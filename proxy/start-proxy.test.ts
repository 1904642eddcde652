import assert from "node:assert/strict";
import { ask, createProxyWorld, type ProxyWorld, startApp } from "../test/support/proxy-world.ts";

describe("startProxy()", () => {
  let world: ProxyWorld;
  beforeEach(async () => {
    world = await createProxyWorld();
  });
  afterEach(() => world.close());

  it("carries a GET from app to app over mutual TLS, and tells the server who asks", async () => {
    const seen: Record<string, unknown>[] = [];
    const app = await startApp((request, response) => {
      seen.push({ url: request.url, host: request.headers.host, client: request.headers["x-causeway-client-id"] });
      response.end("hello");
    });
    world.later(() => app.close());
    const server = await world.proxy("web");
    const client = await world.proxy("client");
    world.control.service({
      authority: "web.shop:80",
      kind: "KIND_SERVICE",
      namespace: "shop",
      name: "web",
      port: 80,
      groups: [
        {
          trustDomain: "east.mesh",
          endpoints: [
            {
              id: "web-0",
              address: "127.0.0.1",
              port: app.port,
              proxyPort: server.inboundPort,
              identity: world.control.mesh.identity("shop", "web"),
              ready: true,
            },
          ],
        },
      ],
    });
    const answer = await ask(client.outboundPort, "web.shop", { path: "/a?b=c" });
    assert.deepEqual([answer.status, answer.body], [200, "hello"]);
    assert.deepEqual(seen, [{ url: "/a?b=c", host: "web.shop", client: "spiffe://east.mesh/ns/shop/sa/client" }]);
  });
});
