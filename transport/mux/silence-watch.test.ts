import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { TimerWheel } from "../timer-wheel.ts";
import { SilenceWatch } from "./silence-watch.ts";

describe("SilenceWatch", () => {
  let clock: ManualClock;
  let told: string[];
  let answers: { count: number };
  let watch: SilenceWatch;

  beforeEach(() => {
    clock = new ManualClock();
    told = [];
    answers = { count: 0 };
    const owner = {
      onQuiet: () => void told.push("quiet"),
      onSilence: (silent: boolean) => void told.push(silent ? "silent" : "heard"),
    };
    watch = new SilenceWatch(new TimerWheel(clock, silentLog), 400, owner, answers);
  });

  /** Each look waits for the end of a turn of the event loop. */
  async function pass(ms: number): Promise<void> {
    for (let at = 0; at < ms; at += 20) {
      await clock.advance(20);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  it("asks once for a sign of life, then says that nothing comes, and when something does again", async () => {
    watch.said();
    await pass(300);
    assert.deepEqual(told, ["quiet"]);
    await pass(300);
    assert.deepEqual(told, ["quiet", "silent"]);
    assert.ok(watch.stalled);
    await pass(2_000);
    watch.said();
    assert.equal(told.length, 2);
    watch.heard();
    assert.deepEqual([told.at(-1), watch.stalled], ["heard", false]);
  });

  it("says nothing of a peer that answers, however late its app does", async () => {
    for (let i = 0; i < 10; i++) {
      watch.said();
      await pass(200);
      watch.heard();
    }
    assert.deepEqual([...new Set(told)], ["quiet"]);
    assert.equal(answers.count, 10);
    await pass(5_000);
    assert.deepEqual([...new Set(told)], ["quiet"]);
  });

  it("looks no more while no answer is due, nor once it is stopped", async () => {
    watch.heard();
    await pass(2_000);
    watch.said();
    watch.stop();
    await pass(2_000);
    assert.deepEqual([told, answers.count], [[], 0]);
  });
});
