import assert from "node:assert/strict";
import { Agent, type ServerResponse } from "node:http";
import { connect as connectTls } from "node:tls";
import { systemClock } from "../core/clock.ts";
import { clientContextOptions } from "../identity/workload-tls.ts";
import { eventually } from "../test/support/eventually.ts";
import {
  ask,
  createProxyWorld,
  type ProxyWorld,
  rawClient,
  startApp,
  startRelay,
} from "../test/support/proxy-world.ts";
import { MUX_HTTP1, writePreface } from "./preface.ts";
import type { RunningProxy } from "./start-proxy.ts";

for (const adapter of ["handle", "net"] as const) {
  describe(`HTTP/1.1 between proxies, multiplexed, on the ${adapter} adapter`, () => {
    let world: ProxyWorld;
    let server: RunningProxy;
    let client: RunningProxy;
    let relay: Awaited<ReturnType<typeof startRelay>>;
    let appPort: number;
    const pending: ServerResponse[] = [];
    const asked: string[] = [];

    beforeEach(async () => {
      world = await createProxyWorld();
      pending.length = 0;
      asked.length = 0;
      const app = await startApp((request, response) => {
        asked.push(`${request.method} ${request.url}`);
        if (request.url === "/wait") pending.push(response);
        else if (request.url === "/big") response.end(Buffer.alloc(8_000_000, "b"));
        else request.on("data", () => {}).on("end", () => response.end("at once"));
      });
      world.later(() => app.close());
      appPort = app.port;
      server = await world.proxy("web", { adapter });
      client = await world.proxy("client", { adapter });
      relay = await startRelay(() => server.inboundPort);
      world.later(() => relay.close());
      publish(relay.port);
      assert.equal((await ask(client.outboundPort, "web.shop")).status, 200);
    });
    afterEach(() => world.close());

    function publish(proxyPort: number, maxConnectionAgeMs = 0): void {
      const identity = world.control.mesh.identity("shop", "web");
      const endpoint = { id: "w", address: "127.0.0.1", port: appPort, proxyPort, identity, ready: true };
      const groups = [{ trustDomain: "east.mesh", endpoints: [endpoint] }];
      world.control.service({ authority: "web.shop:80", kind: "KIND_SERVICE", groups, maxConnectionAgeMs });
    }

    async function metric(of: RunningProxy, line: RegExp): Promise<number> {
      const text = await (await fetch(`http://127.0.0.1:${of.adminPort}/metrics`)).text();
      return Number(line.exec(text)?.[1] ?? 0);
    }

    it("carries many requests at a time over one connection", async () => {
      const waiting = Array.from({ length: 50 }, () => ask(client.outboundPort, "web.shop", { path: "/wait" }));
      await eventually(() => pending.length === 50);
      for (const [i, response] of pending.entries()) response.end(`answer ${i}`);
      const bodies = (await Promise.all(waiting)).map(({ body }) => body);
      assert.deepEqual(new Set(bodies).size, 50);
      assert.equal(await metric(client, /mux_connections_total\{direction="outbound"\} (\d+)/), 1);
      assert.equal(await metric(server, /mux_connections_total\{direction="inbound"\} (\d+)/), 1);
    });

    it("lets a client that does not read its answer hold up nobody else", async () => {
      const slow = await rawClient(client.outboundPort);
      slow.socket.pause();
      slow.send("GET /big HTTP/1.1\r\nHost: web.shop\r\nConnection: close\r\n\r\n");
      await eventually(() => asked.includes("GET /big"));
      for (let i = 0; i < 20; i++) assert.equal((await ask(client.outboundPort, "web.shop")).body, "at once");
      slow.socket.resume();
      assert.ok((await slow.ended()).length > 8_000_000);
    });

    it("sends idempotent requests again when the connection is lost, and answers 502 to others", async () => {
      const waiting = [
        ask(client.outboundPort, "web.shop", { path: "/wait" }),
        ask(client.outboundPort, "web.shop", { path: "/wait", method: "POST", body: "once" }),
      ];
      await eventually(() => pending.length === 2);
      publish(server.inboundPort);
      await relay.close();
      await eventually(() => pending.length === 3);
      for (const response of pending) response.end("in the end");
      const [get, post] = await Promise.all(waiting);
      assert.equal(get?.body, "in the end");
      assert.deepEqual([post?.status, post?.headers["x-causeway-error"]], [502, "PROXY_RESET"]);
      assert.deepEqual(asked.slice(1).sort(), ["GET /wait", "GET /wait", "POST /wait"]);
      assert.equal(await metric(client, /mux_connections_ended_total\{direction="outbound",reason="lost"\} (\d+)/), 1);
    });

    it("loses no request, not even a POST, while the server's proxy is replaced", async () => {
      const next = await world.proxy("web", { adapter });
      const agent = new Agent({ keepAlive: true, maxSockets: 8 });
      const statuses = new Map<number, number>();
      let going = true;
      const loops = Array.from({ length: 8 }, async () => {
        while (going) {
          const { status } = await ask(client.outboundPort, "web.shop", { agent, method: "POST", body: "x" });
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
        }
      });
      await eventually(() => (statuses.get(200) ?? 0) > 50);
      publish(next.inboundPort);
      await server.drain(5_000);
      const before = statuses.get(200) ?? 0;
      await eventually(() => (statuses.get(200) ?? 0) > before + 50);
      going = false;
      await Promise.all(loops);
      agent.destroy();
      assert.deepEqual([...statuses.keys()], [200]);
    });

    it("gives a connection up whose peer breaks the protocol, and counts why", async () => {
      const { mesh } = world.control;
      const peer = await mesh.workload(mesh.identity("shop", "bad"), [], systemClock, world.signal);
      const socket = connectTls({
        ...clientContextOptions(mesh.authority.bundle, peer.source.svid),
        host: "127.0.0.1",
        port: server.inboundPort,
        servername: "east.mesh",
        checkServerIdentity: () => undefined,
        ALPNProtocols: ["causeway/1"],
      });
      socket.on("error", () => {});
      socket.write(writePreface({ protocol: MUX_HTTP1, port: appPort }));
      socket.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
      await new Promise((resolve) => socket.once("close", resolve));
      assert.equal(
        await metric(server, /mux_connections_ended_total\{direction="inbound",reason="bad_frame"\} (\d+)/),
        1,
      );
      assert.equal((await ask(client.outboundPort, "web.shop")).status, 200);
    });

    it("goes on with another connection when one has reached its age", async () => {
      const made = () => metric(client, /mux_connections_total\{direction="outbound"\} (\d+)/);
      publish(server.inboundPort, 100);
      await eventually(async () => {
        assert.equal((await ask(client.outboundPort, "web.shop", { method: "POST", body: "x" })).status, 200);
        return (await made()) >= 4;
      });
      await eventually(async () => {
        const done = await metric(client, /mux_connections_ended_total\{direction="outbound",reason="done"\} (\d+)/);
        return done >= 2;
      });
    });

    it("drains together with its connections", async () => {
      const waiting = ask(client.outboundPort, "web.shop", { path: "/wait" });
      await eventually(() => pending.length === 1);
      const drained = server.drain(10_000);
      pending[0]?.end("done");
      assert.equal((await waiting).body, "done");
      await drained;
      assert.equal(await metric(server, /mux_connections_ended_total\{direction="inbound",reason="done"\} (\d+)/), 1);
    });
  });
}

describe("HTTP/1.1 between proxies, each connection on its own", () => {
  it("is had by an option, and understood by a proxy that multiplexes", async () => {
    const world = await createProxyWorld();
    try {
      const app = await startApp((_request, response) => void response.end("plain"));
      world.later(() => app.close());
      const server = await world.proxy("web");
      const client = await world.proxy("client", { multiplex: false });
      const identity = world.control.mesh.identity("shop", "web");
      const place = { address: "127.0.0.1", port: app.port, proxyPort: server.inboundPort };
      const groups = [{ trustDomain: "east.mesh", endpoints: [{ id: "w", ...place, identity, ready: true }] }];
      world.control.service({ authority: "web.shop:80", kind: "KIND_SERVICE", groups });
      assert.equal((await ask(client.outboundPort, "web.shop")).body, "plain");
      const text = await (await fetch(`http://127.0.0.1:${server.adminPort}/metrics`)).text();
      assert.ok(!text.includes("mux_connections_total"));
    } finally {
      await world.close();
    }
  });
});
