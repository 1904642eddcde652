import assert from "node:assert/strict";
import { Agent } from "node:http";
import type { RouteRule } from "../protos/gen/causeway/discovery/v1/RouteRule.ts";
import type { ServiceState } from "../protos/gen/causeway/discovery/v1/ServiceState.ts";
import { eventually } from "../test/support/eventually.ts";
import {
  type Answer,
  ask,
  createProxyWorld,
  type ProxyWorld,
  startApp,
  type TestApp,
} from "../test/support/proxy-world.ts";
import type { RunningProxy } from "./start-proxy.ts";

/** What an app is to do with a request, besides saying its name. */
interface Seen {
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

describe("a routed request", () => {
  let world: ProxyWorld;
  let client: RunningProxy;
  let server: RunningProxy;
  const apps = new Map<string, TestApp>();
  const seen = new Map<string, Seen[]>();
  /** What an app answers before it is well, by name: statuses, or "hang". */
  const troubles = new Map<string, (number | "hang")[]>();

  before(async () => {
    world = await createProxyWorld();
    for (const name of ["one", "two", "three"]) {
      const app = await startApp((request, response) => {
        let body = "";
        request.setEncoding("latin1");
        request.on("data", (data: string) => {
          body += data;
        });
        request.on("end", () => {
          const { url = "", method = "", headers } = request;
          seen.set(name, [...(seen.get(name) ?? []), { url, method, headers, body }]);
          const trouble = troubles.get(name)?.shift();
          if (trouble === "hang") return;
          response.writeHead(trouble ?? 200, { "x-app": name, "x-secret": "s" });
          response.end(name);
        });
      });
      world.later(() => app.close());
      apps.set(name, app);
    }
    server = await world.proxy("web");
    client = await world.proxy("client");
  });
  after(() => world.close());
  beforeEach(() => {
    seen.clear();
    troubles.clear();
    for (const name of apps.keys()) publish(`${name}.shop:80`, [name]);
  });

  function publish(authority: string, names: readonly string[], more: Partial<ServiceState> = {}): void {
    world.control.service({
      authority,
      kind: "KIND_SERVICE",
      namespace: "shop",
      name: authority,
      groups: [
        {
          trustDomain: "east.mesh",
          endpoints: names.map((name) => ({
            id: name,
            address: "127.0.0.1",
            port: apps.get(name)?.port ?? 0,
            proxyPort: server.inboundPort,
            identity: world.control.mesh.identity("shop", "web"),
            ready: true,
          })),
        },
      ],
      ...more,
    });
  }

  let next = 0;
  /** A service with these rules, `one` itself; what asks it. */
  function routed(routes: readonly RouteRule[], more: Partial<ServiceState> = {}, names: readonly string[] = ["one"]) {
    const authority = `routed-${next++}.shop:80`;
    publish(authority, names, { routes: [...routes], ...more });
    return (path = "/", options: Parameters<typeof ask>[2] = {}): Promise<Answer> =>
      ask(client.outboundPort, authority, { ...options, path });
  }

  const to = (name: string, weight = 1) => ({ authority: `${name}.shop:80`, weight });
  const metric = async (name: string) => {
    const text = await (await fetch(`http://127.0.0.1:${client.adminPort}/metrics`)).text();
    return text.split("\n").filter((line) => line.startsWith(name));
  };

  it("goes to the backend of the first rule that matches, and counts by rule", async () => {
    const request = routed([
      {
        name: "HTTPRoute/shop/web/canary",
        matches: [{ headers: [{ name: "x-canary", value: { kind: "KIND_EXACT", value: "yes" } }] }],
        backends: [to("two")],
      },
      {
        name: "HTTPRoute/shop/web/items",
        matches: [{ path: { kind: "KIND_PREFIX", value: "/items" } }],
        backends: [to("three")],
      },
      { name: "HTTPRoute/shop/web/rest" },
    ]);
    assert.equal((await request("/items", { headers: { "x-canary": "yes" } })).body, "two");
    assert.equal((await request("/items/1")).body, "three");
    assert.equal((await request("/itemsize")).body, "one");
    const counted = await metric("route_request_total");
    assert.equal(counted.filter((line) => /route="HTTPRoute\/shop\/web\/canary"\} 1$/.test(line)).length, 1);
  });

  it("answers 404 where no rule matches, and 500 where the rule leads to nobody", async () => {
    world.control.service({ authority: "gone.shop:80", kind: "KIND_NOT_FOUND" });
    const request = routed([
      { name: "a", matches: [{ method: "POST" }], backends: [{ authority: "", weight: 1 }] },
      { name: "b", matches: [{ method: "PUT" }], backends: [{ authority: "gone.shop:80", weight: 1 }] },
    ]);
    const codes = [await request(), await request("/", { method: "POST" }), await request("/", { method: "PUT" })];
    assert.deepEqual(
      codes.map(({ status, headers }) => [status, headers["x-causeway-error"]]),
      [
        [404, "PROXY_NO_ROUTE"],
        [500, "PROXY_NO_BACKEND"],
        [500, "PROXY_NO_BACKEND"],
      ],
    );
  });

  it("shares requests out by weight", async () => {
    const request = routed([{ name: "canary", backends: [to("one", 4), to("two", 1), to("three", 0)] }]);
    for (let i = 0; i < 60; i++) await request();
    const [one = 0, two = 0] = ["one", "two"].map((name) => seen.get(name)?.length);
    assert.equal(one + two, 60);
    assert.ok(two >= 4 && two <= 24, String(two));
  });

  it("redirects without asking anybody", async () => {
    const request = routed([
      {
        name: "moved",
        matches: [{ path: { kind: "KIND_PREFIX", value: "/old" } }],
        filters: [
          {
            redirect: {
              scheme: "https",
              host: "new.test",
              path: { prefix: "/new", replacesPrefix: true },
              status: 301,
            },
          },
        ],
      },
    ]);
    const { status, headers } = await request("/old/page?q=1");
    assert.deepEqual(
      [status, headers["location"], headers["x-causeway-error"]],
      [301, "https://new.test/new/page?q=1", undefined],
    );
    assert.equal(seen.size, 0);
  });

  it("rewrites host, path and headers on the way, and headers on the way back", async () => {
    const request = routed([
      {
        name: "rewritten",
        matches: [{ path: { kind: "KIND_PREFIX", value: "/v1" } }],
        filters: [
          { rewrite: { host: "inner.test", path: { prefix: "/", replacesPrefix: true } } },
          {
            requestHeaders: {
              set: [{ name: "x-a", value: "set" }],
              add: [{ name: "x-b", value: "2" }],
              remove: ["x-c"],
            },
          },
          { responseHeaders: { set: [{ name: "x-new", value: "n" }], remove: ["x-secret"] } },
        ],
        backends: [to("two")],
      },
    ]);
    const { headers } = await request("/v1/items?q", { headers: { "X-A": "old", "x-b": "1", "X-C": "gone" } });
    const [got] = seen.get("two") ?? [];
    assert.deepEqual([got?.url, got?.headers["host"]], ["/items?q", "inner.test"]);
    assert.deepEqual([got?.headers["x-a"], got?.headers["x-b"], got?.headers["x-c"]], ["set", "1, 2", undefined]);
    assert.deepEqual([headers["x-new"], headers["x-secret"], headers["x-app"]], ["n", undefined, "two"]);
  });

  it("copies requests to a mirror, and never waits for it", async () => {
    troubles.set("two", ["hang"]);
    const request = routed([
      { name: "mirrored", filters: [{ mirror: { authority: "two.shop:80", numerator: 1, denominator: 1 } }] },
    ]);
    assert.equal((await request("/a", { method: "POST", body: "body" })).body, "one");
    assert.equal((await request("/b")).body, "one");
    await eventually(() => (seen.get("two") ?? []).length === 2);
    const [first] = seen.get("two") ?? [];
    assert.deepEqual([first?.method, first?.url, first?.body], ["POST", "/a", "body"]);
    const big = await request("/c", { method: "POST", body: Buffer.alloc(200_000, 97) });
    assert.equal(big.status, 200);
    await eventually(async () => (await metric('outbound_http_mirror_total{result="skipped"} 1')).length === 1);
  });

  it("sends a request again for a status that the rule names, whatever its method, as often as it says", async () => {
    const request = routed([{ name: "retried", backends: [to("one")], retry: { limit: 2, httpStatuses: [503] } }]);
    troubles.set("one", [503, 503]);
    assert.equal((await request("/", { method: "POST", body: "x" })).status, 200);
    assert.deepEqual(
      seen.get("one")?.map(({ body, headers }) => [body, headers["x-causeway-retries-left"]]),
      [
        ["x", "2"],
        ["x", "1"],
        ["x", "0"],
      ],
    );
    troubles.set("one", [503, 503, 503]);
    const last = await request();
    assert.deepEqual([last.status, last.headers["x-app"]], [503, "one"]);
  });

  it("gives up after the request's time, and tries elsewhere after a try's", async () => {
    const hanging = routed([{ name: "slow", timeouts: { requestMs: 60, tryMs: 0, idleMs: 0 } }]);
    troubles.set("one", ["hang"]);
    const late = await hanging();
    assert.deepEqual([late.status, late.headers["x-causeway-error"]], [504, "PROXY_TIMEOUT"]);
    const [got] = seen.get("one") ?? [];
    const left = Number(got?.headers["x-causeway-deadline-ms"]);
    assert.ok(left > 0 && left <= 60, String(left));
    const tried = routed([], { timeouts: { requestMs: 0, tryMs: 60, idleMs: 0 } }, ["one", "two"]);
    troubles.set("one", ["hang"]);
    troubles.set("two", []);
    seen.clear();
    for (let i = 0; i < 8; i++) assert.equal((await tried()).status, 200);
  });

  it("keeps the lesser of the app's deadline and its own, and lets nothing go on that is too late", async () => {
    const request = routed([], { timeouts: { requestMs: 5_000, tryMs: 0, idleMs: 0 } });
    await request("/", { headers: { "x-causeway-deadline-ms": "900", "x-causeway-retries-left": "1" } });
    const [got] = seen.get("one") ?? [];
    const left = Number(got?.headers["x-causeway-deadline-ms"]);
    assert.ok(left > 0 && left <= 900, String(left));
    assert.equal(got?.headers["x-causeway-retries-left"], "1");
    assert.equal((await request("/", { headers: { "x-causeway-deadline-ms": "0" } })).status, 504);
  });

  it("keeps a client at one endpoint where the service says so", async () => {
    const request = routed([], { affinitySeconds: 60 }, ["one", "two", "three"]);
    const names = new Set<string>();
    for (let i = 0; i < 12; i++) names.add((await request()).body);
    assert.equal(names.size, 1);
  });

  it("makes a new connection once the old one has reached its age", async () => {
    const authority = "aged.shop:80";
    const plain = (maxConnectionAgeMs: number) =>
      world.control.service({
        authority,
        kind: "KIND_SERVICE",
        maxConnectionAgeMs,
        groups: [
          {
            trustDomain: "east.mesh",
            endpoints: [{ id: "one", address: "127.0.0.1", port: apps.get("one")?.port ?? 0, ready: true }],
          },
        ],
      });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const connections = () => apps.get("one")?.accepted ?? 0;
    plain(1);
    await ask(client.outboundPort, authority, { agent });
    const before = connections();
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      await ask(client.outboundPort, authority, { agent });
    }
    agent.destroy();
    assert.equal(connections(), before + 3);
  });
});

