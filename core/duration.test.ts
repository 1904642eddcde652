import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { parseDuration } from "./duration.ts";

describe("parseDuration()", () => {
  it("reads what GEP-2257 writes", () => {
    const cases: [string, number][] = [
      ["0s", 0],
      ["10ms", 10],
      ["1h1m1s1ms", 3_661_001],
      ["1m30s", 90_000],
      ["99999h", 2_147_483_647],
    ];
    for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, text);
  });
  it("takes nothing else", () => {
    for (const text of ["", "1", "1.5s", "-1s", "1d", "100000s", "1s1s1s1s1s", " 1s", "s"]) {
      assert.equal(parseDuration(text), undefined, text);
    }
  });
});
