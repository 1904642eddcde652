import assert from "node:assert/strict";
import { EventClock } from "./clock.ts";

describe("EventClock", () => {
  it("says the same time all through an event, and a later one after it", () => {
    const clock = new EventClock();
    clock.begin();
    const first = clock.nowMs();
    while (performance.now() <= first);
    assert.equal(clock.nowMs(), first);
    clock.end();
    assert.ok(clock.nowMs() > first);
  });

  it("goes on outside of events, and starts each event anew", () => {
    const clock = new EventClock();
    const before = clock.nowMs();
    while (performance.now() <= before);
    assert.ok(clock.nowMs() > before);
    clock.begin();
    const first = clock.nowMs();
    clock.end();
    while (performance.now() <= first);
    clock.begin();
    assert.ok(clock.nowMs() > first);
    clock.end();
  });
});
