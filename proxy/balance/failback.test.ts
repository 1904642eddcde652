import assert from "node:assert/strict";
import { createFailback, ramped } from "./failback.ts";
import { shareOut } from "./priority.ts";

describe("ramped()", () => {
  it("gives less at once, more only after a second, and everything ten seconds later", () => {
    const failback = createFailback(0);
    assert.equal(ramped(failback, 1, 0), 1);
    assert.equal(ramped(failback, 0, 1_000), 0);
    assert.equal(ramped(failback, 1, 2_000), 0);
    assert.equal(ramped(failback, 1, 3_000), 0);
    assert.ok(Math.abs(ramped(failback, 1, 8_000) - 0.5) < 1e-9);
    assert.equal(ramped(failback, 1, 13_000), 1);
  });

  it("begins anew when what came back goes again", () => {
    const failback = createFailback(0);
    ramped(failback, 0, 0);
    ramped(failback, 1, 100);
    ramped(failback, 1, 3_100);
    assert.equal(ramped(failback, 0, 3_200), 0);
    ramped(failback, 1, 3_300);
    assert.equal(ramped(failback, 1, 4_300), 0);
  });

  it("keeps what was not lost", () => {
    const failback = createFailback(0);
    assert.equal(ramped(failback, 0.7, 0), 0.7);
    assert.equal(ramped(failback, 1, 900), 0.7);
    assert.equal(ramped(failback, 1, 60_000), 1);
  });
});

describe("shareOut() with levels", () => {
  const group = (level: number, weight: number, healthy: number, total = 4, cap = 1) => ({
    level,
    weight,
    healthy,
    total,
    cap,
  });
  const rounded = (shares: readonly number[]) => shares.map((share) => Math.round(share * 1_000) / 1_000);

  it("shares a level by weight, or by number of endpoints", () => {
    assert.deepEqual(rounded(shareOut([group(0, 70, 4), group(0, 30, 4), group(1, 0, 4)])), [0.7, 0.3, 0]);
    assert.deepEqual(rounded(shareOut([group(0, 0, 3, 3), group(0, 0, 1, 1)])), [0.75, 0.25]);
  });

  it("moves what one of a level cannot take to the others, and beyond them to the next level", () => {
    assert.deepEqual(rounded(shareOut([group(0, 70, 0), group(0, 30, 4)])), [0, 1]);
    assert.deepEqual(rounded(shareOut([group(0, 70, 0), group(0, 30, 4), group(1, 0, 4)])), [0, 0.3, 0.7]);
    assert.deepEqual(rounded(shareOut([group(0, 50, 4, 4, 0), group(0, 50, 4), group(1, 0, 0)])), [0, 1, 0]);
  });
});
