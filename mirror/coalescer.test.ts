import assert from "node:assert/strict";
import { ManualClock } from "../core/clock.ts";
import { Coalescer } from "./coalescer.ts";

describe("Coalescer", () => {
  it("runs once for many marks of one turn, at once after a pause and spaced otherwise", async () => {
    const clock = new ManualClock();
    let runs = 0;
    const coalescer = new Coalescer({ clock, spacingMs: 25, run: () => runs++, onError: () => {} });
    for (let i = 0; i < 5; i++) coalescer.mark();
    await clock.advance(0);
    assert.equal(runs, 1);
    coalescer.mark();
    await clock.advance(24);
    assert.equal(runs, 1);
    await clock.advance(1);
    assert.equal(runs, 2);
    await clock.advance(100);
    assert.equal(runs, 2);
    coalescer.mark();
    await clock.advance(0);
    assert.equal(runs, 3);
  });

  it("comes back by itself after a throw, and not after close", async () => {
    const clock = new ManualClock();
    const errors: unknown[] = [];
    const run = () => {
      throw new Error("no");
    };
    const coalescer = new Coalescer({ clock, spacingMs: 0, run, onError: (error) => errors.push(error) });
    coalescer.mark();
    await clock.advance(2_000);
    assert.equal(errors.length, 3);
    coalescer.close();
    coalescer.mark();
    await clock.advance(2_000);
    assert.equal(errors.length, 3);
  });
});
