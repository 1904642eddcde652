import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import { seededRandom } from "../../core/random.ts";
import { ConnectionPool } from "../http1/connection-pool.ts";
import { Http2Pool } from "../http2/http2-pool.ts";
import { admit, createBreaker, fail, GATEWAY_MAX_MS } from "../resilience/breaker.ts";
import type { Endpoint, EndpointSpec } from "./endpoint.ts";
import type { GatewayTarget } from "./gateway-target.ts";
import { createLoad, loadOf, observe } from "./peak-ewma.ts";
import { pickGroup, shareOut } from "./priority.ts";
import { type GroupSpec, type LinkTable, PLAIN_SERVICE, Service, type ServiceSpec } from "./service.ts";
import { twoChoices } from "./two-choices.ts";

describe("observe()", () => {
  it("jumps to a peak at once and sinks slowly", () => {
    const load = createLoad(0);
    observe(load, 500, 100);
    assert.equal(load.ewmaMs, 500);
    observe(load, 10, 200);
    assert.ok(load.ewmaMs > 490 && load.ewmaMs < 500);
    observe(load, 10, 60_000);
    assert.ok(load.ewmaMs < 15);
  });

  it("lets a past peak fade without new measurements, and weighs what is pending", () => {
    const load = { ...createLoad(0), ewmaMs: 100 };
    assert.ok(loadOf(load, 30_000) < 6);
    assert.ok(loadOf({ ...load, pending: 3 }, 0) > 3.9 * loadOf(load, 0));
  });
});

describe("twoChoices()", () => {
  it("avoids a slow candidate nearly always among three", () => {
    const random = seededRandom(3);
    const candidates = [5, 5, 500].map((ewmaMs) => ({ load: { ...createLoad(0), ewmaMs } }));
    let slow = 0;
    for (let i = 0; i < 300; i++) if (twoChoices(candidates, 0, random) === candidates[2]) slow++;
    assert.equal(slow, 0);
  });
});

describe("shareOut()", () => {
  const group = (healthy: number, total: number, cap = 1) => ({ healthy, total, cap });
  it("keeps everything in the first group down to some 71 % healthy, then shifts in proportion", () => {
    assert.deepEqual(shareOut([group(3, 4), group(1, 1)]), [1, 0]);
    const [first = 0, second = 0] = shareOut([group(1, 2), group(1, 1)]);
    assert.ok(Math.abs(first - 0.7) < 1e-9 && Math.abs(second - 0.3) < 1e-9);
    assert.deepEqual(shareOut([group(0, 2), group(1, 1)]), [0, 1]);
  });

  it("gives a dead group nothing, a recovering one its ramp, and a lone one everything", () => {
    assert.deepEqual(shareOut([group(2, 2, 0), group(1, 1)]), [0, 1]);
    assert.deepEqual(shareOut([group(2, 2, 0.25), group(1, 1)]), [0.25, 0.75]);
    assert.deepEqual(shareOut([group(1, 10, 0.1)]), [1]);
    assert.deepEqual(shareOut([group(0, 3), group(0, 0)]), [0, 0]);
  });

  it("is picked from by a uniform number", () => {
    assert.deepEqual(
      [0, 0.69, 0.71, 0.999].map((u) => pickGroup([0.7, 0.3], u)),
      [0, 0, 1, 1],
    );
    assert.equal(pickGroup([0, 0], 0.5), -1);
  });
});

