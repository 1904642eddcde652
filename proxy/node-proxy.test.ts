import assert from "node:assert/strict";
import { systemClock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import { eventually } from "../test/support/eventually.ts";
import {
  ask,
  createProxyWorld,
  type ProxyWorld,
  rawClient,
  startApp,
  type TestApp,
} from "../test/support/proxy-world.ts";
import { NodeProxy } from "./node-proxy.ts";
import type { WorkloadOptions } from "./workload-proxy.ts";

describe("NodeProxy", () => {
  let world: ProxyWorld;
  let node: NodeProxy;
  let app: TestApp;
  let client: WorkloadOptions;
  let web: WorkloadOptions;

  before(async () => {
    world = await createProxyWorld();
    app = await startApp((request, response) => {
      response.end(`for ${String(request.headers["x-causeway-client-id"])}`);
    });
    world.later(() => app.close());
    client = world.workload("client");
    web = world.workload("web");
    node = await NodeProxy.start(
      { admin: { host: "127.0.0.1", port: 0 }, adapter: "auto", drainMs: 1_000 },
      { clock: systemClock, random: seededRandom(3), log: silentLog, signal: world.signal },
    );
    world.later(() => node.close());
    node.update([client, web]);
    await eventually(() => ready(node));
    world.control.service({
      authority: "web.shop:80",
      kind: "KIND_SERVICE",
      namespace: "shop",
      name: "web",
      groups: [
        {
          trustDomain: "east.mesh",
          endpoints: [
            {
              id: "web-0",
              address: "127.0.0.1",
              port: app.port,
              proxyPort: node.workloads.get("shop/web-0")?.inboundPort ?? 0,
              identity: "spiffe://east.mesh/ns/shop/sa/web",
              ready: true,
            },
          ],
        },
      ],
    });
  });
  after(() => world.close());

  it("gives each workload ports and an identity of its own", async () => {
    const from = (name: string) => node.workloads.get(name)?.outboundPort ?? 0;
    assert.notEqual(from("shop/client-0"), from("shop/web-0"));
    const asClient = await ask(from("shop/client-0"), "web.shop:80");
    const asWeb = await ask(from("shop/web-0"), "web.shop:80");
    assert.equal(asClient.body, "for spiffe://east.mesh/ns/shop/sa/client");
    assert.equal(asWeb.body, "for spiffe://east.mesh/ns/shop/sa/web");
  });

  it("needs no socket between two of its workloads", async () => {
    await ask(node.workloads.get("shop/client-0")?.outboundPort ?? 0, "web.shop:80");
    const text = await page(node, "/metrics");
    assert.match(text, /\noutbound_hop_total\{workload_namespace="shop",workload_pod="client-0"\} [1-9]/);
    // What the inbound side counts is the same as over TLS: who called.
    assert.match(text, /\nrequest_total\{[^}]*workload_pod="web-0",direction="inbound"[^}]*sa\/client"/);
  });

  it("answers all of what comes at once, over as many turns as that takes", async () => {
    const port = node.workloads.get("shop/client-0")?.outboundPort ?? 0;
    const flood = await rawClient(port);
    flood.send("GET / HTTP/1.1\r\nhost: web.shop\r\n\r\n".repeat(50));
    const answers = await Promise.all(Array.from({ length: 300 }, () => ask(port, "web.shop:80")));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    await flood.until((text) => text.split("HTTP/1.1 200 ").length === 51);
    flood.socket.destroy();
  });

  it("labels metrics with the workload, each metric named once", async () => {
    const text = await page(node, "/metrics");
    assert.match(text, /\nrequest_total\{workload_namespace="shop",workload_pod="client-0",direction="outbound"/);
    assert.match(text, /\nrequest_total\{workload_namespace="shop",workload_pod="web-0",direction="inbound"/);
    assert.equal(text.match(/# TYPE request_total /g)?.length, 1);
  });

  it("serves on where another workload's input is garbage", async () => {
    const bad = await rawClient(node.workloads.get("shop/web-0")?.outboundPort ?? 0);
    bad.send("\0\0\0 nonsense\r\n\r\n");
    assert.match(await bad.ended(), /^HTTP\/1\.1 400 /);
    const answer = await ask(node.workloads.get("shop/client-0")?.outboundPort ?? 0, "web.shop:80");
    assert.equal(answer.status, 200);
  });

  it("tries a workload again whose port is taken, and says so in /ready", async () => {
    const taken = node.workloads.get("shop/client-0")?.outboundPort ?? 0;
    const late = world.workload("late", { outboundPort: taken });
    node.update([client, web, late]);
    await eventually(async () => (await page(node, "/ready")).includes("1 of 3 workloads"));
    node.update([web, late]);
    await eventually(() => ready(node));
    assert.equal(node.workloads.get("shop/late-0")?.outboundPort, taken);
    assert.equal((await ask(taken, "web.shop:80")).body, "for spiffe://east.mesh/ns/shop/sa/late");
  });

  it("leaves alone what an update does not change", async () => {
    const { inboundPort } = node.workloads.get("shop/web-0") ?? {};
    node.update([world.workload("web")]);
    assert.equal(node.workloads.get("shop/web-0")?.inboundPort, inboundPort);
    assert.equal(node.workloads.size, 1);
  });
});

async function page(node: NodeProxy, path: string): Promise<string> {
  return await (await fetch(`http://127.0.0.1:${node.adminPort}${path}`)).text();
}

async function ready(node: NodeProxy): Promise<boolean> {
  return (await fetch(`http://127.0.0.1:${node.adminPort}/ready`)).ok;
}
