import assert from "node:assert/strict";
import { defaultTrustDomain } from "../../core/identity.ts";
import type { EndpointSlice, KubeService, Pod } from "../../kube/resources.ts";
import { kubePod, kubeService, podSlice, serviceExport } from "../../test/support/mirror-world.ts";
import { mirrorLabels } from "../imports/mirror-service.ts";
import { appProtocolOf, exportOf, localEndpoints, localService } from "./local-service.ts";

const WEST = defaultTrustDomain("west");

function metadata(over: Partial<KubeService["metadata"]>): Partial<KubeService> {
  return { metadata: { name: "web", namespace: "shop", creationTimestamp: "2026-01-01T00:00:00Z", ...over } };
}

function endpointsOf(slices: EndpointSlice[], pods: Pod[], service = kubeService("shop", "web")) {
  const podOf = (namespace: string, name: string) =>
    pods.find((p) => p.metadata.name === name && p.metadata.namespace === namespace);
  return localEndpoints(service, slices, podOf, WEST).endpoints;
}

describe("localService()", () => {
  it("takes TCP ports, protocols and addresses over", () => {
    const ports = [
      { name: "web", port: 80, appProtocol: "kubernetes.io/h2c" },
      { name: "db", port: 5432 },
      { name: "raw", port: 99 },
      { name: "dns", port: 53, protocol: "UDP" },
    ];
    const service = kubeService("shop", "web", {
      ...metadata({ annotations: { "config.causeway.dev/opaque-ports": "99,1000-1002" } }),
      spec: { ports, clusterIPs: ["10.0.0.1", "fd00::1"], sessionAffinity: "ClientIP" },
    });
    const found = localService(service, undefined);
    assert.deepEqual(
      found?.ports.map((p) => [p.port, p.appProtocol]),
      [
        [80, "http2"],
        [5432, "opaque"],
        [99, "opaque"],
      ],
    );
    assert.deepEqual(
      [found?.clusterIps, found?.headless, found?.sessionAffinity],
      [["10.0.0.1", "fd00::1"], false, true],
    );
  });

  it("knows headless services", () => {
    const found = localService(
      kubeService("shop", "web", { spec: { clusterIP: "None", clusterIPs: ["None"], ports: [] } }),
      undefined,
    );
    assert.deepEqual([found?.headless, found?.clusterIps], [true, []]);
  });

  it("leaves out mirrors, derived services, ExternalNames and what is being deleted", () => {
    const exported = { "causeway.dev/exported": "true" };
    const without = [
      metadata({ labels: { ...mirrorLabels("east", "web"), ...exported } }),
      metadata({ labels: { "app.kubernetes.io/managed-by": "causeway", "causeway.dev/derived-for": "web" } }),
      { ...metadata({ labels: exported }), spec: { type: "ExternalName", externalName: "x.example" } },
      metadata({ deletionTimestamp: "2026-01-01T00:00:00Z" }),
    ];
    for (const over of without) assert.equal(localService(kubeService("shop", "web", over), undefined), undefined);
  });
});

describe("exportOf()", () => {
  const service = kubeService("shop", "web", metadata({ labels: { "causeway.dev/exported": "true" } }));

  it("takes the label as an export without the clusterset name", () => {
    const exportedAtMs = Date.parse("2026-01-01T00:00:00Z");
    assert.deepEqual(exportOf(service, undefined), { to: "all", clusterset: false, exportedAtMs });
    const off = kubeService("shop", "web", metadata({ labels: { "causeway.dev/exported": "yes" } }));
    assert.equal(exportOf(off, undefined), undefined);
  });

  it("lets a ServiceExport decide where there is one", () => {
    const found = exportOf(
      service,
      serviceExport("shop", "web", { "causeway.dev/export-to": "north, east,,Bad_Name" }),
    );
    assert.deepEqual([found?.to, found?.clusterset], [["east", "north"], true]);
  });

  it("exports to none where the annotation names none", () => {
    assert.deepEqual(exportOf(service, serviceExport("shop", "web", { "causeway.dev/export-to": "" }))?.to, []);
  });
});

