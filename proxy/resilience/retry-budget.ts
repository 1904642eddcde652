/**
 * Retries of requests that were sent are at most 20 % of requests over 10 s, and never under 10 a second (as
 * Linkerd). A retry of what was never sent costs the endpoint nothing and is not counted here.
 */
export interface RetryBudget {
  readonly requests: Float64Array;
  readonly retries: Float64Array;
  /** Second of the newest slot. */
  second: number;
}

const WINDOW_S = 10;
const RATIO = 0.2;
const MIN_PER_SECOND = 10;

export function createRetryBudget(): RetryBudget {
  return { requests: new Float64Array(WINDOW_S), retries: new Float64Array(WINDOW_S), second: 0 };
}

function moveOn(budget: RetryBudget, nowMs: number): number {
  const second = Math.floor(nowMs / 1_000);
  if (second - budget.second >= WINDOW_S) {
    budget.requests.fill(0);
    budget.retries.fill(0);
    budget.second = second;
  }
  while (budget.second < second) {
    budget.second++;
    budget.requests[budget.second % WINDOW_S] = 0;
    budget.retries[budget.second % WINDOW_S] = 0;
  }
  return budget.second % WINDOW_S;
}

/** A first try of a request. */
export function deposit(budget: RetryBudget, nowMs: number): void {
  const slot = moveOn(budget, nowMs);
  budget.requests[slot] = (budget.requests[slot] ?? 0) + 1;
}

/** Takes one retry; false where the budget is spent. */
export function withdraw(budget: RetryBudget, nowMs: number): boolean {
  const slot = moveOn(budget, nowMs);
  let requests = 0;
  let retries = 0;
  for (let i = 0; i < WINDOW_S; i++) {
    requests += budget.requests[i] ?? 0;
    retries += budget.retries[i] ?? 0;
  }
  if (retries + 1 > MIN_PER_SECOND * WINDOW_S + RATIO * requests) return false;
  budget.retries[slot] = (budget.retries[slot] ?? 0) + 1;
  return true;
}
