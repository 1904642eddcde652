import assert from "node:assert/strict";
import { ManualClock } from "../core/clock.ts";
import { KeyedWork, type KeyedWorkOptions } from "./keyed-work.ts";

describe("KeyedWork", () => {
  let clock: ManualClock;
  let ran: string[];
  let failures: string[];

  const work = (over: Partial<KeyedWorkOptions>) =>
    new KeyedWork({
      clock,
      random: () => 0,
      backoff: { minMs: 100, maxMs: 400, jitter: 0 },
      concurrency: 2,
      spacingMs: 0,
      run: async (key) => {
        ran.push(key);
      },
      onFailure: (key, _error, attempt) => failures.push(`${key}${attempt}`),
      ...over,
    });
  const failing = async (key: string) => {
    ran.push(key);
    throw new Error("no");
  };

  beforeEach(() => {
    clock = new ManualClock();
    ran = [];
    failures = [];
  });

  it("retries for ever with growing delay, and is not hurried by more requests", async () => {
    const retried = work({ run: failing });
    retried.add("a");
    await clock.advance(0);
    for (let i = 0; i < 10; i++) retried.add("a");
    await clock.advance(99);
    assert.equal(ran.length, 1);
    await clock.advance(1);
    assert.equal(ran.length, 2);
    await clock.advance(200);
    assert.equal(ran.length, 3);
    await clock.advance(4_000);
    assert.equal(ran.length, 13);
    assert.deepEqual(failures.slice(0, 3), ["a0", "a1", "a2"]);
  });

  it("runs a kicked key at once and forgets its failures; a dropped one never again", async () => {
    const retried = work({ run: failing });
    retried.add("a");
    await clock.advance(100);
    retried.kick("a");
    await clock.advance(0);
    assert.deepEqual(failures, ["a0", "a1", "a0"]);
    retried.drop("a");
    await clock.advance(10_000);
    assert.equal(ran.length, 3);
  });

  it("runs a key that is added while it runs once more, never twice at a time", async () => {
    const ends: (() => void)[] = [];
    const slow = work({
      run: (key) => {
        ran.push(key);
        return new Promise((resolve) => ends.push(resolve));
      },
    });
    slow.add("a");
    slow.add("a");
    slow.add("a");
    assert.equal(ran.length, 1);
    ends[0]?.();
    await clock.advance(0);
    assert.equal(ran.length, 2);
    ends[1]?.();
    await clock.advance(0);
    assert.equal(ran.length, 2);
  });

  it("keeps to its concurrency, and to its spacing", async () => {
    const ends: (() => void)[] = [];
    const slow = work({ run: () => new Promise((resolve) => ends.push(resolve)) });
    for (const key of ["a", "b", "c"]) slow.add(key);
    assert.equal(ends.length, 2);
    const spaced = work({ spacingMs: 50 });
    for (const key of ["a", "b", "c"]) spaced.add(key);
    assert.equal(ran.length, 1);
    await clock.advance(50);
    assert.equal(ran.length, 2);
    await clock.advance(50);
    assert.equal(ran.length, 3);
  });

  it("waits on close for what runs and starts nothing more", async () => {
    let end = () => {};
    const slow = work({
      concurrency: 1,
      run: (key) => {
        ran.push(key);
        return new Promise((resolve) => {
          end = resolve;
        });
      },
    });
    slow.add("a");
    slow.add("b");
    let closed = false;
    const closing = slow.close().then(() => {
      closed = true;
    });
    await clock.advance(0);
    assert.equal(closed, false);
    end();
    await closing;
    assert.deepEqual(ran, ["a"]);
  });
});
