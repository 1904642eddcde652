import assert from "node:assert/strict";
import { Readiness } from "./probe.ts";

describe("Readiness", () => {
  it("comes with the first probe that passes and goes with the third in a row that fails", () => {
    const readiness = new Readiness();
    const readyAfter = (...results: boolean[]) => {
      for (const passed of results) readiness.note(passed);
      return readiness.ready;
    };
    assert.equal(readyAfter(false), false);
    assert.equal(readyAfter(true), true);
    assert.equal(readyAfter(false, false), true);
    assert.equal(readyAfter(true, false, false), true);
    assert.equal(readyAfter(false), false);
    assert.equal(readyAfter(true), true);
  });

  it("goes at once with the process", () => {
    const readiness = new Readiness();
    readiness.note(true);
    readiness.lose();
    assert.equal(readiness.ready, false);
  });
});
