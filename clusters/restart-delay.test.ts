import assert from "node:assert/strict";
import { RestartDelay } from "./restart-delay.ts";

describe("RestartDelay.next()", () => {
  it("doubles with each short life up to the longest, and is nothing after a long one", () => {
    const delay = new RestartDelay({ minMs: 100, maxMs: 500, jitter: 0 });
    const lives = [1, 10_000, 1, 1, 10_001, 1, 1];
    assert.deepEqual(
      lives.map((livedMs) => delay.next(livedMs)),
      [100, 200, 400, 500, 0, 100, 200],
    );
  });
});
