import assert from "node:assert/strict";
import { admit, admits, createBreaker, fail, release, succeed } from "./breaker.ts";
import { DEFAULT_RETRY } from "./request-policy.ts";
import { createRetryBudget, deposit, withdraw } from "./retry-budget.ts";
import { attemptsAfterPause, type FailedTry, isDecisive, pauseMs, retryOf, retryWaitMs } from "./retry-policy.ts";

const half = () => 0.5;
const none = () => 0;

describe("fail()", () => {
  it("opens after seven failures in a row, a success in between starting anew", () => {
    const breaker = createBreaker();
    for (let i = 0; i < 6; i++) assert.equal(fail(breaker, false, 0, none), false);
    succeed(breaker, 0);
    for (let i = 0; i < 6; i++) fail(breaker, false, 0, none);
    assert.equal(admits(breaker, 0), true);
    assert.equal(fail(breaker, false, 0, none), true);
    assert.equal(admits(breaker, 0), false);
  });

  it("opens at once without a connection, with jitter", () => {
    const breaker = createBreaker();
    assert.equal(fail(breaker, true, 100, half), true);
    assert.equal(breaker.untilMs, 850);
  });

  it("lets one probe through, then backs off for longer, up to a minute", () => {
    const breaker = createBreaker();
    fail(breaker, true, 0, none);
    assert.equal(admits(breaker, 1_000), true);
    admit(breaker, 1_000);
    assert.equal(admits(breaker, 1_001), false);
    fail(breaker, true, 1_000, none);
    assert.deepEqual([admits(breaker, 2_999), admits(breaker, 3_000)], [false, true]);
    for (let nowMs = 3_000, i = 0; i < 10; i++, nowMs = breaker.untilMs) {
      admit(breaker, nowMs);
      fail(breaker, true, nowMs, none);
      assert.ok(breaker.untilMs - nowMs <= 60_000);
    }
    admit(breaker, breaker.untilMs);
    assert.equal(succeed(breaker, breaker.untilMs), true);
    assert.equal(breaker.attempt, 0);
  });

  it("gives the probe back where it said nothing", () => {
    const breaker = createBreaker();
    fail(breaker, true, 0, none);
    admit(breaker, 1_000);
    release(breaker, 1_001);
    assert.equal(admits(breaker, 1_001), true);
  });
});

describe("withdraw()", () => {
  it("allows 10 a second over 10 s, and a fifth of the requests", () => {
    const budget = createRetryBudget();
    const spend = (nowMs: number) => {
      let got = 0;
      while (withdraw(budget, nowMs)) got++;
      return got;
    };
    assert.equal(spend(50_000), 100);
    for (let i = 0; i < 500; i++) deposit(budget, 51_000);
    assert.equal(spend(51_000), 100);
    assert.equal(spend(59_999), 0);
    assert.equal(spend(60_000), 100);
    assert.equal(spend(90_000), 100);
  });
});

describe("retryOf()", () => {
  const failed: FailedTry = {
    failure: "reset",
    code: undefined,
    idempotent: true,
    replayable: true,
    attempts: 1,
    retriesLeft: 2,
    policy: DEFAULT_RETRY,
  };
  it("sends a POST again only where no app can have seen it", () => {
    const post = { ...failed, idempotent: false };
    assert.equal(retryOf(post), "no");
    assert.equal(retryOf({ ...post, failure: "connect" }), "free");
    assert.equal(retryOf({ ...post, failure: "untaken" }), "free");
    assert.equal(retryOf({ ...post, failure: "refused", code: "PROXY_CONNECT_FAILED" }), "free");
    assert.equal(retryOf({ ...post, failure: "refused", code: "PROXY_RESET" }), "no");
    assert.equal(retryOf({ ...post, failure: "abandoned" }), "no");
  });

  it("charges the budget for what an app may have seen", () => {
    assert.equal(retryOf(failed), "budgeted");
    assert.equal(retryOf({ ...failed, retriesLeft: 0 }), "no");
    assert.equal(retryOf({ ...failed, retriesLeft: 0, failure: "connect" }), "free");
    assert.equal(retryOf({ ...failed, failure: "malformed" }), "no");
    assert.equal(retryOf({ ...failed, replayable: false }), "no");
    assert.equal(retryOf({ ...failed, failure: "connect", attempts: 10 }), "no");
  });
});

describe("retryOf() by policy", () => {
  const failed: FailedTry = {
    failure: "refused",
    code: undefined,
    idempotent: false,
    replayable: true,
    attempts: 1,
    retriesLeft: 1,
    policy: DEFAULT_RETRY,
  };
  it("repeats what was answered with a status that it names, whatever the method", () => {
    assert.equal(retryOf(failed), "budgeted");
    assert.equal(retryOf({ ...failed, retriesLeft: 0 }), "no");
  });

  it("repeats a late or broken try of any method where it says so", () => {
    const anyMethod = { ...DEFAULT_RETRY, anyMethod: true };
    for (const failure of ["timeout", "reset"] as const) {
      assert.equal(retryOf({ ...failed, failure }), "no");
      assert.equal(retryOf({ ...failed, failure, policy: anyMethod }), "budgeted");
    }
  });

  it("charges for what an endpoint turned away because it has too much to do", () => {
    assert.equal(retryOf({ ...failed, code: "PROXY_OVERLOADED" }), "budgeted");
    assert.equal(retryOf({ ...failed, code: "PROXY_OVERLOADED", retriesLeft: 0 }), "no");
    assert.equal(isDecisive({ failure: "refused", code: "PROXY_OVERLOADED" }), false);
    assert.equal(isDecisive({ failure: "connect", code: undefined }), true);
  });
});

describe("retryWaitMs()", () => {
  it("waits at least the backoff, doubled each time, with jitter, and 10 s at most", () => {
    const policy = { ...DEFAULT_RETRY, backoffMs: 100 };
    assert.deepEqual(
      [retryWaitMs(policy, 0, 0), retryWaitMs(policy, 2, 0), retryWaitMs(policy, 0, 1)],
      [100, 400, 125],
    );
    assert.equal(retryWaitMs(policy, 9, 0), 10_000);
    assert.equal(retryWaitMs(DEFAULT_RETRY, 3, 1), 0);
  });
});

describe("pauseMs()", () => {
  it("doubles, ends after four pauses, and keeps nobody longer than 3 s", () => {
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((pauses) => pauseMs(pauses, 0)),
      [100, 200, 400, 800, 0],
    );
    assert.equal(pauseMs(0, 2_901), 0);
  });
});

describe("attemptsAfterPause()", () => {
  it("leaves three attempts at most where all were used", () => {
    assert.deepEqual([0, 2, 10].map(attemptsAfterPause), [0, 2, 7]);
  });
});
