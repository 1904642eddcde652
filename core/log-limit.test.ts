import assert from "node:assert/strict";
import { ManualClock } from "./clock.ts";
import type { Log } from "./log.ts";
import { limitLog } from "./log-limit.ts";

describe("limitLog()", () => {
  it("writes so many lines of each event, and later says how many it left out", async () => {
    const lines: [string, unknown][] = [];
    const write = (event: string, fields?: object) => void lines.push([event, fields]);
    const plain: Log = { debug: write, info: write, warn: write, error: write, child: () => plain };
    const clock = new ManualClock();
    const log = limitLog(plain, clock, 3, 6);
    for (let i = 0; i < 1_000; i++) log.warn("refused", { i });
    log.warn("other");
    assert.deepEqual(lines, [
      ["refused", { i: 0 }],
      ["refused", { i: 1 }],
      ["refused", { i: 2 }],
      ["other", {}],
    ]);
    await clock.advance(10_000);
    for (let i = 0; i < 1_000; i++) log.warn("refused", { i });
    assert.deepEqual(lines.slice(4), [["refused", { i: 0, suppressed: 997 }]]);
    for (let i = 0; i < 1_000; i++) log.info(`event ${i}`);
    assert.ok(lines.length < 80, "events are bounded too");
  });
});