describe("Service.choose()", () => {
  const clock = new ManualClock();
  let links: LinkTable;
  let gateways: Map<string, GatewayTarget>;
  beforeEach(() => {
    links = new Map();
    gateways = new Map();
  });

  const endpointSpec = (id: string, ready = true): EndpointSpec => ({
    id,
    address: "10.0.0.1",
    port: 80,
    proxyPort: 4143,
    identity: "",
    routeName: "",
    ready,
    zone: "",
  });
  const groupSpec = (cluster: string, ids: string[], gatewayHosts: string[] = []): GroupSpec => ({
    cluster,
    trustDomain: `${cluster || "own"}.mesh`,
    endpoints: ids.map((id) => endpointSpec(id)),
    gateways: gatewayHosts.map((host) => ({ host, port: 4143 })),
  });
  const spec = (...groups: GroupSpec[]): ServiceSpec => ({
    ...PLAIN_SERVICE,
    kind: "service",
    namespace: "shop",
    name: "web",
    appProtocol: "",
    federated: groups.length > 1,
    groups,
  });

  function service(first: ServiceSpec): Service {
    return new Service("web.shop:80", first, {
      clock,
      random: seededRandom(5),
      zone: "",
      routeRow: () => 0,
      links: () => links,
      gateway(host, port) {
        const breaker = createBreaker(GATEWAY_MAX_MS);
        const known = gateways.get(host) ?? {
          host,
          port,
          load: createLoad(0),
          breaker,
          answers: { count: 0 },
          connectedMs: -Infinity,
        };
        gateways.set(host, known);
        return known;
      },
      endpoint: (given, group): Endpoint => ({
        spec: given,
        group,
        load: createLoad(0),
        breaker: createBreaker(),
        pool: new ConnectionPool(clock, seededRandom(6)),
        mux: undefined,
        http2: new Http2Pool(),
        row: 0,
        rampUntilMs: 0,
      }),
    });
  }

  function chosen(from: Service, tried: Endpoint[] = [], elsewhere = false): string[] {
    const ids = Array.from({ length: 100 }, () => from.choose(tried, elsewhere)?.spec.id ?? "none");
    return [...new Set(ids)].sort();
  }

  const all = (of: Service) => of.groups.flatMap((group) => [...group.endpoints]);
  const open = (endpoint: { breaker: Endpoint["breaker"] } | undefined) => {
    assert.ok(endpoint);
    fail(endpoint.breaker, true, clock.nowMs(), () => 0);
  };

  it("stays in the first group while it is whole", () => {
    assert.deepEqual(chosen(service(spec(groupSpec("", ["a", "b"]), groupSpec("east", ["r"])))), ["a", "b"]);
  });

  it("puts the cluster that the caller prefers first, for as long as it can take the request", () => {
    const web = service(spec(groupSpec("", ["a"]), groupSpec("east", ["e"]), groupSpec("north", ["n"])));
    const prefers = (cluster: string) => web.choose([], false, cluster)?.spec.id;
    assert.deepEqual(["north", "east", "nowhere", ""].map(prefers), ["n", "e", "a", "a"]);
    links = new Map([["north", { health: "dead", ramp: 0 }]]);
    assert.equal(prefers("north"), "a");
  });

  it("shifts to the next group as endpoints break, and keeps state over a new message", () => {
    const web = service(spec(groupSpec("", ["a", "b"]), groupSpec("east", ["r"])));
    open(all(web)[0]);
    assert.deepEqual(chosen(web), ["b", "r"]);
    web.apply(spec(groupSpec("", ["a", "b", "c"]), groupSpec("east", ["r"])));
    assert.equal(all(web)[0]?.breaker.state, "open");
    for (const endpoint of all(web).slice(1, 3)) open(endpoint);
    assert.deepEqual(chosen(web), ["r"]);
  });

  it("sends nothing to a cluster whose link is dead or whose gateways take no connections while another can", () => {
    const web = service(spec(groupSpec("", []), groupSpec("east", ["e"], ["g1", "g2"]), groupSpec("north", ["n"])));
    links = new Map([["north", { health: "dead", ramp: 0 }]]);
    assert.deepEqual(chosen(web), ["e"]);
    for (const gateway of gateways.values()) open(gateway);
    // The last resort: its gateways failed, but its link lives.
    assert.deepEqual(chosen(web), ["e"]);
    links = new Map([["east", { health: "dead", ramp: 0 }]]);
    assert.deepEqual(chosen(web), ["n"]);
  });

  it("tries a dead link after all else for a federated name, and not at all for the name of one cluster", () => {
    links = new Map([["east", { health: "dead", ramp: 0 }]]);
    const web = service(spec(groupSpec("", ["a"]), groupSpec("east", ["e"])));
    const [a, e] = all(web);
    assert.ok(a && e);
    open(a);
    assert.deepEqual(chosen(web), ["a"]);
    assert.deepEqual(chosen(web, [a], true), ["a"]);
    assert.deepEqual(chosen(web, [a, a], true), ["e"]);
    assert.deepEqual(chosen(web, [a, a, e, e], true), ["none"]);
    web.apply(spec(groupSpec("", []), groupSpec("east", ["e"])));
    assert.deepEqual(chosen(web), ["e"]);
    assert.deepEqual(chosen(service(spec(groupSpec("east", ["e"])))), ["none"]);
  });

  it("gives a group that lost all it had its share back little by little, not at once", async () => {
    const web = service(spec(groupSpec("", ["a", "b"]), groupSpec("east", ["r"])));
    const lost = groupSpec("", ["a", "b"]);
    const gone = { ...lost, endpoints: lost.endpoints.map((endpoint) => ({ ...endpoint, ready: false })) };
    web.apply(spec(gone, groupSpec("east", ["r"])));
    assert.deepEqual(chosen(web), ["r"]);
    web.apply(spec(lost, groupSpec("east", ["r"])));
    assert.deepEqual(chosen(web), ["r"]);
    await clock.advance(6_000);
    const away = () =>
      Array.from({ length: 400 }, () => web.choose([], false)).filter((e) => e?.spec.id === "r").length;
    const half = away();
    assert.ok(half > 140 && half < 260, String(half));
    await clock.advance(6_000);
    assert.equal(away(), 0);
  });

  it("sends drained clusters' traffic elsewhere by share, by their own names all of it still there", () => {
    const web = service(spec(groupSpec("", ["a"]), groupSpec("east", ["e"])));
    links = new Map([["", { health: "alive", ramp: 1, drained: 0.75 }]]);
    const own = Array.from({ length: 400 }, () => web.choose([], false)).filter((e) => e?.spec.id === "a").length;
    assert.ok(own > 60 && own < 140, String(own));
    links = new Map([["", { health: "alive", ramp: 1, drained: 1 }]]);
    assert.deepEqual(chosen(web), ["e"]);
    links = new Map([["east", { health: "alive", ramp: 1, drained: 1 }]]);
    assert.deepEqual(chosen(service(spec(groupSpec("east", ["e"])))), ["e"]);
    // Better there than nowhere.
    open(all(web)[0]);
    assert.deepEqual([chosen(web, all(web).slice(0, 1))], [["e"]]);
  });

  it("shares a level among its groups, and puts the one that the caller prefers before it", () => {
    const level = { level: 0 };
    const web = service(
      spec({ ...groupSpec("", ["a"]), ...level, weight: 30 }, { ...groupSpec("east", ["e"]), ...level, weight: 70 }),
    );
    const picks = Array.from({ length: 400 }, () => web.choose([], false)?.spec.id);
    const east = picks.filter((id) => id === "e").length;
    assert.ok(east > 240 && east < 320, String(east));
    assert.deepEqual([...new Set(Array.from({ length: 50 }, () => web.choose([], false, "east")?.spec.id))], ["e"]);
  });

  it("counts the endpoints that it was not told of", () => {
    const part = { ...groupSpec("", ["a", "b"]), counts: { total: 8, ready: 2 } };
    const web = service(spec(part, groupSpec("east", ["e"])));
    open(all(web)[0]);
    // 1 of 2 at hand stands for 1 of 8: 0.125 × 1.4 of the traffic stays.
    const here = Array.from({ length: 400 }, () => web.choose([], false)).filter((e) => e?.spec.id === "b").length;
    assert.ok(here > 40 && here < 110, String(here));
  });

  it("keeps the last good endpoints when all clusters lose theirs at once, not when one does", async () => {
    const identity = "spiffe://own.mesh/ns/shop/sa/web";
    const verified = (group: GroupSpec): GroupSpec => ({
      ...group,
      endpoints: group.endpoints.map((endpoint) => ({ ...endpoint, identity })),
    });
    const good = spec(verified(groupSpec("", ["a"])), verified(groupSpec("east", ["e"])));
    const none = spec(groupSpec("", []), groupSpec("east", []));
    const web = service(good);
    web.apply(none);
    assert.deepEqual([web.kept, chosen(web)], [true, ["a"]]);
    web.apply(good);
    assert.equal(web.kept, false);
    web.apply(none);
    await clock.advance(600_000);
    web.apply(none);
    assert.deepEqual(chosen(web), ["none"]);
    const alone = service(spec(verified(groupSpec("", ["a"])), groupSpec("east", [])));
    alone.apply(none);
    assert.deepEqual([alone.kept, chosen(alone)], [false, ["none"]]);
  });

  it("goes on to what was tried once when the first group has been tried twice", () => {
    const web = service(spec(groupSpec("", ["a"]), groupSpec("east", ["e"])));
    const [a, e] = all(web);
    assert.ok(a && e);
    assert.deepEqual(chosen(web, [a, e, a], true), ["e"]);
  });

  it("tries what a breaker keeps back before it gives up", () => {
    const web = service(spec(groupSpec("", ["a", "b"])));
    const [a, b] = all(web);
    assert.ok(a && b);
    open(b);
    assert.deepEqual(chosen(web, [a, a]), ["b"]);
  });

  it("probes a broken gateway once its time has come", async () => {
    const web = service(spec(groupSpec("east", ["e"], ["g1"])));
    const gateway = gateways.get("g1");
    open(gateway);
    assert.deepEqual(chosen(web), ["none"]);
    await clock.advance(1_000);
    assert.deepEqual(chosen(web), ["e"]);
    assert.ok(gateway);
    admit(gateway.breaker, clock.nowMs());
    assert.deepEqual(chosen(web), ["none"]);
  });

  it("probes a lone gateway within 2 s however often it has failed, so that a mirror's name comes back", async () => {
    const web = service(spec(groupSpec("east", ["e"], ["g1"])));
    const gateway = gateways.get("g1");
    for (let i = 0; i < 10; i++) {
      open(gateway);
      assert.deepEqual(chosen(web), ["none"]);
      await clock.advance(2_000);
      assert.deepEqual(chosen(web), ["e"]);
      assert.ok(gateway);
      admit(gateway.breaker, clock.nowMs());
    }
    await clock.advance(2_000);
    assert.deepEqual(chosen(web), ["e"]);
  });

  it("says of each group what keeps requests from it", () => {
    const notReady = { ...groupSpec("", ["a"]), endpoints: [endpointSpec("a", false)] };
    const gone = groupSpec("south", []);
    const web = service(spec(notReady, groupSpec("east", ["e"], ["g1"]), groupSpec("north", ["n"]), gone));
    links = new Map([["north", { health: "dead", ramp: 0 }]]);
    open(gateways.get("g1"));
    const { kinds, text } = web.obstacles();
    assert.deepEqual(kinds, ["not_ready", "gateways_broken", "link_dead", "no_endpoints"]);
    assert.match(
      text,
      /^none of 1 endpoints is ready; no gateway of east takes connections, the next try is in \d+ ms;/,
    );
    assert.match(text, /; the link to north is dead; no endpoint in south is known$/);
    const local = service(spec(groupSpec("", ["a"])));
    assert.deepEqual(local.obstacles(), { kinds: [], text: "" });
    open(all(local)[0]);
    assert.deepEqual(local.obstacles().kinds, ["ejected"]);
  });

  it("does not believe breakers that would leave less than half of the only group", () => {
    const web = service(spec(groupSpec("", ["a", "b", "c"])));
    open(all(web)[0]);
    assert.deepEqual(chosen(web), ["b", "c"]);
    open(all(web)[1]);
    assert.deepEqual(chosen(web), ["a", "b", "c"]);
  });

  it("avoids endpoints that the request has failed on, then their group", () => {
    const web = service(spec(groupSpec("", ["a", "b", "c"]), groupSpec("east", ["r"])));
    const [a, b] = all(web);
    assert.ok(a && b);
    assert.ok(!chosen(web, [a]).includes("a"));
    assert.deepEqual(chosen(web, [a, b], true), ["r"]);
    const alone = service(spec(groupSpec("", ["a"])));
    assert.deepEqual(chosen(alone, all(alone), true), ["a"]);
    assert.deepEqual(chosen(alone, [...all(alone), ...all(alone)], true), ["none"]);
  });
});