describe("a limited port", () => {
  let world: ProxyWorld;
  let client: RunningProxy;
  let server: RunningProxy;
  let app: TestApp;
  let release: (() => void)[] = [];

  before(async () => {
    world = await createProxyWorld();
    app = await startApp((request, response) => {
      if (request.url === "/hold") release.push(() => response.end("held"));
      else response.end("ok");
    });
    world.later(() => app.close());
    server = await world.proxy("web");
    client = await world.proxy("client");
    world.control.service({
      authority: "web.shop:80",
      kind: "KIND_SERVICE",
      groups: [
        {
          trustDomain: "east.mesh",
          endpoints: [
            {
              id: "a",
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
  });
  after(() => world.close());

  const limit = async (more: object) => {
    world.control.inbound("web", {
      cluster: "east",
      trustDomain: "east.mesh",
      ports: [{ port: app.port, namespace: "shop", service: "web", ...more }],
    });
    // The state has arrived once its namesake of the port is shown, or acts; the fence below is a request that passes.
    await eventually(async () => (await ask(client.outboundPort, "web.shop")).status > 0);
  };

  it("answers 429 over the rate of a client", async () => {
    await limit({ rateLimit: 1, rateBurst: 3 });
    let refused: Answer | undefined;
    await eventually(async () => {
      const answer = await ask(client.outboundPort, "web.shop");
      if (answer.status === 429) refused = answer;
      return refused !== undefined;
    });
    assert.deepEqual(
      [refused?.headers["x-causeway-error"], refused?.headers["retry-after"]],
      ["PROXY_RATE_LIMITED", "1"],
    );
    world.control.inbound("web", { cluster: "east", trustDomain: "east.mesh", ports: [] });
    await eventually(async () => (await ask(client.outboundPort, "web.shop")).status === 200);
  });

  it("has a few requests over the limit wait, and answers 503 to more", async () => {
    world.control.inbound("web", {
      cluster: "east",
      trustDomain: "east.mesh",
      ports: [{ port: app.port, namespace: "shop", service: "web", maxInFlight: 1, rateLimit: 1_000_000 }],
    });
    release = [];
    const first = ask(client.outboundPort, "web.shop", { path: "/hold" });
    await eventually(() => release.length === 1);
    const others = Array.from({ length: 4 }, () => ask(client.outboundPort, "web.shop", { method: "POST" }));
    const shed = await Promise.race(others);
    assert.deepEqual([shed.status, shed.headers["x-causeway-error"]], [503, "PROXY_OVERLOADED"]);
    for (const step of release) step();
    assert.equal((await first).body, "held");
    const statuses = (await Promise.all(others)).map(({ status }) => status).sort();
    assert.ok(statuses.includes(503) && statuses.every((status) => status === 200 || status === 503), String(statuses));
  });
});
