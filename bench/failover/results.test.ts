import assert from "node:assert/strict";
import type { Sample } from "../../drills/traffic.ts";
import { analyseRepetition, failoverTable, summarise } from "./results.ts";

const sample = (dueMs: number, tookMs: number, cluster: string, error = ""): Sample => ({
  ...{ dueMs, endMs: dueMs + tookMs, status: error === "" ? 200 : 503, cluster, error },
});

describe("analyseRepetition()", () => {
  const gets = [
    sample(0, 2, "east"),
    sample(10, 3, "east"),
    sample(95, 40, "west"),
    sample(100, 60, "west"),
    sample(120, 5, "", "503"),
    sample(500, 900, "west"),
  ];

  it("takes the first answer of another cluster for the detection, and counts what was due during the fault", () => {
    const found = analyseRepetition(gets, [sample(101, 1, "", "reset")], { faultMs: 100, endMs: 400, lost: "east" });
    assert.deepEqual(
      [found.detectionMs, found.failedGets, found.failedPosts, found.p99DuringMs, found.p99BeforeMs],
      [35, 1, 1, 60, 40],
    );
  });

  it("detects nothing where nothing has to move, or nothing did", () => {
    const window = { faultMs: 100, endMs: 400 };
    assert.equal(analyseRepetition(gets, [], { ...window, lost: undefined }).detectionMs, null);
    assert.equal(analyseRepetition(gets.slice(0, 2), [], { ...window, lost: "east" }).detectionMs, null);
  });
});

describe("summarise()", () => {
  it("adds failures up and takes medians of the rest", () => {
    const base = { failedGets: 1, failedPosts: 0, p99BeforeMs: 1, failures: ["503"] };
    const all = [5, 1, 9].map((detectionMs) => ({ ...base, detectionMs, p99DuringMs: detectionMs * 10 }));
    const result = summarise("one", all);
    assert.deepEqual(
      [result.detectionP50Ms, result.detectionP99Ms, result.failedGets, result.p99DuringMs, result.repetitions],
      [5, 9, 3, 50, 3],
    );
    assert.match(failoverTable([result]), /\| one \| 5 \| 9 \| 3 \| 0 \| 1 \| 50 \| 3 \|\n\none: 3 × 503\./);
  });
});
