import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import { seededRandom } from "../../core/random.ts";
import { PLAIN_SERVICE, type ServiceSpec } from "../balance/service.ts";
import { Metrics } from "../observe/metrics.ts";
import { admit, admits, fail } from "../resilience/breaker.ts";
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
  beforeEach(() => {
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