describe("localEndpoints()", () => {
  const slice = podSlice("shop", "web", [{ name: "web-1", uid: "u1", address: "10.1.0.1" }]);

  it("tells the identity of a Pod with a sidecar, by annotation or container", () => {
    const annotated = kubePod("shop", "web-1", "u1", { serviceAccountName: "web" });
    assert.equal(endpointsOf([slice], [annotated])[0]?.identity, "spiffe://west.mesh/ns/shop/sa/web");
    const plain = kubePod("shop", "web-1", "u1", { meshed: false });
    assert.deepEqual(
      [endpointsOf([slice], [plain])[0]?.identity, endpointsOf([slice], [plain])[0]?.proxyPort],
      [undefined, 0],
    );
    const injected = { ...plain, spec: { containers: [{ name: "causeway-proxy", image: "x" }] } };
    assert.deepEqual(
      [endpointsOf([slice], [injected])[0]?.identity, endpointsOf([slice], [injected])[0]?.proxyPort],
      ["spiffe://west.mesh/ns/shop/sa/default", 4143],
    );
  });

  it("leaves out endpoints whose Pod is not known, or is a successor of the same name", () => {
    assert.deepEqual(endpointsOf([slice], []), []);
    assert.deepEqual(endpointsOf([slice], [kubePod("shop", "web-1", "u2")]), []);
  });

  it("takes a Pod that is being deleted for not ready before its slice says so", () => {
    const pod = kubePod("shop", "web-1", "u1");
    const leaving = { ...pod, metadata: { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } };
    assert.equal(endpointsOf([slice], [leaving])[0]?.ready, false);
  });

  it("takes addresses without Pods, absent readiness as ready, and ignores our own slices", () => {
    const bare: EndpointSlice = { ...slice, endpoints: [{ addresses: ["192.0.2.5"] }] };
    assert.deepEqual(
      endpointsOf([bare], []).map((e) => [e.id, e.ready, e.proxyPort]),
      [["192.0.2.5", true, 0]],
    );
    const labels = { ...bare.metadata.labels, "endpointslice.kubernetes.io/managed-by": "mirror.causeway.dev" };
    assert.deepEqual(endpointsOf([{ ...bare, metadata: { ...bare.metadata, labels } }], []), []);
  });

  it("lists a dual-stack Pod once, at its IPv4 address", () => {
    const six: EndpointSlice = {
      ...slice,
      metadata: { ...slice.metadata, name: "a-first-by-name" },
      addressType: "IPv6",
      endpoints: (slice.endpoints ?? []).map((e) => ({ ...e, addresses: ["fd00::1"] })),
    };
    const found = endpointsOf([six, slice], [kubePod("shop", "web-1", "u1")]);
    assert.deepEqual(
      found.map((e) => e.address),
      ["10.1.0.1"],
    );
  });

  it("maps service ports to the app's by name", () => {
    const service = kubeService("shop", "web", {
      spec: {
        ports: [
          { name: "http", port: 80 },
          { name: "other", port: 81 },
        ],
      },
    });
    assert.deepEqual(endpointsOf([slice], [kubePod("shop", "web-1", "u1")], service)[0]?.ports, { "80": 8080 });
  });
});

describe("appProtocolOf()", () => {
  it("knows Kubernetes' names, opaque ports, and leaves the rest to detection", () => {
    const cases: [number, string | undefined, string][] = [
      [80, undefined, ""],
      [80, "HTTP", "http"],
      [80, "grpc", "grpc"],
      [443, "https", "opaque"],
      [6379, undefined, "opaque"],
      [6379, "http", "http"],
      [80, "example.com/custom", ""],
    ];
    for (const [port, appProtocol, expected] of cases) assert.equal(appProtocolOf(port, appProtocol), expected);
  });
});
