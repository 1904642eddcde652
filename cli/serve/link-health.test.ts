import assert from "node:assert/strict";
import { linkHealth } from "./link-health.ts";

describe("linkHealth()", () => {
  it("reads times and counts, and leaves the others as they are", () => {
    assert.deepEqual(linkHealth("heartbeat=100ms, dead=10,stale=1h"), {
      heartbeatMs: 100,
      deadAfterMissed: 10,
      staleAfterMs: 3_600_000,
    });
  });

  it("refuses what means nothing", () => {
    for (const [text, message] of [
      ["pulse=1s", /"pulse" is unknown/],
      ["heartbeat=1", /want a duration/],
      ["heartbeat=1ms", /of 20 to 60000 ms/],
      ["dead=1.5", /whole number/],
      ["suspect=5", /suspect to come before dead/],
      ["__proto__=1", /is unknown/],
      ["", /is unknown/],
    ] as const)
      assert.throws(() => linkHealth(text), { message });
  });
});
