import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import { seededRandom } from "../../core/random.ts";
import { ConnectionPool } from "../http1/connection-pool.ts";
import { Http2Pool } from "../http2/http2-pool.ts";
import { createBreaker, fail, succeed } from "../resilience/breaker.ts";
import { Affinity, rendezvous } from "./affinity.ts";
import type { Endpoint } from "./endpoint.ts";
import { peersOf } from "./outlier.ts";
import { createLoad } from "./peak-ewma.ts";
import { PLAIN_SERVICE, Service, type ServiceSpec } from "./service.ts";

describe("Service.choose() by preference", () => {
  let clock: ManualClock;
  beforeEach(() => {
    clock = new ManualClock();
  });

  /** Endpoints as "<id>@<zone>". */
  function spec(endpoints: readonly string[], more: Partial<ServiceSpec> = {}): ServiceSpec {
    return {
      ...PLAIN_SERVICE,
      kind: "service",
      namespace: "shop",
      name: "web",
      appProtocol: "",
      federated: false,
      ...more,
      groups: [
        {
          cluster: "",
          trustDomain: "own.mesh",
          gateways: [],
          endpoints: endpoints.map((text) => {
            const [id = "", zone = ""] = text.split("@");
            const base = { id, zone, address: "10.0.0.1", port: 80, proxyPort: 0, identity: "", routeName: "" };
            return { ...base, ready: true };
          }),
        },
      ],
    };
  }

  function service(first: ServiceSpec): Service {
    const random = seededRandom(5);
    return new Service("web.shop:80", first, {
      clock,
      random,
      zone: "near",
      links: () => new Map(),
      routeRow: () => 0,
      gateway: () => assert.fail("no gateways"),
      endpoint: (given, group): Endpoint => ({
        spec: given,
        group,
        load: createLoad(0),
        breaker: createBreaker(),
        pool: new ConnectionPool(clock, random),
        http2: new Http2Pool(),
        mux: undefined,
        row: 0,
        rampUntilMs: 0,
      }),
    });
  }

  const endpoints = (of: Service) => of.groups[0]?.endpoints ?? [];
  const counts = (of: Service, times = 400, client = "") => {
    const found: Record<string, number> = {};
    for (let i = 0; i < times; i++) {
      const id = of.choose([], false, "", client)?.spec.id ?? "none";
      found[id] = (found[id] ?? 0) + 1;
    }
    return found;
  };
  const open = (endpoint: Endpoint | undefined) => {
    assert.ok(endpoint);
    fail(endpoint.breaker, true, clock.nowMs(), () => 0);
  };

  it("stays in its own zone while that is whole, and spills over in proportion when it is not", () => {
    const web = service(spec(["a@near", "b@near", "c@far", "d@far"], { preferZone: true }));
    assert.deepEqual(Object.keys(counts(web)).sort(), ["a", "b"]);
    open(endpoints(web)[0]);
    const found = counts(web);
    const far = (found["c"] ?? 0) + (found["d"] ?? 0);
    // One of two is healthy: 0.5 × 1.4 of the traffic stays.
    assert.ok(far > 80 && far < 160 && found["a"] === undefined, JSON.stringify(found));
  });

  it("makes no difference between zones where it is not asked to, or has nobody near", () => {
    assert.equal(Object.keys(counts(service(spec(["a@near", "b@far"])))).length, 2);
    assert.equal(Object.keys(counts(service(spec(["a@far", "b@other"], { preferZone: true })))).length, 2);
  });

  it("gives a new endpoint little at first and its share after ten seconds", async () => {
    const web = service(spec(["a", "b"]));
    web.apply(spec(["a", "b", "new"]));
    const first = counts(web)["new"] ?? 0;
    assert.ok(first < 10, String(first));
    await clock.advance(5_000);
    const half = counts(web)["new"] ?? 0;
    assert.ok(half > 30 && half < 110, String(half));
    await clock.advance(5_001);
    const whole = counts(web)["new"] ?? 0;
    assert.ok(whole > 80, String(whole));
  });

  it("keeps a client at one endpoint, and moves it only when that one is gone", () => {
    const web = service(spec(["a", "b", "c"], { affinityMs: 60_000 }));
    const [first = ""] = Object.keys(counts(web, 50, "10.0.0.9"));
    assert.deepEqual(counts(web, 50, "10.0.0.9"), { [first]: 50 });
    const used = new Set(Array.from({ length: 40 }, (_, i) => Object.keys(counts(web, 1, `client-${i}`))[0]));
    assert.equal(used.size, 3);
    open(endpoints(web).find(({ spec: { id } }) => id === first));
    const [second = ""] = Object.keys(counts(web, 50, "10.0.0.9"));
    assert.notEqual(second, first);
  });

  it("breaks an endpoint whose success rate is clearly under that of its peers", () => {
    const web = service(spec(["a", "b", "c"]));
    const [a, b, c] = endpoints(web);
    assert.ok(a && b && c);
    const answer = (endpoint: Endpoint, good: boolean) => {
      const nowMs = clock.nowMs();
      if (good) return succeed(endpoint.breaker, nowMs);
      return fail(endpoint.breaker, false, nowMs, () => 0, peersOf(web.groups, endpoint, nowMs));
    };
    for (let i = 0; i < 30; i++) for (const endpoint of [b, c]) answer(endpoint, true);
    for (let i = 0; i < 40; i++) answer(a, i % 3 === 0);
    assert.equal(a.breaker.state, "open");
    assert.deepEqual([b.breaker.state, c.breaker.state], ["closed", "closed"]);
  });

  it("breaks nobody where all fail alike, and never more than half", () => {
    const web = service(spec(["a", "b", "c", "d"]));
    const all = endpoints(web);
    const blame = (endpoint: Endpoint) =>
      fail(endpoint.breaker, false, clock.nowMs(), () => 0, peersOf(web.groups, endpoint, clock.nowMs()));
    for (let i = 0; i < 60; i++) {
      for (const endpoint of all) {
        if (i % 3 === 0) succeed(endpoint.breaker, clock.nowMs());
        else blame(endpoint);
      }
    }
    assert.ok(all.every(({ breaker }) => breaker.state === "closed"));
    for (let i = 0; i < 20; i++) for (const endpoint of all) blame(endpoint);
    assert.equal(all.filter(({ breaker }) => breaker.state !== "closed").length, 2);
  });
});

describe("Affinity.session()", () => {
  it("ends when a client was silent for as long", () => {
    const affinity = new Affinity(seededRandom(2));
    const first = affinity.session("a", 1_000, 0);
    assert.equal(affinity.session("a", 1_000, 999), first);
    assert.equal(affinity.session("a", 1_000, 1_998), first);
    assert.notEqual(affinity.session("a", 1_000, 2_998), first);
  });
});

describe("rendezvous()", () => {
  it("moves only those whose endpoint is gone", () => {
    const all = ["a", "b", "c", "d"].map((id) => ({ spec: { id } }));
    let moved = 0;
    for (let salt = 0; salt < 400; salt++) {
      const session = { salt, usedMs: 0 };
      const before = rendezvous(all, session)?.spec.id;
      const after = rendezvous(all.slice(1), session)?.spec.id;
      if (before === "a") moved++;
      else assert.equal(after, before);
    }
    assert.ok(moved > 60 && moved < 140, String(moved));
  });
});
