import assert from "node:assert/strict";
import type { Sample } from "../../drills/traffic.ts";
import { analyseRepetition, failoverTable, mergeCases, summarise } from "./results.ts";

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

  const window = { faultMs: 100, endMs: 400, lost: "east", detectedBy: undefined } as const;

  it("takes the first answer of another cluster for the detection, and counts what was due during the fault", () => {
    const found = analyseRepetition(gets, [sample(101, 1, "", "reset")], { ...window, detectedBy: "another" });
    assert.deepEqual(
      [found.detectionMs, found.failedGets, found.failedPosts, found.p99DuringMs, found.p99BeforeMs],
      [35, 1, 1, 60, 40],
    );
  });

  it("takes the first answer to what was due after the fault where another gateway leads there", () => {
    const found = analyseRepetition([...gets, sample(130, 2, "east")], [], { ...window, detectedBy: "next" });
    assert.equal(found.detectionMs, 32);
  });

  it("detects nothing where nothing has to be noticed, or nothing was", () => {
    assert.equal(analyseRepetition(gets, [], window).detectionMs, null);
    const found = analyseRepetition(gets.slice(0, 2), [], { ...window, detectedBy: "another" });
    assert.equal(found.detectionMs, null);
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

describe("mergeCases()", () => {
  const one = (name: string, detectionMs: number) =>
    summarise(name, [{ detectionMs, failedGets: 0, failedPosts: 0, p99BeforeMs: 1, p99DuringMs: 2, failures: [] }]);

  it("keeps what was saved of other cases, in the order of the table, and forgets cases that are no more", () => {
    const merged = mergeCases(
      [one("b", 1), one("gone", 1), one("c", 1)],
      [one("a", 2), one("b", 3)],
      ["a", "b", "c"],
      false,
    );
    assert.deepEqual(
      merged.map(({ name, detectionP50Ms, repetitions }) => [name, detectionP50Ms, repetitions]),
      [
        ["a", 2, 1],
        ["b", 3, 1],
        ["c", 1, 1],
      ],
    );
  });

  it("adds repetitions to those that were saved where it shall", () => {
    const [merged] = mergeCases([one("a", 1)], [one("a", 5)], ["a"], true);
    assert.deepEqual([merged?.repetitions, merged?.detectionP50Ms, merged?.detectionP99Ms], [2, 1, 5]);
  });
});
