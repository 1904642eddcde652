import assert from "node:assert/strict";
import * as fc from "fast-check";
import { Histogram } from "./histogram.ts";

describe("Histogram", () => {
  it("quantile() is within 1 % of the value of that rank", () => {
    const latency = fc.double({ min: 0.1, max: 4e8, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(latency, { minLength: 1, maxLength: 200 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (all, q) => {
          const histogram = new Histogram();
          for (const us of all) histogram.record(us);
          const sorted = [...all].sort((a, b) => a - b);
          const exact = sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1] ?? Number.NaN;
          assert.ok(Math.abs(histogram.quantile(q) - exact) <= 0.1 + exact / 100);
        },
      ),
    );
  });

  it("quantile() of nothing is NaN, also after a reset", () => {
    const histogram = new Histogram();
    assert.ok(Number.isNaN(histogram.quantile(0.5)));
    histogram.record(7);
    assert.equal(histogram.quantile(0.99), 7);
    histogram.reset();
    assert.equal(histogram.count, 0);
    assert.ok(Number.isNaN(histogram.quantile(0.5)));
  });

  it("record() takes what is beyond its bounds for the bound", () => {
    const histogram = new Histogram();
    histogram.record(-5);
    assert.equal(histogram.quantile(1), 0);
    histogram.record(1e12);
    assert.ok(histogram.quantile(1) > 4.2e8);
  });
});
