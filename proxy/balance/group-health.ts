import type { LinkHealth } from "../../core/link.ts";
import { admits } from "../resilience/breaker.ts";
import type { Group } from "./endpoint.ts";

/** What is known of the way to a cluster; that of the own one says only `drained`. */
export interface LinkView {
  readonly health: LinkHealth;
  readonly ramp: number;
  /** Share of the traffic of federated names that is to go elsewhere; absent: none. */
  readonly drained?: number;
  /** Dead for longer than the lease on its endpoints. */
  readonly stale?: boolean;
}

/** A recovering link takes at least this, or nothing would show that it works. */
const LEAST_RAMP = 0.01;

/** What the link to the group's cluster, and its gateways, let pass. */
export function linkCap(group: Group, link: LinkView | undefined, nowMs: number): number {
  if (link?.health === "dead") return 0;
  let admitted = group.gateways.length === 0;
  for (const gateway of group.gateways) admitted ||= admits(gateway.breaker, nowMs);
  if (!admitted) return 0;
  return link?.health === "recovering" ? Math.max(LEAST_RAMP, link.ramp) : 1;
}

/** How many endpoints the service has there. */
export function totalOf({ counts, endpoints }: Group): number {
  return counts?.total ?? endpoints.length;
}

/** `count` of the group's ready endpoints, as so many of all that the service has there. */
export function scaled({ counts, ready }: Group, count: number): number {
  return counts === undefined || ready.length === 0 ? count : (count / ready.length) * counts.ready;
}

/** Whether the traffic of `first` is also that of the group after it. */
export function sharesLevel(first: Group, second: Group | undefined): boolean {
  return second !== undefined && first.level !== undefined && first.level === second.level;
}

/** All endpoints are ready, and no breaker has opened. */
export function allWell(group: Group): boolean {
  if (group.ready.length === 0 || group.ready.length !== group.endpoints.length) return false;
  for (const endpoint of group.ready) if (endpoint.breaker.state !== "closed") return false;
  return true;
}
