import assert from "node:assert/strict";
import type { LocalService } from "../../core/service.ts";
import { kubeService, remoteService, serviceExport } from "../../test/support/mirror-world.ts";
import { type ExportFacts, exportConditions } from "./export-status.ts";
import { localService } from "./local-service.ts";

const service = kubeService("shop", "web");
const object = serviceExport("shop", "web");
const registered = localService(service, object) as LocalService;
const at = registered.export?.exportedAtMs ?? 0;

function conditions(over: Partial<ExportFacts>): string[] {
  const facts: ExportFacts = { serviceExport: object, service, registered, others: [], cluster: "west", ...over };
  return exportConditions(facts).map(({ type, status, reason }) => `${type}=${status} ${reason}`);
}

function conflictWith(over: Parameters<typeof remoteService>[3]) {
  const found = exportConditions({
    serviceExport: object,
    service,
    registered,
    others: [remoteService("east", "shop", "web", over)],
    cluster: "west",
  });
  return found.find(({ type }) => type === "Conflict");
}

describe("exportConditions()", () => {
  it("is valid, ready and without conflict once the registry has it", () => {
    assert.deepEqual(conditions({}), ["Valid=True Valid", "Ready=True Exported", "Conflict=False NoConflicts"]);
  });

  it("is pending until then", () => {
    assert.equal(conditions({ registered: undefined })[1], "Ready=False Pending");
  });

  it("says why nothing can be exported", () => {
    assert.deepEqual(conditions({ service: undefined }), ["Valid=False NoService", "Ready=False Failed"]);
    const external = kubeService("shop", "web", { spec: { type: "ExternalName" } });
    assert.deepEqual(conditions({ service: external }), ["Valid=False InvalidServiceType", "Ready=False Failed"]);
  });

  it("names the conflict, and the cluster whose export holds", () => {
    const same = [{ name: "http", port: 80, protocol: "TCP" as const, appProtocol: "" as const }];
    assert.equal(conflictWith({ ports: same, clusterset: true })?.reason, "NoConflicts");
    const port = conflictWith({
      ports: [{ name: "http", port: 81, protocol: "TCP", appProtocol: "" }],
      exportedAtMs: at + 1,
    });
    assert.equal(port?.reason, "PortConflict");
    assert.match(port?.message ?? "", /older export, west's/);
    assert.match(
      conflictWith({ ports: same, headless: true, exportedAtMs: at - 1 })?.message ?? "",
      /older export, east's/,
    );
    assert.equal(conflictWith({ ports: same, headless: true })?.reason, "TypeConflict");
    assert.equal(conflictWith({ ports: same, sessionAffinity: true })?.reason, "SessionAffinityConflict");
  });

  it("has no conflict with a cluster that adds a port", () => {
    const more = [
      { name: "http", port: 80, protocol: "TCP" as const, appProtocol: "" as const },
      { name: "admin", port: 90, protocol: "TCP" as const, appProtocol: "" as const },
    ];
    assert.equal(conflictWith({ ports: more })?.reason, "NoConflicts");
  });
});
