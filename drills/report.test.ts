import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { hasCode } from "../core/errors.ts";
import { analyse, quantile } from "./report.ts";
import { DEFAULT_SLO, parseSlo } from "./slo.ts";
import type { Sample } from "./traffic.ts";

/** 100 requests/s from 0 to 6 s; `who` says who answers one that is due at a time. */
function samples(who: (dueMs: number) => Partial<Sample>): Sample[] {
  return Array.from({ length: 600 }, (_, i) => {
    const dueMs = i * 10;
    return { dueMs, endMs: dueMs + 2, status: 200, cluster: "west", error: "", ...who(dueMs) };
  });
}

const facts = {
  drill: "endpoint-loss",
  url: "http://web",
  perSecond: 100,
  faultMs: 2_000,
  lost: "west",
  slo: { ...DEFAULT_SLO, p99Ms: 500 },
};

describe("analyse()", () => {
  it("finds detection, shift and return", () => {
    const report = analyse(
      samples((dueMs) => {
        if (dueMs < 2_000 || dueMs >= 4_000) return {};
        // The last local answer comes 30 ms after the fault, the first remote one after 12 ms.
        return dueMs === 2_020 ? { endMs: 2_030 } : { cluster: "east", endMs: dueMs + 12 };
      }),
      facts,
    );
    assert.equal(report.detectionMs, 12);
    assert.equal(report.shiftMs, 30);
    assert.equal(report.returnMs, 2_002);
    assert.equal(report.failures, 0);
    assert.equal(report.p99BeforeMs, 2);
    assert.equal(report.p99DuringMs, 12);
    assert.deepEqual(report.misses, []);
    assert.equal(report.passed, true);
  });

  it("fails a drill in which requests failed, and says why they did", () => {
    const report = analyse(
      samples((dueMs) =>
        dueMs < 2_000 ? {} : dueMs < 2_050 ? { status: 503, cluster: "", error: "503" } : { cluster: "east" },
      ),
      facts,
    );
    assert.equal(report.failures, 5);
    assert.deepEqual(report.failureReasons, ["5 × 503"]);
    assert.deepEqual(report.misses, ["5 requests failed, 0 allowed"]);
    assert.equal(report.passed, false);
  });

  it("fails a drill in which traffic never moved", () => {
    const report = analyse(
      samples(() => ({})),
      facts,
    );
    assert.equal(report.detectionMs, null);
    assert.deepEqual(report.misses, ["traffic never moved to another cluster"]);
  });

  it("fails a drill over its p99 or its shift time", () => {
    const slow = analyse(
      samples((dueMs) => (dueMs < 2_000 ? {} : { cluster: "east", endMs: dueMs + 700 })),
      facts,
    );
    assert.match(slow.misses.join(), /p99 700 ms, 500 ms allowed/);
    const late = analyse(
      samples((dueMs) => (dueMs < 4_500 ? {} : { cluster: "east" })),
      facts,
    );
    assert.match(late.misses.join(), /shift took 2492 ms, 2000 ms allowed/);
  });
});

describe("quantile()", () => {
  it("is the nearest rank", () => {
    assert.equal(quantile([], 0.99), 0);
    assert.equal(quantile([5], 0.99), 5);
    assert.equal(
      quantile(
        Array.from({ length: 100 }, (_, i) => i + 1),
        0.99,
      ),
      99,
    );
  });
});

describe("parseSlo()", () => {
  it("reads parts and keeps defaults for the rest", () => {
    assert.deepEqual(parseSlo("failures=3,p99=1s"), { failures: 3, p99Ms: 1_000, shiftMs: 2_000 });
  });
  it("refuses what it cannot read", () => {
    for (const text of ["", "p99", "p99=5", "errors=0", "failures=-1"])
      assert.throws(
        () => parseSlo(text),
        (e) => hasCode(e, "USAGE"),
      );
  });
});
