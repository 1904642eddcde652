import assert from "node:assert/strict";
import { Agent } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { systemClock } from "../core/clock.ts";
import type { Endpoint } from "../protos/gen/causeway/discovery/v1/Endpoint.ts";
import type { PriorityGroup } from "../protos/gen/causeway/discovery/v1/PriorityGroup.ts";
import { eventually } from "../test/support/eventually.ts";
import { createTestMesh, type TestMesh } from "../test/support/mesh-identity.ts";
import {
  ask,
  createProxyWorld,
  type FakeControl,
  type ProxyWorld,
  spawnApp,
  startApp,
  startFakeControl,
  startRelay,
} from "../test/support/proxy-world.ts";
import type { RunningProxy } from "./start-proxy.ts";

/** Sends `perSecond` GETs a second until `stop()`, which tells how each body, or failure, occurred. */
function load(
  proxyPort: number,
  authority: string,
  perSecond: number,
): { counts: Map<string, number>; stop(): Promise<void> } {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  const counts = new Map<string, number>();
  const under = new Set<Promise<void>>();
  const count = (what: string) => void counts.set(what, (counts.get(what) ?? 0) + 1);
  const timer = setInterval(() => {
    const one = ask(proxyPort, authority, { agent }).then(
      ({ status, body }) => count(status === 200 ? body : `${status} ${body}`),
      (error: Error) => count(`failed ${error.message}`),
    );
    under.add(one);
    void one.finally(() => under.delete(one));
  }, 1_000 / perSecond);
  return {
    counts,
    async stop() {
      clearInterval(timer);
      await Promise.all(under);
      agent.destroy();
    },
  };
}

