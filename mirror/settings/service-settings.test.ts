import assert from "node:assert/strict";
import type { KubeService } from "../../kube/resources.ts";
import { kubePod, kubeService } from "../../test/support/mirror-world.ts";
import { podSockets, readServiceSettings } from "./service-settings.ts";

function annotated(annotations: Record<string, string>, spec: KubeService["spec"] = {}): KubeService {
  return kubeService("shop", "web", { metadata: { name: "web", namespace: "shop", annotations }, spec });
}

describe("readServiceSettings()", () => {
  it("finds nothing where nothing is said", () => {
    assert.deepEqual(readServiceSettings(annotated({})), { opaque: new Set(), problems: [] });
  });

  it("reads every annotation", () => {
    const found = readServiceSettings(
      annotated({
        "config.causeway.dev/opaque-ports": "3306, 9000-9002",
        "config.causeway.dev/app-socket": "8080=/run/app/http.sock",
        "timeout.causeway.dev/request": "10s",
        "timeout.causeway.dev/try": "500ms",
        "timeout.causeway.dev/idle": "0s",
        "retry.causeway.dev/limit": "3",
        "retry.causeway.dev/http": "gateway-error,500",
        "retry.causeway.dev/grpc": "unavailable,DEADLINE_EXCEEDED,8",
        "retry.causeway.dev/backoff": "25ms",
        "retry.causeway.dev/any-method": "true",
        "balancer.causeway.dev/max-connection-age": "5m",
        "balancer.causeway.dev/zone": "prefer",
        "limit.causeway.dev/rate-per-client": "100",
        "limit.causeway.dev/burst": "20",
        "limit.causeway.dev/in-flight": "50",
      }),
    );
    assert.deepEqual(found, {
      settings: {
        timeouts: { requestMs: 10_000, tryMs: 500, idleMs: 0 },
        retry: {
          limit: 3,
          httpStatuses: [500, 502, 503, 504],
          grpcStatuses: [4, 8, 14],
          backoffMs: 25,
          anyMethod: true,
        },
        maxConnectionAgeMs: 300_000,
        preferZone: true,
      },
      limits: { ratePerClient: 100, burst: 20, inFlight: 50 },
      appSockets: { "8080": "/run/app/http.sock" },
      opaque: new Set([3306, 9000, 9001, 9002]),
      problems: [],
    });
  });

  it("reads affinity and traffic distribution from the spec", () => {
    const of = (spec: KubeService["spec"]) => readServiceSettings(annotated({}, spec)).settings;
    assert.deepEqual(of({ sessionAffinity: "ClientIP" }), { affinitySeconds: 10_800 });
    const sessionAffinityConfig = { clientIP: { timeoutSeconds: 60 } };
    assert.deepEqual(of({ sessionAffinity: "ClientIP", sessionAffinityConfig }), { affinitySeconds: 60 });
    assert.equal(of({ sessionAffinity: "None", sessionAffinityConfig }), undefined);
    assert.deepEqual(of({ trafficDistribution: "PreferClose" }), { preferZone: true });
    assert.deepEqual(of({ trafficDistribution: "PreferSameZone" }), { preferZone: true });
    assert.equal(of({ trafficDistribution: "Other" }), undefined);
  });

  it("reads 5xx as all of them", () => {
    const statuses = readServiceSettings(annotated({ "retry.causeway.dev/http": "5xx" })).settings?.retry?.httpStatuses;
    assert.deepEqual([statuses?.length, statuses?.[0], statuses?.at(-1)], [100, 500, 599]);
  });

  const wrong: [name: string, value: string][] = [
    ["config.causeway.dev/opaque-ports", "all"],
    ["config.causeway.dev/opaque-ports", "1-70000"],
    ["config.causeway.dev/app-socket", "8080=relative.sock"],
    ["config.causeway.dev/app-socket", `8080=/${"x".repeat(107)}`],
    ["timeout.causeway.dev/request", "10"],
    ["timeout.causeway.dev/try", "-1s"],
    ["retry.causeway.dev/limit", "11"],
    ["retry.causeway.dev/limit", "1.5"],
    ["retry.causeway.dev/http", "200"],
    ["retry.causeway.dev/grpc", "ok"],
    ["retry.causeway.dev/any-method", "yes"],
    ["balancer.causeway.dev/max-connection-age", "10ms"],
    ["balancer.causeway.dev/zone", "require"],
    ["limit.causeway.dev/rate-per-client", "0"],
    ["limit.causeway.dev/in-flight", "many"],
  ];
  for (const [name, value] of wrong) {
    it(`takes ${name}: ${value.slice(0, 20)} for not there, and says what it wants`, () => {
      const found = readServiceSettings(annotated({ [name]: value, "timeout.causeway.dev/idle": "1m" }));
      assert.deepEqual(found.settings, { timeouts: { idleMs: 60_000 } });
      assert.deepEqual([found.limits, found.appSockets, found.opaque.size], [undefined, undefined, 0]);
      assert.equal(found.problems.length, 1);
      assert.ok(found.problems[0]?.startsWith(`${name} is "`), found.problems[0]);
      assert.match(found.problems[0] ?? "", /, want .+\.$/);
    });
  }
});

describe("podSockets()", () => {
  it("reads the sockets of a Pod's app", () => {
    const pod = kubePod("shop", "web-1", "u1");
    pod.metadata.annotations = { "config.causeway.dev/app-socket": "80=/a,81=/b" };
    assert.deepEqual(podSockets(pod), { appSockets: { "80": "/a", "81": "/b" }, problems: [] });
    assert.deepEqual(podSockets(undefined), { problems: [] });
  });
});
