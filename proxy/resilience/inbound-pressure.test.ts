import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import { InFlightGate } from "./in-flight-gate.ts";
import { LagMeter } from "./lag-meter.ts";
import { TokenBuckets } from "./token-buckets.ts";

describe("TokenBuckets.take()", () => {
  it("lets a burst through, then the rate, and says how long to wait", () => {
    const buckets = new TokenBuckets();
    const take = (nowMs: number, client = "a") => buckets.take(client, 10, 3, nowMs);
    assert.deepEqual([take(0), take(0), take(0), take(0)], [0, 0, 0, 100]);
    assert.equal(take(0, "b"), 0);
    assert.deepEqual([take(100), take(100)], [0, 100]);
    assert.deepEqual([take(60_000), take(60_000), take(60_000), take(60_000)], [0, 0, 0, 100]);
  });

  it("has clients over the limit share one bucket, and forgets those that are full again", () => {
    const buckets = new TokenBuckets(2);
    const take = (client: string, nowMs: number) => buckets.take(client, 1, 1, nowMs) === 0;
    assert.deepEqual([take("a", 0), take("b", 0), take("c", 0), take("d", 0)], [true, true, true, false]);
    assert.deepEqual([take("e", 2_000), take("f", 2_000), take("e", 2_000)], [true, true, false]);
  });
});

describe("InFlightGate", () => {
  it("hands places on in order, and turns away who comes when as many wait as may", () => {
    const gate = new InFlightGate(new ManualClock(), 2);
    const placed: number[] = [];
    const wait = (id: number) =>
      gate.wait(
        () => placed.push(id),
        () => assert.fail("late"),
      );
    assert.deepEqual([gate.enter(), gate.enter(), gate.enter()], [true, true, false]);
    wait(1);
    const giveUp = wait(2);
    assert.equal(wait(3), undefined);
    giveUp?.();
    wait(4);
    gate.leave();
    gate.leave();
    assert.deepEqual([placed, gate.inFlight], [[1, 4], 2]);
    gate.leave();
    gate.leave();
    assert.deepEqual([gate.enter(), gate.inFlight], [true, 1]);
  });

  it("keeps nobody waiting for more than a second", async () => {
    const clock = new ManualClock();
    const gate = new InFlightGate(clock, 1);
    assert.ok(gate.enter());
    let late = 0;
    gate.wait(
      () => assert.fail("placed"),
      () => late++,
    );
    await clock.advance(999);
    assert.equal(late, 0);
    await clock.advance(1);
    assert.equal(late, 1);
    gate.leave();
    assert.equal(gate.inFlight, 0);
  });
});

describe("LagMeter", () => {
  /** A clock whose timers come late by `lateMs`. */
  class LateClock extends ManualClock {
    lateMs = 0;
    override after(afterMs: number, run: () => void): () => void {
      return super.after(afterMs + this.lateMs, run);
    }
  }

  it("sheds the more the later the loop is, recovers, and stops once nobody watches", async () => {
    const clock = new LateClock();
    let uniform = 0.5;
    const meter = new LagMeter(clock, () => uniform);
    meter.watch();
    await clock.advance(100);
    assert.equal(meter.sheds, false);
    clock.lateMs = 1_200;
    meter.watch();
    await clock.advance(5_000);
    assert.equal(meter.sheds, true);
    uniform = 0.9;
    assert.equal(meter.sheds, false);
    clock.lateMs = 0;
    await clock.advance(10_000);
    uniform = 0;
    assert.equal(meter.sheds, false);
    assert.ok(meter.lagMs < 1);
    meter.close();
  });
});
