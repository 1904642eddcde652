import assert from "node:assert/strict";
import { parseIdentity, parseTrustDomain } from "../../core/identity.ts";
import type { LocalEndpoint, LocalEndpoints } from "../../core/service.ts";
import { PEER_ENDPOINTS } from "../../registry/state.ts";
import { endpointCounts, exportedEndpoints, remoteEndpoint } from "./exported-endpoints.ts";
import { endpointsResource, readResource } from "./wire.ts";

const PEER = { cluster: "east", trustDomain: parseTrustDomain("east.mesh") };
const KEY = { linkSecret: new Uint8Array(32), epoch: 1n, cluster: "east" };
const SERVICE = {
  namespace: "shop",
  name: "web",
  ports: [{ name: "http", port: 80, protocol: "TCP", appProtocol: "http" }],
  headless: false,
  clusterIps: [],
  sessionAffinity: false,
} as const;

function endpoints(count: number, ready: number): LocalEndpoints {
  const identity = parseIdentity("spiffe://east.mesh/ns/shop/sa/web");
  const all = Array.from(
    { length: count },
    (_, i): LocalEndpoint => ({
      id: `e${i}`,
      address: `10.0.0.${i}`,
      ready: i < ready,
      ports: { "80": 8080 },
      identity,
      proxyPort: 4143,
      zone: "",
      pod: "",
    }),
  );
  return { namespace: "shop", name: "web", endpoints: all };
}

describe("endpointCounts()", () => {
  it("tells how many there are only where more are than are exported", () => {
    assert.equal(endpointCounts(endpoints(100, 50), 100), undefined);
    assert.deepEqual(endpointCounts(endpoints(150, 120), 100), { total: 150, ready: 120 });
  });

  it("goes over the wire with the endpoints, and is refused where it cannot be", () => {
    const all = endpoints(150, 120);
    const shown = exportedEndpoints(all).map((endpoint) => remoteEndpoint(SERVICE, endpoint, KEY));
    assert.equal(shown.filter(({ ready }) => ready).length, 100);
    const resource = endpointsResource("shop", "web", shown, endpointCounts(all, shown.length));
    const { value } = readResource("KIND_ENDPOINTS", resource, PEER);
    assert.deepEqual(PEER_ENDPOINTS.decode(value).counts, { total: 150, ready: 120 });
    const set = resource.endpoints;
    assert.ok(set);
    assert.throws(
      () => readResource("KIND_ENDPOINTS", { ...resource, endpoints: { ...set, ready: 151 } }, PEER),
      /out of range/,
    );
    const earlier = readResource("KIND_ENDPOINTS", { ...resource, endpoints: { ...set, total: 0, ready: 0 } }, PEER);
    assert.equal(PEER_ENDPOINTS.decode(earlier.value).counts, undefined);
  });
});
