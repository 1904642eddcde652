// What a `mesh proxy` does with the endpoints that control tells it of: who answers, and what it says of them.
import { deepEqual, equal, ok } from "node:assert/strict";
import { Agent } from "node:http";
import type { Endpoint } from "../protos/gen/causeway/discovery/v1/Endpoint.ts";
import type { ServiceState } from "../protos/gen/causeway/discovery/v1/ServiceState.ts";
import { eventually } from "./support/eventually.ts";
import { type ProxyProcess, startProxyProcess } from "./support/proxy-process.ts";
import { type Answer, ask, createProxyWorld, type ProxyWorld, startApp } from "./support/proxy-world.ts";

/** Beyond any chance: where each of n endpoints may be asked, one is left out of so many with less than 1 in a million. */
const MANY = 60;

interface EndpointView {
  readonly id: string;
  readonly breaker: string;
}

describe("mesh proxy among endpoints", function () {
  this.timeout(60_000);
  let world: ProxyWorld;
  let client: ProxyProcess;
  let services = 0;

  before(async () => {
    world = await createProxyWorld();
    client = await startProxyProcess(world.control, "client", { args: ["--zone", "here"] });
    world.later(() => client.close());
  });
  after(() => world?.close());

  /** An app that answers with its name, or with the status that `statusOf` gives its nth request. */
  async function app(name: string, statusOf: (nth: number) => number = () => 200) {
    let asked = 0;
    const made = await startApp((_, response) => {
      response.statusCode = statusOf(asked++);
      response.end(name);
    });
    world.later(() => made.close());
    return made;
  }

  const endpoint = (id: string, port: number, more: Partial<Endpoint> = {}): Endpoint => ({
    id,
    address: "127.0.0.1",
    port,
    proxyPort: 0,
    ready: true,
    ...more,
  });

  function name(): string {
    return `web${services++}.shop:80`;
  }

  function publish(authority: string, endpoints: Endpoint[], more: Partial<ServiceState> = {}): void {
    const groups = [{ trustDomain: "east.mesh", endpoints }];
    world.control.service({ authority, kind: "KIND_SERVICE", groups, ...more });
  }

  const say = (authority: string): Promise<Answer> => ask(client.outboundPort, authority.replace(/:80$/, ""));

  /** How many of `count` requests, ten at a time, each endpoint has answered; what the proxy answers counts as its status. */
  async function answers(authority: string, count = MANY): Promise<Record<string, number>> {
    const by: Record<string, number> = {};
    for (let i = 0; i < count; i += 10) {
      for (const { body, status, headers } of await Promise.all(Array.from({ length: 10 }, () => say(authority)))) {
        const who = headers["x-causeway-error"] === undefined ? body : String(status);
        by[who] = (by[who] ?? 0) + 1;
      }
    }
    return by;
  }

  /** Breakers of a service's endpoints by id, as the proxy shows them. */
  async function breakers(authority: string): Promise<Record<string, string>> {
    const response = await fetch(`http://127.0.0.1:${client.adminPort}/config`);
    const config = (await response.json()) as {
      services: { authority: string; groups: { endpoints: EndpointView[] }[] }[];
    };
    const found = config.services.find((service) => service.authority === authority);
    const endpoints = found?.groups.flatMap((group) => group.endpoints) ?? [];
    return Object.fromEntries(endpoints.map(({ id, breaker }) => [id, breaker]));
  }

  const broken = async (authority: string) =>
    Object.entries(await breakers(authority)).flatMap(([id, state]) => (state === "closed" ? [] : [id]));

  describe("of several zones", () => {
    it("asks those of its own zone, the others as far as those cannot take it", async () => {
      const authority = name();
      const [near1, near2, far] = [await app("near1"), await app("near2"), await app("far")];
      const all = (ready: readonly boolean[]) =>
        [
          endpoint("near1", near1.port, { zone: "here" }),
          endpoint("near2", near2.port, { zone: "here" }),
          endpoint("far", far.port, { zone: "there" }),
        ].map((each, i) => ({ ...each, ready: ready[i] ?? false }));
      publish(authority, all([true, true, true]), { preferZone: true });
      deepEqual(Object.keys(await answers(authority)).sort(), ["near1", "near2"]);

      // Half of the zone is left: it takes 1.4 halves, another zone the rest.
      publish(authority, all([true, false, true]), { preferZone: true });
      await eventually(async () => (await answers(authority, 10))["near2"] === undefined);
      deepEqual(Object.keys(await answers(authority)).sort(), ["far", "near1"]);

      publish(authority, all([false, false, true]), { preferZone: true });
      await eventually(async () => (await answers(authority, 10))["near1"] === undefined);
      deepEqual(await answers(authority), { far: MANY });

      publish(authority, all([true, true, true]), { preferZone: true });
      await eventually(async () => (await answers(authority, 10))["far"] === undefined);
      deepEqual(Object.keys(await answers(authority)).sort(), ["near1", "near2"]);
    });

    it("asks all of them alike where the service does not prefer its zone", async () => {
      const authority = name();
      const [near, far] = [await app("near"), await app("far")];
      publish(authority, [endpoint("near", near.port, { zone: "here" }), endpoint("far", far.port, { zone: "there" })]);
      deepEqual(Object.keys(await answers(authority)).sort(), ["far", "near"]);
    });
  });

  it("brings a new endpoint in slowly, and in", async () => {
    const authority = name();
    const [old, young] = [await app("old"), await app("young")];
    publish(authority, [endpoint("old", old.port)]);
    deepEqual(await answers(authority, 10), { old: 10 });
    const both = [endpoint("old", old.port), endpoint("young", young.port)];
    publish(authority, both);
    await eventually(async () => "young" in (await breakers(authority)));
    // All at once: its share grows with time, and little of that passes.
    const at = await Promise.all(Array.from({ length: MANY }, () => say(authority)));
    const early = at.filter(({ body }) => body === "young").length;
    ok(early < MANY / 4, `${early} of ${MANY} went to the new one`);
    await eventually(async () => {
      const by = await answers(authority);
      return (by["young"] ?? 0) > MANY / 4;
    }, 30_000);
  });

  it("leaves one out whose success rate is far below that of the others, though it never fails seven times in a row", async () => {
    const authority = name();
    const [good1, good2] = [await app("good1"), await app("good2")];
    const bad = await app("bad", (nth) => (nth % 4 === 3 ? 200 : 500));
    publish(authority, [endpoint("good1", good1.port), endpoint("good2", good2.port), endpoint("bad", bad.port)]);
    await eventually(async () => {
      await answers(authority);
      return (await broken(authority)).includes("bad");
    });
    deepEqual(await broken(authority), ["bad"]);
    const text = await (await fetch(`http://127.0.0.1:${client.adminPort}/metrics`)).text();
    const gauge = `outbound_http_balancer_endpoints{authority="${authority}",cluster="",endpoint_state="broken"} 1`;
    ok(text.includes(gauge), gauge);
  });

  it("never leaves out more than half of a service for what they answer", async () => {
    const authority = name();
    const ids = ["a", "b", "c", "d"];
    const apps = await Promise.all(ids.map((id) => app(id, () => 500)));
    publish(
      authority,
      apps.map(({ port }, i) => endpoint(ids[i] ?? "", port)),
    );
    await eventually(async () => {
      await answers(authority);
      return (await broken(authority)).length === 2;
    });
    // The others go on failing, and are asked all the same: what they answer is passed on.
    const by = await answers(authority, 200);
    equal(by["503"], undefined);
    equal(
      Object.values(by).reduce((sum, n) => sum + n, 0),
      200,
    );
    ok((await broken(authority)).length <= 2);
  });

  it("asks all where all connections fail, and is back with the first that answers", async () => {
    const authority = name();
    const ids = ["a", "b", "c", "d"];
    const apps = await Promise.all(ids.map((id) => app(id)));
    const ports = apps.map(({ port }) => port);
    publish(
      authority,
      ports.map((port, i) => endpoint(ids[i] ?? "", port)),
    );
    equal((await say(authority)).status, 200);
    await Promise.all(apps.map((each) => each.close()));
    await eventually(async () => {
      equal((await say(authority)).status, 503);
      return (await broken(authority)).length === 4;
    });
    const back = await startApp((_, response) => response.end("back"), undefined, "127.0.0.1");
    world.later(() => back.close());
    // One comes back under another id: it is new, and the only one whose breaker is closed.
    publish(authority, [...ports.map((port, i) => endpoint(ids[i] ?? "", port)), endpoint("back", back.port)]);
    await eventually(async () => "back" in (await breakers(authority)));
    deepEqual(await answers(authority, 20), { back: 20 });
  });

  describe("with session affinity", () => {
    const agents: Agent[] = [];
    after(() => {
      for (const agent of agents) agent.destroy();
    });

    it("keeps each client at one endpoint, and moves only those whose endpoint goes", async () => {
      const authority = name();
      const ids = ["a", "b", "c"];
      const apps = await Promise.all(ids.map((id) => app(id)));
      const all = apps.map(({ port }, i) => endpoint(ids[i] ?? "", port));
      const settings = { affinitySeconds: 600 };
      publish(authority, all, settings);
      const clients = Array.from({ length: 24 }, (_, i) => `127.0.0.${i + 1}`);
      const placed = async () => {
        const by = new Map<string, string>();
        for (const localAddress of clients) {
          const agent = new Agent({ localAddress });
          agents.push(agent);
          const bodies = new Set<string>();
          for (let i = 0; i < 5; i++)
            bodies.add((await ask(client.outboundPort, authority.replace(/:80$/, ""), { agent })).body);
          equal(bodies.size, 1, `${localAddress} was at ${[...bodies].join(" and ")}`);
          by.set(localAddress, [...bodies].join());
        }
        return by;
      };
      const first = await placed();
      deepEqual([...new Set(first.values())].sort(), ids);
      publish(authority, all.slice(1), settings);
      await eventually(async () => !("a" in (await breakers(authority))));
      for (const [who, where] of await placed()) {
        if (first.get(who) === "a") ok(where !== "a");
        else equal(where, first.get(who), who);
      }
      publish(authority, all, settings);
      await eventually(async () => "a" in (await breakers(authority)));
      deepEqual(await placed(), first);
    });
  });

  describe("whose event loop is late", () => {
    /** Requests under way from which on a proxy looks whether it is late. */
    const UNDER_WAY = 80;
    const LATE_MS = 2_500;

    it("turns requests away while it is, and takes them again after", async () => {
      const authority = name();
      let release = () => {};
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      let waiting = 0;
      const slow = await startApp((request, response) => {
        if (request.url === "/wait") {
          waiting++;
          void released.then(() => response.end("waited"));
        } else response.end("ok");
      });
      world.later(() => slow.close());
      const server = await startProxyProcess(world.control, "web");
      world.later(() => server.close());
      const identity = world.control.mesh.identity("shop", "web");
      publish(authority, [endpoint("w", slow.port, { proxyPort: server.inboundPort, identity })]);
      const host = authority.replace(/:80$/, "");
      const held = Array.from({ length: UNDER_WAY }, () => ask(client.outboundPort, host, { path: "/wait" }));
      await eventually(() => waiting === UNDER_WAY);

      const turned: Answer[] = [];
      let over = false;
      const askers = Array.from({ length: 4 }, async () => {
        while (!over) {
          const answer = await say(authority);
          if (answer.status !== 200) turned.push(answer);
        }
      });
      // To its event loop a process that is stopped is one that was late.
      await eventually(async () => {
        process.kill(server.pid, "SIGSTOP");
        await new Promise((resolve) => setTimeout(resolve, LATE_MS));
        process.kill(server.pid, "SIGCONT");
        return await eventually(() => turned.length > 0, 1_000).catch(() => false);
      });
      const [first] = turned;
      equal(first?.status, 503);
      equal(first?.headers["x-causeway-error"], "PROXY_OVERLOADED");
      const metrics = await (await fetch(`http://127.0.0.1:${server.adminPort}/metrics`)).text();
      const shed = /http_load_shed_total\{direction="inbound"[^}]*} (\d+)/.exec(metrics)?.[1];
      ok(Number(shed) > 0, "http_load_shed_total");

      over = true;
      await Promise.all(askers);
      await eventually(async () => (await answers(authority, 20))["ok"] === 20);
      release();
      for (const { body } of await Promise.all(held)) equal(body, "waited");
    });
  });
});
