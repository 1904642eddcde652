import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { hasCode } from "../../core/errors.ts";
import type { ServiceSettings } from "../../core/service.ts";
import type { Service__Output } from "../../protos/gen/causeway/federation/v1/Service.ts";
import { loadFederation } from "../../protos/load.ts";
import { readSettings, settingsMessage } from "./service-settings.ts";

/** What a peer reads of `settings` after they went over the wire. */
function overTheWire(settings: ServiceSettings | undefined): ServiceSettings | undefined {
  const sync = loadFederation().Federation.service.Sync;
  const upsert = { name: "shop/web", value: "service", service: { settings: settingsMessage(settings) } };
  const bytes = sync.requestSerialize({ body: "update", update: { upserts: [upsert] } } as never);
  const message = sync.requestDeserialize(bytes) as { update?: { upserts?: { service?: Service__Output }[] } };
  return readSettings(message.update?.upserts?.[0]?.service?.settings, "shop/web");
}

describe("readSettings()", () => {
  it("reads what settingsMessage() wrote, over the wire too, and a zero as said", () => {
    const all: ServiceSettings[] = [
      {},
      { timeouts: { requestMs: 0 } },
      {
        timeouts: { requestMs: 1_000, tryMs: 200, idleMs: 60_000 },
        retry: { limit: 0, backoffMs: 25, httpStatuses: [502, 503], grpcStatuses: [14], anyMethod: true },
        affinitySeconds: 10_800,
        maxConnectionAgeMs: 60_000,
        preferZone: true,
      },
    ];
    for (const settings of all) {
      assert.deepEqual(readSettings(settingsMessage(settings), "shop/web"), settings);
      assert.deepEqual(overTheWire(settings), settings);
    }
    assert.equal(overTheWire(undefined), undefined);
  });

  it("refuses what is out of range", () => {
    const wrong: ServiceSettings[] = [
      { timeouts: { requestMs: 4_000_000_000 } },
      { retry: { limit: 11 } },
      { retry: { httpStatuses: [600] } },
      { retry: { grpcStatuses: [17] } },
      { retry: { httpStatuses: Array.from({ length: 201 }, () => 500) } },
      { affinitySeconds: 86_401 },
    ];
    for (const settings of wrong) {
      assert.throws(
        () => readSettings(settingsMessage(settings), "shop/web"),
        (error) => hasCode(error, "LIMIT_EXCEEDED"),
        JSON.stringify(settings),
      );
    }
  });
});
