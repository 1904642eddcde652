import assert from "node:assert/strict";
import { type Clock, ManualClock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { TimerWheel, WheelTimer } from "./timer-wheel.ts";

describe("TimerWheel", () => {
  function setUp() {
    const clock = new ManualClock();
    const wheel = new TimerWheel(clock, silentLog, 10);
    const ran: { name: string; atMs: number }[] = [];
    const timer = (name: string) => new WheelTimer(() => ran.push({ name, atMs: clock.nowMs() }));
    return { clock, wheel, ran, timer };
  }

  it("runs a timer once, never early and at most two granules late", async () => {
    for (const afterMs of [0, 1, 9, 10, 11, 95, 5_100, 5_120, 5_130, 60_001]) {
      const { clock, wheel, ran, timer } = setUp();
      await clock.advance(3);
      wheel.arm(timer("t"), afterMs);
      await clock.advance(afterMs + 40);
      assert.equal(ran.length, 1, `after ${afterMs} ms`);
      const late = (ran[0]?.atMs ?? 0) - 3 - afterMs;
      assert.ok(late >= 0 && late <= 20, `${late} ms late after ${afterMs}`);
      assert.equal(wheel.held, 0);
    }
  });

  it("arming again moves a timer, later or earlier", async () => {
    const { clock, wheel, ran, timer } = setUp();
    const later = timer("later");
    const sooner = timer("sooner");
    wheel.arm(later, 50);
    wheel.arm(sooner, 500);
    wheel.arm(later, 300);
    wheel.arm(sooner, 100);
    await clock.advance(200);
    assert.deepEqual(
      ran.map(({ name }) => name),
      ["sooner"],
    );
    await clock.advance(200);
    assert.deepEqual(
      ran.map(({ name }) => name),
      ["sooner", "later"],
    );
  });

  it("a disarmed timer does not run, and can be armed again", async () => {
    const { clock, wheel, ran, timer } = setUp();
    const one = timer("one");
    wheel.arm(one, 50);
    wheel.disarm(one);
    await clock.advance(100);
    assert.equal(ran.length, 0);
    assert.equal(wheel.held, 0);
    wheel.arm(one, 50);
    await clock.advance(100);
    assert.equal(ran.length, 1);
  });

  it("asks the clock only for slots that have something in them", async () => {
    const { clock, ran, timer } = setUp();
    let asked = 0;
    const counting: Clock = {
      nowMs: () => clock.nowMs(),
      wallMs: () => clock.wallMs(),
      after(afterMs, run) {
        asked++;
        return clock.after(afterMs, run);
      },
    };
    const wheel = new TimerWheel(counting, silentLog, 10);
    wheel.arm(timer("far"), 20_000);
    wheel.arm(timer("near"), 300);
    for (let i = 0; i < 50; i++) {
      wheel.arm(timer("further"), 20_000);
      await clock.advance(10);
    }
    assert.deepEqual(ran, [{ name: "near", atMs: 300 }]);
    assert.ok(asked <= 4, `${asked} times`);
    await clock.advance(21_000);
    assert.equal(ran.length, 52);
    assert.equal(wheel.held, 0);
  });

  it("drop() takes a timer out at once, which may be armed again", async () => {
    const { clock, wheel, ran, timer } = setUp();
    const [one, two, three] = [timer("one"), timer("two"), timer("three")];
    for (const each of [one, two, three]) wheel.arm(each, 50);
    wheel.drop(two);
    assert.equal(wheel.held, 2);
    wheel.drop(two);
    wheel.drop(one);
    wheel.arm(two, 80);
    assert.equal(wheel.held, 2);
    await clock.advance(120);
    assert.deepEqual(
      ran.map(({ name }) => name),
      ["three", "two"],
    );
    assert.equal(wheel.held, 0);
  });

  it("a callback may drop what is due with it", async () => {
    const { clock, wheel, ran, timer } = setUp();
    const [before, after] = [timer("before"), timer("after")];
    wheel.arm(before, 20);
    const dropping = new WheelTimer(() => {
      wheel.drop(before);
      wheel.drop(after);
      wheel.drop(dropping);
    });
    wheel.arm(dropping, 20);
    wheel.arm(after, 20);
    await clock.advance(100);
    assert.ok(ran.length <= 1);
    assert.equal(wheel.held, 0);
  });

  it("rests while it is empty, and starts right after a long rest", async () => {
    const { clock, wheel, ran, timer } = setUp();
    await clock.advance(100_000);
    wheel.arm(timer("t"), 30);
    await clock.advance(60);
    assert.equal(ran.length, 1);
  });

  it("a callback may arm and disarm any timer, itself included", async () => {
    const { clock, wheel, ran, timer } = setUp();
    const other = timer("other");
    let rounds = 0;
    const again: WheelTimer = new WheelTimer(() => {
      rounds++;
      wheel.disarm(other);
      if (rounds < 3) wheel.arm(again, 10);
    });
    wheel.arm(other, 20);
    wheel.arm(again, 20);
    await clock.advance(200);
    assert.equal(rounds, 3);
    assert.ok(ran.length <= 1);
    assert.equal(wheel.held, 0);
  });

  it("a callback that throws does not stop the others", async () => {
    const { clock, wheel, ran, timer } = setUp();
    wheel.arm(timer("a"), 20);
    wheel.arm(
      new WheelTimer(() => {
        throw new Error("a bug");
      }),
      20,
    );
    wheel.arm(timer("b"), 20);
    await clock.advance(100);
    assert.equal(ran.length, 2);
  });

  it("keeps thousands of timers in order of their due time", async () => {
    const { clock, wheel, ran, timer } = setUp();
    for (let i = 0; i < 5_000; i++) wheel.arm(timer(String((i * 7919) % 20_000)), (i * 7919) % 20_000);
    await clock.advance(21_000);
    assert.equal(ran.length, 5_000);
    for (const { name, atMs } of ran) assert.ok(atMs >= Number(name) && atMs <= Number(name) + 20);
  });
});
