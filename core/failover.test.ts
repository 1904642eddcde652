import assert from "node:assert/strict";
import { drainedShare, evacuationPlan, nextStepMs } from "./evacuation.ts";
import { type FailoverPolicy, failoverPlaces, failoverProblems, unknownClusters } from "./failover.ts";

const policy = (mode: FailoverPolicy["mode"], prefer: string[] = [], weights: Record<string, number> = {}) => ({
  mode,
  prefer,
  weights,
});

describe("failoverPlaces()", () => {
  const clusters = ["west", "north", "east"];
  const places = (given: FailoverPolicy | undefined, among = clusters) =>
    failoverPlaces(given, among, "west").map(({ cluster, level, weight }) => `${level} ${cluster} ${weight}`);

  it("puts the own cluster first, then the nearest, a level each, without a policy", () => {
    assert.deepEqual(places(undefined), ["0 west 0", "1 north 0", "2 east 0"]);
    assert.deepEqual(places(undefined, ["north", "east"]), ["0 north 0", "1 east 0"]);
  });

  it("keeps the own cluster first with locality, and puts it where it is preferred with priority", () => {
    assert.deepEqual(places(policy("locality", ["east", "west"])), ["0 west 0", "1 east 0", "2 north 0"]);
    assert.deepEqual(places(policy("priority", ["east", "gone", "west"])), ["0 east 0", "1 west 0", "2 north 0"]);
    assert.deepEqual(places(policy("priority", ["gone"])), ["0 west 0", "1 north 0", "2 east 0"]);
  });

  it("has those with a weight share one level, the others take what is left", () => {
    assert.deepEqual(places(policy("weighted", [], { east: 70, west: 30 })), ["0 west 30", "0 east 70", "1 north 0"]);
    assert.deepEqual(places(policy("weighted", ["east"], { west: 100 })), ["0 west 100", "1 east 0", "2 north 0"]);
  });

  it("has all, or those preferred, share one level when active-active", () => {
    assert.deepEqual(places(policy("active-active")), ["0 west 0", "0 north 0", "0 east 0"]);
    assert.deepEqual(places(policy("active-active", ["east", "west"])), ["0 east 0", "0 west 0", "1 north 0"]);
  });
});

describe("failoverProblems()", () => {
  it("finds nothing wrong with what means something", () => {
    for (const good of [
      policy("locality"),
      policy("locality", ["east"]),
      policy("priority", ["east", "west"]),
      policy("weighted", [], { east: 70, west: 30 }),
      policy("active-active"),
    ])
      assert.deepEqual(failoverProblems(good), []);
  });

  it("says what does not: sums, strays, repeats, unknown modes and clusters", () => {
    const first = (given: FailoverPolicy) => failoverProblems(given)[0];
    assert.match(first(policy("weighted", [], { east: 70, west: 20 })) ?? "", /add up to 90; want 100/);
    assert.match(first(policy("weighted", [], { east: 100.5, west: -0.5 })) ?? "", /east is 100.5/);
    assert.match(first(policy("weighted")) ?? "", /wants weights/);
    assert.match(first(policy("priority")) ?? "", /wants clusters/);
    assert.match(first(policy("locality", [], { east: 100 })) ?? "", /mean nothing/);
    assert.match(first(policy("priority", ["east", "east"])) ?? "", /twice/);
    assert.match(first(policy("toString" as "locality")) ?? "", /unknown/);
    assert.deepEqual(unknownClusters(policy("weighted", ["a"], { a: 50, b: 50 }), ["b"]), ["a"]);
  });
});

describe("drainedShare()", () => {
  it("rises to everything over its time, and sinks from where it was when that is undone", () => {
    const out = evacuationPlan({ over: "10s" }, 1_000);
    assert.deepEqual(
      [0, 1_000, 6_000, 11_000, 99_000].map((atMs) => drainedShare(out, atMs)),
      [0, 0, 0.5, 1, 1],
    );
    const back = evacuationPlan({ evacuate: false, over: "10s", since: "1970-01-01T00:00:06Z", from: 0.5 }, 0);
    assert.deepEqual(
      [6_000, 11_000, 16_000].map((atMs) => drainedShare(back, atMs)),
      [0.5, 0.25, 0],
    );
    assert.deepEqual([nextStepMs(back, 16_000), nextStepMs(back, 6_000)], [undefined, 500]);
  });

  it("takes all at once without a time, and 30 s where nothing is said or it means nothing", () => {
    assert.equal(drainedShare(evacuationPlan({ over: "0s" }, 5_000), 5_000), 1);
    assert.deepEqual(evacuationPlan({ over: "soon", since: "yesterday", from: 7 }, 5), {
      out: true,
      sinceMs: 5,
      overMs: 30_000,
      from: 1,
    });
  });
});
