import assert from "node:assert/strict";
import { ManualClock } from "../core/clock.ts";
import { RateLimit } from "./rate-limit.ts";

describe("RateLimit", () => {
  it("lets a burst through, then what the rate gives, each key for itself", async () => {
    const clock = new ManualClock();
    const limit = new RateLimit(clock, { burst: 3, perSecond: 2 });
    const taken = (key: string) => [1, 2, 3, 4].filter(() => limit.take(key)).length;
    assert.equal(taken("a"), 3);
    assert.equal(taken("b"), 3);
    await clock.advance(1_000);
    assert.equal(taken("a"), 2);
    await clock.advance(3_600_000);
    assert.equal(taken("a"), 3);
  });
});
