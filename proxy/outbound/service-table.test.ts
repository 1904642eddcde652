import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import { seededRandom } from "../../core/random.ts";
import { PLAIN_SERVICE, type ServiceSpec } from "../balance/service.ts";
import { Metrics } from "../observe/metrics.ts";
import { admit, admits, fail } from "../resilience/breaker.ts";
import { deposit, withdraw } from "../resilience/retry-budget.ts";
import { ServiceTable } from "./service-table.ts";

const NOT_FOUND: ServiceSpec = {
  ...PLAIN_SERVICE,
  kind: "notFound",
  namespace: "",
  name: "",
  appProtocol: "",
  federated: false,
  groups: [],
};

describe("ServiceTable", () => {
  let clock: ManualClock;
  let asked: string[];
  let table: ServiceTable;
  let connected: boolean;
  beforeEach(() => {
    connected = true;
    clock = new ManualClock();
    asked = [];
    table = new ServiceTable({
      clock,
      random: seededRandom(1),
      mux: undefined,
      zone: "",
      metrics: new Metrics(),
      subscribe: (authority) => asked.push(`+${authority}`),
      unsubscribe: (authority) => asked.push(`-${authority}`),
      connected: () => connected,
      lookupMs: 3_000,
      maxAuthorities: 2,
    });
  });

  it("asks control once for a name and wakes all that wait", () => {
    let woken = 0;
    table.lookup("a:80");
    assert.equal(table.lookup("a:80")?.service, undefined);
    table.wait("a:80", () => woken++);
    table.wait("a:80", () => woken++);
    table.apply("a:80", NOT_FOUND);
    assert.deepEqual([woken, asked, table.lookup("a:80")?.service?.spec.kind], [2, ["+a:80"], "notFound"]);
  });

  it("lets a request wait for 3 s and the next one anew", async () => {
    const entry = table.lookup("a:80");
    const expired: string[] = [];
    table.wait("a:80", () => expired.push(String(entry?.expired)));
    await clock.advance(2_999);
    assert.equal(expired.length, 0);
    await clock.advance(1);
    assert.deepEqual(expired, ["true"]);
    assert.equal(table.lookup("a:80")?.expired, false);
    table.wait("a:80", () => expired.push(String(entry?.expired)));
    await clock.advance(3_000);
    assert.deepEqual(expired, ["true", "true"]);
  });

  it("forgets the name that was not used for longest, never one that is waited for", async () => {
    table.lookup("a:80");
    await clock.advance(1);
    table.lookup("b:80");
    table.wait("b:80", () => {});
    await clock.advance(1);
    const first = table.lookup("a:80");
    table.lookup("c:80");
    assert.deepEqual([asked, first?.gone], [["+a:80", "+b:80", "-a:80", "+c:80"], true]);
    table.wait("c:80", () => {});
    assert.equal(table.lookup("d:80"), undefined);
  });

  it("forgets after 5 minutes without use", async () => {
    table.lookup("a:80");
    await clock.advance(299_999);
    table.sweep();
    assert.deepEqual(asked, ["+a:80"]);
    await clock.advance(1);
    table.sweep();
    assert.deepEqual(asked, ["+a:80", "-a:80"]);
  });

  it("loses nothing in ten minutes without control, of what is used and of what is not, and forgets after that", async () => {
    const groupOf = (cluster: string, proxyPort: number) => ({
      cluster,
      trustDomain: cluster === "" ? "west.mesh" : "east.mesh",
      endpoints: [
        {
          ...{ id: `e${cluster}`, address: "127.0.0.1", port: 80, proxyPort, zone: "", ready: true },
          ...{ identity: "spiffe://west.mesh/ns/shop/sa/web", routeName: cluster === "" ? "" : "abc.east.mesh" },
        },
      ],
      gateways: cluster === "" ? [] : [{ host: "10.0.0.9", port: 4143 }],
    });
    const spec: ServiceSpec = {
      ...{ ...NOT_FOUND, kind: "service", federated: true },
      groups: [groupOf("", 4143), groupOf("east", 0)],
    };
    for (const authority of ["web.shop:80", "idle.shop:80"]) {
      table.lookup(authority);
      table.apply(authority, spec);
    }
    table.applyLinks(new Map([["east", { health: "alive", ramp: 1 }]]));
    const service = table.lookup("web.shop:80")?.service;
    const used = () => service?.choose([], false)?.spec.id;
    const other = () => service?.choose(service.groups[0]?.endpoints ?? [], true)?.spec.id;
    connected = false;
    for (let seconds = 0; seconds < 600; seconds += 5) {
      await clock.advance(5_000);
      table.sweep();
      assert.deepEqual([table.lookup("web.shop:80")?.service, used(), other()], [service, "e", "eeast"]);
      if (service !== undefined) {
        deposit(service.budget, clock.nowMs());
        assert.ok(withdraw(service.budget, clock.nowMs()));
      }
    }
    assert.deepEqual([table.links.get("east")?.health, [...table.gateways].length], ["alive", 1]);
    assert.deepEqual(asked, ["+web.shop:80", "+idle.shop:80"]);
    connected = true;
    table.sweep();
    assert.deepEqual(asked, ["+web.shop:80", "+idle.shop:80", "-idle.shop:80"]);
  });

  it("has the gateways of a link that came back tried at once", () => {
    const gateways = [{ host: "10.0.0.9", port: 4143 }];
    table.lookup("web-east.shop:80");
    table.apply("web-east.shop:80", {
      ...NOT_FOUND,
      kind: "service",
      groups: [{ cluster: "east", trustDomain: "east.mesh", endpoints: [], gateways }],
    });
    table.applyLinks(new Map([["east", { health: "dead", ramp: 0 }]]));
    const [gateway] = [...table.gateways];
    assert.ok(gateway);
    for (let i = 0; i < 5; i++) {
      fail(gateway.breaker, true, clock.nowMs(), () => 0);
      admit(gateway.breaker, clock.nowMs());
    }
    fail(gateway.breaker, true, clock.nowMs(), () => 0);
    assert.equal(admits(gateway.breaker, clock.nowMs()), false);
    table.applyLinks(new Map([["east", { health: "recovering", ramp: 0.1 }]]));
    assert.equal(admits(gateway.breaker, clock.nowMs()), true);
  });
});
