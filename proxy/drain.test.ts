import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { eventually } from "../test/support/eventually.ts";
import {
  ask,
  createProxyWorld,
  type ProxyWorld,
  rawClient,
  startApp,
  startFakeControl,
} from "../test/support/proxy-world.ts";

for (const adapter of ["handle", "net"] as const) {
  describe(`RunningProxy on the ${adapter} adapter`, () => {
    let world: ProxyWorld;
    const pending: ServerResponse[] = [];
    beforeEach(async () => {
      world = await createProxyWorld();
      pending.length = 0;
    });
    afterEach(() => world.close());

    async function pair() {
      const app = await startApp((request, response) => {
        if (request.url === "/wait") pending.push(response);
        else response.end("at once");
      });
      world.later(() => app.close());
      const server = await world.proxy("web", { adapter });
      const client = await world.proxy("client", { adapter });
      world.web(app.port, server.inboundPort);
      assert.equal((await ask(client.outboundPort, "web.shop")).body, "at once");
      return { server, client, app };
    }

    it("drains: lets what is under way end, closes what idles, accepts nothing more", async () => {
      const { client, server } = await pair();
      const idle = await rawClient(client.outboundPort);
      const busy = await rawClient(client.outboundPort);
      busy.send("GET /wait HTTP/1.1\r\nHost: web.shop\r\n\r\n");
      await eventually(() => pending.length === 1);
      const drained = Promise.all([client.drain(10_000), server.drain(10_000)]);
      assert.equal(await idle.ended(), "");
      await assert.rejects(rawClient(client.outboundPort));
      pending[0]?.end("done");
      assert.match(await busy.ended(), /connection: close\r\n[\s\S]*done$/);
      await drained;
    });

    it("cuts what is left at the deadline", async () => {
      const { client } = await pair();
      const busy = await rawClient(client.outboundPort);
      busy.send("GET /wait HTTP/1.1\r\nHost: web.shop\r\n\r\n");
      await eventually(() => pending.length === 1);
      await client.drain(50);
      assert.equal(await busy.ended(), "");
    });

    it("asks a control that came back for all that it needs", async () => {
      const { client, app } = await pair();
      const port = Number(world.control.address.split(":")[1]);
      await world.control.close();
      const again = await startFakeControl(world.control.mesh, [], world.signal, port);
      world.later(() => again.close());
      again.service({ authority: "new.shop:80", kind: "KIND_NOT_FOUND" });
      await eventually(() => again.subscribed.has("web.shop:80"));
      again.service({
        authority: "web.shop:80",
        kind: "KIND_SERVICE",
        groups: [
          { trustDomain: "east.mesh", endpoints: [{ id: "p", address: "127.0.0.1", port: app.port, ready: true }] },
        ],
      });
      assert.equal((await ask(client.outboundPort, "new.shop")).headers["x-causeway-error"], "PROXY_UNKNOWN_SERVICE");
      assert.equal((await ask(client.outboundPort, "web.shop")).body, "at once");
    });
  });
}
