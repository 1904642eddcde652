import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import { HEALTH } from "../../core/defaults.ts";
import type { LinkState } from "../../core/link.ts";
import { LinkMonitor } from "./link-monitor.ts";

describe("LinkMonitor", () => {
  it("counts a link's deaths on where the one before it has left off", async () => {
    const clock = new ManualClock();
    let told: LinkState | undefined;
    const start = (): LinkMonitor => {
      const monitor = new LinkMonitor({
        cluster: "east",
        settings: HEALTH,
        clock,
        before: told,
        facts: () => ({ agreed: true, reason: "", evacuated: 0, refused: [] }),
        publish: (state) => {
          told = state;
        },
      });
      monitor.start();
      return monitor;
    };
    const beat = async (monitor: LinkMonitor, count: number) => {
      for (let i = 0; i < count; i++) {
        monitor.heartbeat();
        await clock.advance(HEALTH.heartbeatMs);
      }
    };
    const die = () => clock.advance(HEALTH.heartbeatMs * HEALTH.deadAfterMissed);
    const first = start();
    await beat(first, HEALTH.recoverAfterInRow);
    assert.equal(told?.deaths, undefined);
    await die();
    await beat(first, HEALTH.recoverAfterInRow);
    assert.equal(told?.health, "recovering");
    await die();
    assert.deepEqual([told?.health, told?.deaths], ["dead", 2]);
    first.close();
    const second = start();
    await beat(second, HEALTH.recoverAfterInRow);
    assert.equal(told?.health, "dead", "it is held down as before");
    await beat(second, Math.ceil(HEALTH.holdMs / HEALTH.heartbeatMs));
    assert.equal(told?.health, "recovering");
    await die();
    assert.deepEqual([told?.health, told?.deaths], ["dead", 3]);
    second.close();
  });
});
