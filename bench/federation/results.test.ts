import assert from "node:assert/strict";
import { federationTable, headline, propagationOf, spreadOf } from "./results.ts";
import type { RoleUsage } from "./role-usage.ts";

const usage = (role: string, rssMb: number): RoleUsage => ({
  ...{ cluster: "west", role, rssMb, peakRssMb: rssMb, cpuPercent: 1.5 },
});

describe("spreadOf()", () => {
  it("takes the nearest rank, to a tenth", () => {
    assert.deepEqual(spreadOf([3, 1, 2.04]), { p50: 2, p99: 3 });
    assert.deepEqual(spreadOf([7]), { p50: 7, p99: 7 });
  });
});

describe("headline()", () => {
  const change = (used: number) => ({ accepted: 1, exported: 2, imported: 3, used });

  it("tells of the largest size, and of no role that is not the mesh's", () => {
    const sizes = [
      { services: 10, usage: [] },
      {
        services: 10_000,
        propagation: propagationOf([change(4), change(9)]),
        firstSync: { registryMs: 900, activeMs: 1_000.4, mirroredMs: 9_000 },
        usage: [usage("gateway", 150), usage("API server", 900)],
      },
    ];
    const result = { sizes, peerSteps: [{ peers: 2, linkedMs: 5, usage: [] }] };
    assert.deepEqual(headline(result), {
      ...{ services: 10_000, propagationP50Ms: 4, propagationP99Ms: 9, firstSyncMs: 1_000, restartMs: null },
      ...{ rssMb: 150, healthP99Ms: null, steadyCpuPercent: 1.5, peers: 2 },
    });
    const table = federationTable(result);
    assert.match(table, /\| 10000 \| 1 \| 1 \| 2 \| 2 \| 3 \| 3 \| 4 \| 9 \| 2 \|/);
    assert.match(table, /\| 10000 services \| west \| gateway \| 150 \| 150 \| 1.5 \|/);
  });

  it("says null of what was not measured", () => {
    const empty = headline({ sizes: [], peerSteps: [] });
    assert.ok(Object.values(empty).every((value) => value === null));
    assert.equal(federationTable({ sizes: [], peerSteps: [] }), "\n");
  });
});
