import type { LinkHealth } from "../../core/link.ts";
import { admits } from "../resilience/breaker.ts";
import type { Group } from "./endpoint.ts";

/** Why a group takes no request: what is missing first on the way to it. */
export type Obstacle = "no_endpoints" | "not_ready" | "link_dead" | "gateways_broken" | "ejected";

/** What keeps requests from `group`; undefined where nothing does. */
export function obstacleTo(group: Group, link: LinkHealth | undefined, nowMs: number): Obstacle | undefined {
  if (group.endpoints.length === 0) return "no_endpoints";
  if (group.ready.length === 0) return "not_ready";
  if (link === "dead") return "link_dead";
  const { gateways } = group;
  if (gateways.length > 0 && !gateways.some(({ breaker }) => admits(breaker, nowMs))) return "gateways_broken";
  return group.ready.some(({ breaker }) => admits(breaker, nowMs)) ? undefined : "ejected";
}

/** What is wrong with the way to a group, for people. */
export function obstacleText(obstacle: Obstacle, group: Group, nowMs: number): string {
  const there = group.cluster === "" ? "" : ` in ${group.cluster}`;
  switch (obstacle) {
    case "no_endpoints":
      return `no endpoint${there} is known`;
    case "not_ready":
      return `none of ${group.endpoints.length} endpoints${there} is ready`;
    case "link_dead":
      return `the link to ${group.cluster} is dead`;
    case "gateways_broken":
      return `no gateway of ${group.cluster} takes connections, the next try is in ${nextTryMs(group, nowMs)} ms`;
    case "ejected":
      return `all ${group.ready.length} ready endpoints${there} failed lately`;
    default:
      return obstacle satisfies never;
  }
}

function nextTryMs(group: Group, nowMs: number): number {
  return Math.max(0, Math.ceil(Math.min(...group.gateways.map(({ breaker }) => breaker.untilMs)) - nowMs));
}
