import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { LABELS } from "../../core/defaults.ts";
import type { EndpointSlice, KubeService, ServiceExportObject, ServiceImportObject } from "../../kube/resources.ts";
import { serviceRows } from "./services.ts";

const service = (name: string, labels: Record<string, string> = {}): KubeService => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { namespace: "shop", name, labels },
});
const slice = (name: string, ...ready: boolean[]): EndpointSlice => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { namespace: "shop", name: `${name}-1`, labels: { "kubernetes.io/service-name": name } },
  addressType: "IPv4",
  endpoints: ready.map((r, i) => ({ addresses: [`10.0.0.${i + 1}`], conditions: { ready: r } })),
});

describe("serviceRows()", () => {
  const mirror = { [LABELS.managedBy]: LABELS.managedByValue, [LABELS.originCluster]: "east" };
  const exported: ServiceExportObject = {
    apiVersion: "multicluster.x-k8s.io/v1alpha1",
    kind: "ServiceExport",
    metadata: { namespace: "shop", name: "web" },
  };
  const imported: ServiceImportObject = {
    apiVersion: "multicluster.x-k8s.io/v1alpha1",
    kind: "ServiceImport",
    metadata: { namespace: "shop", name: "web" },
    spec: { type: "ClusterSetIP", ports: [] },
    status: { clusters: [{ cluster: "east" }, { cluster: "west" }] },
  };
  const rows = serviceRows(
    "west",
    [service("web"), service("web-east", mirror), service("derived-1", { [LABELS.derivedFor]: "web" })],
    [slice("web", true, false), slice("web-east", true)],
    [exported],
    [imported],
  );

  it("tells local, mirrored and federated names apart, and leaves derived Services out", () => {
    assert.deepEqual(
      rows.map((r) => [r.kind, r.name, r.clusters.join("+")]),
      [
        ["mirror", "web-east.shop.svc.cluster.local", "east"],
        ["local", "web.shop.svc.cluster.local", "west"],
        ["federated", "web.shop.svc.clusterset.local", "east+west"],
      ],
    );
  });

  it("counts ready endpoints and shows what is exported", () => {
    const web = rows.find((r) => r.kind === "local");
    assert.deepEqual([web?.ready, web?.endpoints, web?.exported], [1, 2, "all"]);
    assert.equal(rows.find((r) => r.kind === "mirror")?.exported, "-");
  });
});
