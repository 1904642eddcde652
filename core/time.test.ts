import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { childAbort } from "./abort.ts";
import { backoffMs } from "./backoff.ts";
import { every, ManualClock, sleep } from "./clock.ts";
import { hasCode } from "./errors.ts";
import { AsyncQueue } from "./queue.ts";
import { seededRandom } from "./random.ts";

describe("ManualClock", () => {
  it("runs timers in order of their time, those set meanwhile included", async () => {
    const clock = new ManualClock();
    const seen: string[] = [];
    clock.after(20, () => seen.push("b"));
    clock.after(10, () => {
      seen.push("a");
      clock.after(5, () => seen.push("a2"));
    });
    clock.after(31, () => seen.push("late"));
    await clock.advance(30);
    assert.deepEqual(seen, ["a", "a2", "b"]);
    assert.equal(clock.nowMs(), 30);
  });
});

describe("sleep()", () => {
  it("throws ABORTED and leaves no timer when cancelled", async () => {
    const clock = new ManualClock();
    const abort = new AbortController();
    const slept = sleep(clock, 1000, abort.signal);
    abort.abort();
    await assert.rejects(slept, (e) => hasCode(e, "ABORTED"));
  });
});

describe("every()", () => {
  it("repeats until stopped", async () => {
    const clock = new ManualClock();
    let runs = 0;
    const stop = every(clock, 10, () => runs++);
    await clock.advance(35);
    stop();
    await clock.advance(100);
    assert.equal(runs, 3);
  });
});

describe("backoffMs()", () => {
  it("doubles to the cap and jitters downwards only", () => {
    const options = { minMs: 100, maxMs: 1000, jitter: 0.5 };
    assert.deepEqual(
      [0, 1, 2, 3, 4, 400].map((n) => backoffMs(n, options, () => 0)),
      [100, 200, 400, 800, 1000, 1000],
    );
    const random = seededRandom(1);
    for (let i = 0; i < 100; i++) {
      const ms = backoffMs(9, options, random);
      assert.ok(ms > 500 && ms <= 1000);
    }
  });
});

describe("childAbort()", () => {
  it("aborts with its parent and leaves no listener once disposed of", () => {
    const parent = new AbortController();
    {
      using child = childAbort(parent.signal);
      assert.equal(child.signal.aborted, false);
    }
    using second = childAbort(parent.signal);
    parent.abort("why");
    assert.equal(second.signal.reason, "why");
  });
});

describe("AsyncQueue", () => {
  it("hands over in order, ends on close, and refuses more than its bound", async () => {
    const queue = new AsyncQueue<number>(3);
    queue.push(1);
    queue.push(2);
    queue.push(3);
    assert.throws(
      () => queue.push(4),
      (e) => hasCode(e, "LIMIT_EXCEEDED"),
    );
    queue.close();
    const seen: number[] = [];
    for await (const n of queue) seen.push(n);
    assert.deepEqual(seen, [1, 2, 3]);
  });
  it("throws the error it was closed with", async () => {
    const queue = new AsyncQueue<number>(3);
    queue.close(new Error("gone"));
    await assert.rejects(async () => {
      for await (const _ of queue) assert.fail();
    }, /gone/);
  });
});
