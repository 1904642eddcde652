/** What a priority group can take. */
export interface GroupHealth {
  /** Endpoints that can take requests now. */
  readonly healthy: number;
  readonly total: number;
  /** Most of the traffic that the group may take, 0 to 1: 0 for a dead link, the ramp of a recovering one, else 1. */
  readonly cap: number;
}

/** A group carries its whole load down to 1 / 1.4, some 71 %, of its endpoints (Envoy's priority levels). */
const OVERPROVISIONING = 1.4;

/**
 * Shares of traffic by group, best first; they sum to 1, or are all 0 where nothing is healthy. What a group cannot
 * take goes to the next one, in proportion; when all together cannot take it, all take more than they should.
 */
export function shareOut(groups: readonly GroupHealth[]): number[] {
  const capacity = groups.map(({ healthy, total, cap }) =>
    total === 0 ? 0 : Math.min(1, (healthy / total) * OVERPROVISIONING, cap),
  );
  let left = 1;
  const shares = capacity.map((can) => {
    const take = Math.min(left, can);
    left -= take;
    return take;
  });
  const sum = shares.reduce((all, share) => all + share, 0);
  return sum > 0 ? shares.map((share) => share / sum) : shares;
}

/** The group that a uniform number in [0, 1) falls into; -1 where all shares are 0. */
export function pickGroup(shares: readonly number[], uniform: number): number {
  let rest = uniform;
  let last = -1;
  for (let i = 0; i < shares.length; i++) {
    const share = shares[i] ?? 0;
    if (share <= 0) continue;
    if (rest < share) return i;
    rest -= share;
    last = i;
  }
  return last;
}