/** A port of this machine on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

describe("a federated service", () => {
  let east: TestMesh;
  let west: ProxyWorld;
  let control: FakeControl;
  let client: RunningProxy;
  let remote: PriorityGroup;
  const life = new AbortController();
  after(() => life.abort());

  /** West has the client; east's web is behind a relay, under east's own CA. */
  beforeEach(async () => {
    east = await createTestMesh("east", systemClock.wallMs());
    west = await createProxyWorld("west", [east.authority.bundle]);
    control = west.control;
    const eastControl = await startFakeControl(east, [control.mesh.authority.bundle], life.signal);
    west.later(() => eastControl.close());
    const app = await startApp((_request, response) => void response.end("remote"));
    west.later(() => app.close());
    eastControl.inbound("web", {
      cluster: "east",
      trustDomain: "east.mesh",
      ports: [{ port: app.port, peerTrustDomains: ["west.mesh"], namespace: "shop", service: "web" }],
    });
    const server = await west.proxy("web", { trustDomain: east.authority.trustDomain }, eastControl);
    const relay = await startRelay(() => server.inboundPort);
    west.later(() => relay.close());
    client = await west.proxy("client");
    remote = {
      cluster: "east",
      trustDomain: "east.mesh",
      gateways: [{ host: "127.0.0.1", port: relay.port }],
      endpoints: [
        { id: "r", port: app.port, identity: east.identity("shop", "web"), routeName: "abc.east.mesh", ready: true },
      ],
    };
  });
  afterEach(() => west.close());

  function publish(endpoints: Endpoint[], federated = true): void {
    control.service({
      authority: "web.shop:80",
      kind: "KIND_SERVICE",
      namespace: "shop",
      name: "web",
      port: 80,
      federated,
      groups: [{ trustDomain: "west.mesh", endpoints }, remote],
    });
  }

  it("goes on from the other cluster without a failed GET when all local apps and sidecars are killed", async () => {
    const apps = [await spawnApp("local"), await spawnApp("local")];
    for (const app of apps) west.later(() => app.kill());
    publish(apps.map(({ port }, i) => ({ id: `l${i}`, address: "127.0.0.1", port, ready: true })));
    const running = load(client.outboundPort, "web.shop", 200);
    await eventually(() => (running.counts.get("local") ?? 0) > 100);
    await Promise.all(apps.map((app) => app.kill()));
    await eventually(() => (running.counts.get("remote") ?? 0) > 100);
    await running.stop();
    assert.deepEqual([...running.counts.keys()].sort(), ["local", "remote"]);
  });

  it("goes on without a failed GET when the apps are killed and their sidecars live", async () => {
    const apps = [await spawnApp("local"), await spawnApp("local")];
    for (const app of apps) west.later(() => app.kill());
    const sidecars = [await west.proxy("web"), await west.proxy("web")];
    publish(
      apps.map(({ port }, i) => ({
        id: `l${i}`,
        address: "127.0.0.1",
        port,
        proxyPort: sidecars[i]?.inboundPort ?? 0,
        identity: control.mesh.identity("shop", "web"),
        ready: true,
      })),
    );
    const running = load(client.outboundPort, "web.shop", 200);
    await eventually(() => (running.counts.get("local") ?? 0) > 100);
    await Promise.all(apps.map((app) => app.kill()));
    await eventually(() => (running.counts.get("remote") ?? 0) > 100);
    await running.stop();
    assert.deepEqual([...running.counts.keys()].sort(), ["local", "remote"]);
  });

  it("retries a GET that waits on a link which dies, and sends no more there", async () => {
    let asked = 0;
    const hanging = await startApp(() => void asked++);
    west.later(() => hanging.close());
    const local = await startApp((_request, response) => void response.end("other"));
    west.later(() => local.close());
    control.service({
      authority: "web.shop:80",
      kind: "KIND_SERVICE",
      federated: true,
      groups: [
        {
          cluster: "north",
          trustDomain: "west.mesh",
          endpoints: [{ id: "n", address: "127.0.0.1", port: hanging.port, ready: true }],
        },
        { trustDomain: "west.mesh", endpoints: [{ id: "o", address: "127.0.0.1", port: local.port, ready: true }] },
      ],
    });
    const answer = ask(client.outboundPort, "web.shop");
    await eventually(() => asked === 1);
    control.links([{ cluster: "north", health: "HEALTH_DEAD", ramp: 0 }]);
    assert.equal((await answer).body, "other");
    assert.equal((await ask(client.outboundPort, "web.shop")).body, "other");
    assert.equal(asked, 1);
  });

  it("goes over a link that heartbeats call dead where nothing else is left", async () => {
    control.links([{ cluster: "east", health: "HEALTH_DEAD", ramp: 0 }]);
    publish([]);
    assert.equal((await ask(client.outboundPort, "web.shop")).body, "remote");
    publish([{ id: "l", address: "127.0.0.1", port: await closedPort(), ready: true }]);
    assert.equal((await ask(client.outboundPort, "web.shop")).body, "remote");
  });

  it("holds a request that nobody takes until somebody does, and not for ever", async () => {
    let refused = 0;
    const broken = createServer((socket) => {
      refused++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => broken.listen(0, "127.0.0.1", () => resolve()));
    west.later(() => broken.close());
    const local = await startApp((_request, response) => void response.end("local"));
    west.later(() => local.close());
    remote = { ...remote, gateways: [{ host: "127.0.0.1", port: (broken.address() as AddressInfo).port }] };
    publish([]);
    const answer = ask(client.outboundPort, "web.shop", { method: "POST", body: "once" });
    await eventually(() => refused >= 2);
    publish([{ id: "l", address: "127.0.0.1", port: local.port, ready: true }]);
    assert.equal((await answer).body, "local");
    publish([]);
    const { status, headers } = await ask(client.outboundPort, "web.shop");
    assert.deepEqual([status, headers["x-causeway-error"]], [503, "PROXY_CONNECT_FAILED"]);
  });

  it("answers 503 at once for an explicit name whose link is dead", async () => {
    control.links([{ cluster: "east", health: "HEALTH_DEAD", ramp: 0 }]);
    control.service({ authority: "web-east.shop:80", kind: "KIND_SERVICE", federated: false, groups: [remote] });
    const { status, headers } = await ask(client.outboundPort, "web-east.shop");
    assert.deepEqual([status, headers["x-causeway-error"]], [503, "PROXY_NO_ENDPOINTS"]);
    control.links([{ cluster: "east", health: "HEALTH_ALIVE", ramp: 1 }]);
    await eventually(async () => (await ask(client.outboundPort, "web-east.shop")).body === "remote");
  });

  it("refuses a server of another identity", async () => {
    const [endpoint] = remote.endpoints ?? [];
    const groups = [{ ...remote, endpoints: [{ ...endpoint, identity: east.identity("shop", "db") }] }];
    control.service({ authority: "db-east.shop:80", kind: "KIND_SERVICE", federated: false, groups });
    const { status, body } = await ask(client.outboundPort, "db-east.shop");
    assert.equal(status, 503);
    assert.match(body, /PROXY_CONNECT_FAILED.*not spiffe:\/\/east\.mesh\/ns\/shop\/sa\/db/);
  });

  it("keeps away from an endpoint that takes two seconds, without breaking it or failing a request", async () => {
    const apps = await Promise.all(
      [0, 0, 2_000].map((delayMs, i) =>
        startApp((_request, response) => void setTimeout(() => response.end(`app ${i}`), delayMs)),
      ),
    );
    for (const app of apps) west.later(() => app.close());
    publish(apps.map(({ port }, i) => ({ id: `e${i}`, address: "127.0.0.1", port, ready: true })));
    const traffic = load(client.outboundPort, "web.shop", 100);
    await eventually(() => (traffic.counts.get("app 2") ?? 0) > 0);
    const slow = traffic.counts.get("app 2") ?? 0;
    await eventually(() => (traffic.counts.get("app 0") ?? 0) > 100);
    await traffic.stop();
    assert.deepEqual([...traffic.counts.keys()].sort(), ["app 0", "app 1", "app 2"]);
    assert.ok(slow < 100 && (traffic.counts.get("app 2") ?? 0) < 100, JSON.stringify([...traffic.counts]));
    const metrics = await (await fetch(`http://127.0.0.1:${client.adminPort}/metrics`)).text();
    assert.match(metrics, /outbound_http_balancer_endpoints\{[^}]*cluster="",endpoint_state="ready"\} 3/);
  });
});
