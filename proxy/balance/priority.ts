/** What a priority group can take. */
export interface GroupHealth {
  /** Endpoints that can take requests now. */
  readonly healthy: number;
  readonly total: number;
  /** Most of the traffic that the group may take, 0 to 1: 0 for a dead link, the ramp of a recovering one, else 1. */
  readonly cap: number;
  /** Groups of one level share its traffic; absent: a level of its own, in the order of the groups. */
  readonly level?: number;
  /** Among those of its level; 0 or absent: by number of endpoints. */
  readonly weight?: number;
}

/** A group carries its whole load down to 1 / 1.4, some 71 %, of its endpoints (Envoy's priority levels). */
const OVERPROVISIONING = 1.4;

/** Most of its own load that a group can take, 0 to 1. */
function capacityOf({ healthy, total, cap }: GroupHealth): number {
  return capacityFrom(healthy, total, cap);
}

/** As `capacityOf`, for whoever has no object at hand. */
export function capacityFrom(healthy: number, total: number, cap: number): number {
  return total === 0 ? 0 : Math.min(1, (healthy / total) * OVERPROVISIONING, cap);
}

/**
 * Shares of traffic by group, best level first; they sum to 1, or are all 0 where nothing is healthy. What a level
 * cannot take goes to the next one, in proportion; when all together cannot take it, all take more than they should.
 * A level can take what its groups can, weighed; of that each takes in proportion to its weight and to what it can.
 */
export function shareOut(groups: readonly GroupHealth[]): number[] {
  return shareInto(groups, []);
}

/** As `shareOut`, into `shares`, whatever is in it: where that is kept, nothing is allocated. */
export function shareInto(groups: readonly GroupHealth[], shares: number[]): number[] {
  shares.length = groups.length;
  shares.fill(0);
  let left = 1;
  for (let from = 0; from < groups.length && left > 0; ) {
    const to = levelEnd(groups, from);
    left -= to - from === 1 ? takeAlone(groups, from, left, shares) : takeTogether(groups, from, to, left, shares);
    from = to;
  }
  let sum = 0;
  for (const share of shares) sum += share;
  if (sum > 0) for (let i = 0; i < shares.length; i++) shares[i] = (shares[i] ?? 0) / sum;
  return shares;
}

/** The index after the last group of the level of `from`. */
function levelEnd(groups: readonly GroupHealth[], from: number): number {
  const level = groups[from]?.level;
  let to = from + 1;
  if (level !== undefined) while (to < groups.length && groups[to]?.level === level) to++;
  return to;
}

function takeAlone(groups: readonly GroupHealth[], at: number, left: number, shares: number[]): number {
  const group = groups[at];
  const take = group === undefined ? 0 : Math.min(left, capacityOf(group));
  shares[at] = take;
  return take;
}

/** Shares the level's load by weight and by what each can take; the level can take what all of its groups can. */
function takeTogether(
  groups: readonly GroupHealth[],
  from: number,
  to: number,
  left: number,
  shares: number[],
): number {
  let weights = 0;
  let able = 0;
  for (let i = from; i < to; i++) {
    const group = groups[i];
    if (group === undefined) continue;
    const weight = weightOf(group);
    weights += weight;
    able += weight * capacityOf(group);
    shares[i] = weight * capacityOf(group);
  }
  const take = weights === 0 ? 0 : Math.min(left, able / weights);
  for (let i = from; i < to; i++) shares[i] = able === 0 ? 0 : ((shares[i] ?? 0) / able) * take;
  return take;
}

function weightOf({ weight = 0, total }: GroupHealth): number {
  return weight > 0 ? weight : total;
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
