import assert from "node:assert/strict";
import { Agent, type IncomingMessage, type ServerResponse } from "node:http";
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
  startApp,
  startFakeControl,
  startRelay,
  type TestRelay,
} from "../test/support/proxy-world.ts";
import type { RunningProxy } from "./start-proxy.ts";

function answer(request: IncomingMessage, response: ServerResponse, text: string): void {
  request.resume();
  response.end(text);
}

/** West has the client; in east two services, each with an app and a sidecar, are behind gateways that can be held. */
describe("a path through a gateway on which nothing comes back", () => {
  let east: TestMesh;
  let west: ProxyWorld;
  let control: FakeControl;
  let client: RunningProxy;
  let relays: TestRelay[];
  let agent: Agent;
  /** By SNI. */
  let ports: Map<string, () => number>;
  const life = new AbortController();
  after(() => life.abort());

  beforeEach(async () => {
    east = await createTestMesh("east", systemClock.wallMs());
    west = await createProxyWorld("west", [east.authority.bundle]);
    control = west.control;
    ports = new Map();
    const to = (servername: string) => ports.get(servername)?.() ?? 0;
    relays = [await startRelay(to), await startRelay(to)];
    for (const relay of relays) west.later(() => relay.close());
    client = await west.proxy("client", { limits: { handshakeMs: 500 } });
    agent = new Agent({ keepAlive: true });
  });

  afterEach(async () => {
    agent.destroy();
    await west.close();
  });

  /** An app of east with its sidecar, which hangs while `hold` says so. */
  async function remote(name: string): Promise<Endpoint & Pick<TestRelay, "hold">> {
    const eastControl = await startFakeControl(east, [control.mesh.authority.bundle], life.signal);
    west.later(() => eastControl.close());
    const app = await startApp((request, response) => answer(request, response, `east ${name}`));
    west.later(() => app.close());
    eastControl.inbound(name, {
      cluster: "east",
      trustDomain: "east.mesh",
      ports: [{ port: app.port, peerTrustDomains: ["west.mesh"], namespace: "shop", service: name }],
    });
    const server = await west.proxy(name, { trustDomain: east.authority.trustDomain }, eastControl);
    const way = await startRelay(() => server.inboundPort);
    west.later(() => way.close());
    ports.set(`${name}.east.mesh`, () => way.port);
    return {
      id: name,
      port: app.port,
      identity: east.identity("shop", name),
      routeName: `${name}.east.mesh`,
      ready: true,
      hold: (held) => way.hold(held),
    };
  }

  function group(endpoints: Endpoint[], through: readonly TestRelay[]): PriorityGroup {
    const gateways = through.map(({ port }) => ({ host: "127.0.0.1", port }));
    return { cluster: "east", trustDomain: "east.mesh", gateways, endpoints };
  }

  const get = (authority: string) => ask(client.outboundPort, authority, { agent });

  async function metrics(): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${client.adminPort}/metrics`)).text();
  }

  it("takes no GET after a moment, keeps its POSTs, and is used again when it speaks", async () => {
    const local = await startApp((request, response) => answer(request, response, "west"));
    west.later(() => local.close());
    const own: PriorityGroup = {
      trustDomain: "west.mesh",
      endpoints: [{ id: "l", address: "127.0.0.1", port: local.port, ready: true }],
    };
    const [relay] = relays as [TestRelay];
    const groups = [group([await remote("web")], [relay]), own];
    control.service({ authority: "web.shop:80", kind: "KIND_SERVICE", federated: true, groups });
    assert.equal((await get("web.shop")).body, "east web");
    relay.hold(true);
    const post = ask(client.outboundPort, "web.shop", { method: "POST", body: "once" });
    assert.equal((await get("web.shop")).body, "west");
    assert.equal((await get("web.shop")).body, "west");
    relay.hold(false);
    assert.equal((await post).body, "east web");
    await eventually(async () => (await get("web.shop")).body === "east web");
  });

  it("is left for another gateway, and costs the service none of its endpoints", async () => {
    const groups = [group([await remote("web")], relays)];
    control.service({ authority: "web-east.shop:80", kind: "KIND_SERVICE", federated: false, groups });
    const under = await Promise.all(Array.from({ length: 8 }, () => get("web-east.shop")));
    assert.deepEqual([...new Set(under.map(({ body }) => body))], ["east web"]);
    const [relay] = relays as [TestRelay];
    relay.hold(true);
    for (let i = 0; i < 8; i++) {
      const all = await Promise.all(Array.from({ length: 8 }, () => get("web-east.shop")));
      assert.deepEqual([...new Set(all.map(({ status, body }) => `${status} ${body}`))], ["200 east web"]);
    }
    assert.match(await metrics(), /outbound_http_balancer_endpoints\{[^\n]*cluster="east",endpoint_state="ready"\} 1/);
  });

  it("ends at a service that hangs, and costs another service behind the same gateway nothing", async () => {
    const [relay] = relays as [TestRelay];
    const bad = await remote("bad");
    const good = await remote("good");
    control.service({
      authority: "good-east.shop:80",
      kind: "KIND_SERVICE",
      federated: false,
      groups: [group([good], [relay])],
    });
    control.service({
      authority: "bad-east.shop:80",
      kind: "KIND_SERVICE",
      federated: false,
      groups: [group([bad], [relay])],
    });
    assert.equal((await get("good-east.shop")).body, "east good");
    assert.equal((await get("bad-east.shop")).body, "east bad");
    bad.hold(true);
    // Its handshakes time out again and again, while the other service is called.
    const hangs = Promise.all(Array.from({ length: 4 }, () => get("bad-east.shop")));
    await eventually(async () => /authority="bad-east[^\n]*endpoint_state="broken"\} 1/.test(await metrics()));
    let over = false;
    void hangs.finally(() => {
      over = true;
    });
    while (!over) {
      assert.equal((await get("good-east.shop")).body, "east good");
      assert.doesNotMatch(await metrics(), /outbound_gateway_breaker_open\{[^\n]*\} 1/);
    }
    const statuses = (await hangs).map(({ status }) => status);
    assert.deepEqual([...new Set(statuses)], [503]);
    assert.match(await metrics(), /authority="good-east[^\n]*endpoint_state="ready"\} 1/);
    bad.hold(false);
    await eventually(async () => (await get("bad-east.shop")).body === "east bad");
  });
});
