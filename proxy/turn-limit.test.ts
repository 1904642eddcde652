import assert from "node:assert/strict";
import { TurnLimit } from "./turn-limit.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function begin(limit: TurnLimit, run: () => void): void {
  if (limit.take()) run();
  else limit.later(run);
}

describe("TurnLimit", () => {
  it("lets as many begin in a turn as it may, and the rest in later turns, in order", async () => {
    const limit = new TurnLimit(2);
    const begun: number[] = [];
    for (let i = 0; i < 5; i++) begin(limit, () => begun.push(i));
    assert.deepEqual(begun, [0, 1]);
    await turn();
    assert.deepEqual(begun, [0, 1, 2, 3]);
    await turn();
    assert.deepEqual(begun, [0, 1, 2, 3, 4]);
  });

  it("starts each turn anew", async () => {
    const limit = new TurnLimit(1);
    assert.ok(limit.take());
    assert.ok(!limit.take());
    await turn();
    assert.ok(limit.take());
  });

  it("does not let newcomers overtake what waits", async () => {
    const limit = new TurnLimit(1);
    const begun: string[] = [];
    const take = (name: string) => begin(limit, () => begun.push(name));
    for (const name of ["a", "b", "c"]) take(name);
    await turn();
    take("d");
    for (let i = 0; i < 4; i++) await turn();
    assert.deepEqual(begun, ["a", "b", "c", "d"]);
  });
});
