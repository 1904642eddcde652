import { type Peers, turn } from "../resilience/breaker.ts";
import type { Endpoint, Group } from "./endpoint.ts";

/** Fewer answers within the window say nothing about a rate. */
const MIN_REQUESTS = 20;
/** An endpoint with a higher success rate is well enough, whatever the others do. */
const WELL = 0.8;
/** So much lower than that of the others must the rate be: where all fail the fault is elsewhere. */
const DISTANCE = 0.2;
/** Share of the endpoints of a lone group that may be broken for what they answer. */
const MAX_EJECTED = 0.5;

/** What the breaker of `endpoint` is told of the others in `groups`, all of its service. */
export function peersOf(groups: readonly Group[], endpoint: Endpoint, nowMs: number): Peers {
  return { isOutlier: () => isOutlier(endpoint, nowMs), mayEject: () => mayEject(groups, endpoint) };
}

function isOutlier(endpoint: Endpoint, nowMs: number): boolean {
  const own = counted([endpoint], nowMs);
  if (own.all < MIN_REQUESTS || own.rate >= WELL) return false;
  const others = counted(
    endpoint.group.ready.filter((other) => other !== endpoint),
    nowMs,
  );
  return others.all >= MIN_REQUESTS && own.rate <= others.rate - DISTANCE;
}

function counted(endpoints: readonly Endpoint[], nowMs: number): { all: number; rate: number } {
  let good = 0;
  let bad = 0;
  for (const { breaker } of endpoints) {
    turn(breaker.window, nowMs);
    good += breaker.window.good + breaker.window.goodBefore;
    bad += breaker.window.bad + breaker.window.badBefore;
  }
  const all = good + bad;
  return { all, rate: all === 0 ? 1 : good / all };
}

/** A whole group may be ejected where another one is there to take its place, never all that a service has. */
function mayEject(groups: readonly Group[], endpoint: Endpoint): boolean {
  const { group } = endpoint;
  const elsewhere = groups.some(
    (other) => other !== group && other.ready.some(({ breaker }) => breaker.state === "closed"),
  );
  if (elsewhere) return true;
  const open = group.ready.filter(({ breaker }) => breaker.state !== "closed").length;
  return open + 1 <= MAX_EJECTED * group.ready.length;
}
