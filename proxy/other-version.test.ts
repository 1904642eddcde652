import assert from "node:assert/strict";
import { ask2, http2Client, startHttp2App } from "../test/support/http2-peers.ts";
import { ask, createProxyWorld, type ProxyWorld, startApp } from "../test/support/proxy-world.ts";
import type { RunningProxy } from "./start-proxy.ts";

describe("a request to an app that speaks the other HTTP", () => {
  let world: ProxyWorld;
  let client: RunningProxy;

  before(async () => {
    world = await createProxyWorld();
    const newer = await startHttp2App((stream) => stream.respond({ ":status": 200 }, { endStream: true }));
    const older = await startApp((_, response) => void response.end("old"));
    world.later(async () => {
      await newer.close();
      await older.close();
    });
    const server = await world.proxy("web");
    client = await world.proxy("client");
    const identity = world.control.mesh.identity("shop", "web");
    for (const [name, { port }] of Object.entries({ newer, older })) {
      const at = { address: "127.0.0.1", port, proxyPort: server.inboundPort };
      const groups = [{ trustDomain: "east.mesh", endpoints: [{ id: name, identity, ready: true, ...at }] }];
      world.control.service({ authority: `${name}.shop:80`, kind: "KIND_SERVICE", groups });
    }
    const rule = { port: newer.port, namespace: "shop", service: "newer", appProtocol: "kubernetes.io/h2c" };
    world.control.inbound("web", { cluster: "east", trustDomain: "east.mesh", ports: [rule] });
  });
  after(() => world.close());

  it("is answered 502 where it is HTTP/1.1 and the app HTTP/2 only, and says so", async () => {
    const { status, body } = await ask(client.outboundPort, "newer.shop");
    assert.equal(status, 502);
    assert.match(body, /It speaks HTTP\/2 \(appProtocol kubernetes\.io\/h2c\), and this is HTTP\/1\.1\./);
  });

  it("is answered 502 where it is HTTP/2 and the app HTTP/1.1 only, and says so", async () => {
    const session = await http2Client(client.outboundPort);
    const answer = await ask2(session, { ":method": "POST", ":path": "/", ":authority": "older.shop" }, "x");
    session.destroy();
    assert.equal(answer.status, 502);
    assert.match(answer.body.toString(), /without a word of HTTP\/2/);
  });
});
