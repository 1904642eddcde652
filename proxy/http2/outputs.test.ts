import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { TimerWheel } from "../../transport/timer-wheel.ts";
import { Outputs } from "./outputs.ts";

describe("Outputs", () => {
  it("keeps as many buffers as the last seconds needed at once, and none of those that nobody needs", async () => {
    const clock = new ManualClock();
    const wheel = new TimerWheel(clock, silentLog);
    const outputs = new Outputs(wheel);
    const write = (connections: number) => {
      for (let i = 0; i < connections; i++) {
        const buffer = outputs.take({ flush: () => outputs.give(buffer) });
      }
      outputs.flush();
    };
    write(1);
    const one = outputs.freeBytes;
    assert.ok(one > 0);
    write(100);
    assert.ok(outputs.freeBytes <= 16 * one, "a turn writes rather than take ever more");
    write(2);
    await clock.advance(5_100);
    write(2);
    await clock.advance(5_100);
    assert.equal(outputs.freeBytes, 2 * one);
    await clock.advance(5_100);
    assert.equal(outputs.freeBytes, 0);
    await clock.advance(5_100);
    assert.equal(wheel.held, 0, "nothing is timed while nothing is sent");
  });
});
