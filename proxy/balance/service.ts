import type { Clock } from "../../core/clock.ts";
import type { LinkHealth } from "../../core/link.ts";
import type { Random } from "../../core/random.ts";
import { admits } from "../resilience/breaker.ts";
import { createRetryBudget, type RetryBudget } from "../resilience/retry-budget.ts";
import type { Endpoint, EndpointSpec, GatewayTarget, Group } from "./endpoint.ts";
import { type GroupHealth, pickGroup, shareOut } from "./priority.ts";
import { twoChoices } from "./two-choices.ts";

export interface GroupSpec {
  readonly cluster: string;
  readonly trustDomain: string;
  readonly endpoints: readonly EndpointSpec[];
  readonly gateways: readonly { readonly host: string; readonly port: number }[];
}

/** What control says of an authority. */
export interface ServiceSpec {
  readonly kind: "notFound" | "service" | "external";
  readonly namespace: string;
  readonly name: string;
  readonly appProtocol: string;
  readonly federated: boolean;
  readonly groups: readonly GroupSpec[];
}

/** State of links by cluster, shared by all services: one message moves them all. */
export type LinkTable = ReadonlyMap<string, { readonly health: LinkHealth; readonly ramp: number }>;

export interface ServiceDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly links: () => LinkTable;
  readonly gateway: (host: string, port: number) => GatewayTarget;
  readonly endpoint: (spec: EndpointSpec, group: Group, authority: string) => Endpoint;
}

/** Under this healthy share breakers are not believed any more: the fault may be ours (Envoy's panic threshold). */
const PANIC = 0.5;
/** A recovering link takes at least this, or nothing would show that it works. */
const LEAST_RAMP = 0.01;

function keyOf(spec: EndpointSpec): string {
  return [spec.id, spec.address, spec.port, spec.proxyPort, spec.identity, spec.routeName].join("\0");
}

/** A service as this proxy balances it: control's newest state and what was learnt about each endpoint. */
export class Service {
  readonly authority: string;
  readonly budget: RetryBudget = createRetryBudget();
  spec: ServiceSpec;
  #groups: readonly Group[] = [];
  readonly #deps: ServiceDeps;

  constructor(authority: string, spec: ServiceSpec, deps: ServiceDeps) {
    this.authority = authority;
    this.#deps = deps;
    this.spec = spec;
    this.apply(spec);
  }

  get groups(): readonly Group[] {
    return this.#groups;
  }

  /** Takes a whole new state; endpoints that stay keep their connections, load and breaker. */
  apply(spec: ServiceSpec): void {
    this.spec = spec;
    const known = new Map<string, Endpoint>();
    for (const group of this.#groups) {
      for (const endpoint of group.endpoints) known.set(`${group.cluster}\0${keyOf(endpoint.spec)}`, endpoint);
    }
    const groupsBefore = new Map(this.#groups.map((group) => [`${group.cluster}\0${group.trustDomain}`, group]));
    this.#groups = spec.groups.map((groupSpec) => {
      const { cluster, trustDomain } = groupSpec;
      const before = groupsBefore.get(`${cluster}\0${trustDomain}`);
      groupsBefore.delete(`${cluster}\0${trustDomain}`);
      const group: Group = before ?? { cluster, trustDomain, endpoints: [], ready: [], gateways: [] };
      group.gateways = groupSpec.gateways.map(({ host, port }) => this.#deps.gateway(host, port));
      const readiness = new Map<Endpoint, boolean>();
      for (const endpointSpec of groupSpec.endpoints) {
        const key = `${cluster}\0${keyOf(endpointSpec)}`;
        const kept = known.get(key);
        known.delete(key);
        const endpoint =
          kept !== undefined && kept.group === group ? kept : this.#deps.endpoint(endpointSpec, group, this.authority);
        readiness.set(endpoint, endpointSpec.ready);
      }
      group.endpoints = [...readiness.keys()];
      group.ready = group.endpoints.filter((endpoint) => readiness.get(endpoint) === true);
      return group;
    });
    for (const endpoint of known.values()) closePools(endpoint);
  }

  /** Drops connections; the service is forgotten. */
  close(): void {
    for (const group of this.#groups) for (const endpoint of group.endpoints) closePools(endpoint);
  }

  destroy(): void {
    for (const { pool, http2 } of this.#groups.flatMap((group) => group.endpoints)) {
      pool.destroy();
      http2.destroy();
    }
  }

  /** For a log: what of each group could take a request; bounded. */
  describe(): readonly object[] {
    return this.#groups.slice(0, 8).map(({ cluster, ready, endpoints, gateways }) => ({
      cluster,
      link: this.#deps.links().get(cluster)?.health,
      ready: ready.slice(0, 8).map(({ spec, breaker }) => `${spec.id} ${breaker.state}`),
      endpoints: endpoints.length,
      gateways: gateways.map(({ host, port, breaker }) => `${host}:${port} ${breaker.state}`),
    }));
  }

  /** Share of traffic that the group may be given: 0 for a dead link, or where no gateway leads to it. */
  #cap(group: Group, nowMs: number): number {
    if (group.cluster === "") return 1;
    const link = this.#deps.links().get(group.cluster);
    if (link?.health === "dead") return 0;
    if (group.gateways.length > 0 && !group.gateways.some((gateway) => admits(gateway.breaker, nowMs))) return 0;
    return link?.health === "recovering" ? Math.max(LEAST_RAMP, link.ramp) : 1;
  }

  /**
   * The endpoint for a try. `tried` are those that this request has failed on; with `elsewhere` groups other than
   * theirs are preferred; the group of cluster `prefer` comes before the usual order. Undefined: nothing can take it,
   * and waiting would not help.
   */
  choose(tried: readonly Endpoint[], elsewhere: boolean, prefer = ""): Endpoint | undefined {
    const { clock, random } = this.#deps;
    const nowMs = clock.nowMs();
    const groups = prefer === "" ? this.#groups : preferring(this.#groups, prefer);
    const first = groups[0];
    if (first === undefined) return undefined;
    // Nearly always: nothing failed yet, and the first group is whole.
    const whole = tried.length === 0 && allWell(first) && (first.cluster === "" || this.#cap(first, nowMs) >= 1);
    if (whole) return twoChoices(first.ready, nowMs, random);
    const usable = (endpoint: Endpoint) => admits(endpoint.breaker, nowMs) && !tried.includes(endpoint);
    const avoid = elsewhere ? new Set(tried.map((endpoint) => endpoint.group)) : undefined;
    const candidates = groups.map((group) => group.ready.filter(usable));
    const health = groups.map(
      (group, i): GroupHealth => ({
        healthy: avoid?.has(group) === true ? 0 : (candidates[i]?.length ?? 0),
        total: group.endpoints.length,
        cap: this.#cap(group, nowMs),
      }),
    );
    let picked = pickGroup(shareOut(health), random());
    if (picked < 0 && avoid !== undefined) return this.choose(tried, false, prefer);
    if (picked < 0) picked = this.#lastResort(groups, tried, health);
    const group = groups[picked];
    if (group === undefined) return undefined;
    const alone = health.every(({ healthy, cap }, i) => i === picked || healthy === 0 || cap === 0);
    const admitted = group.ready.filter((endpoint) => admits(endpoint.breaker, nowMs));
    const panic = alone && admitted.length < PANIC * group.ready.length;
    const left = leastTried(panic ? group.ready : admitted, tried);
    // What a breaker keeps back is still better than no answer.
    return twoChoices(left.length > 0 ? left : leastTried(group.ready, tried), nowMs, random);
  }

  /**
   * The group to try when all are broken, or -1. One that was not tried comes first, and for a federated service even
   * one whose gateways failed or, after all others, one whose link is dead: that is what heartbeats say, and on a
   * starved machine they may be late while the way there is open. The name of one cluster's mirror fails at once.
   */
  #lastResort(groups: readonly Group[], tried: readonly Endpoint[], health: readonly GroupHealth[]): number {
    const { federated } = this.spec;
    const able = groups.flatMap((group, i) => {
      const blocked = health[i]?.cap === 0 && !federated;
      return blocked || leastTried(group.ready, tried).length === 0 ? [] : [i];
    });
    const linked = able.filter((i) => this.#linkOf(groups[i]) !== "dead");
    const untried = linked.find((i) => groups[i]?.ready.some((endpoint) => !tried.includes(endpoint)) ?? false);
    return untried ?? linked[0] ?? able[0] ?? -1;
  }

  /**
   * Notes in `tried` that no gateway took a connection for `endpoint`. Another gateway may, so that says nothing of
   * the endpoint; where heartbeats call the link dead too, there is no second try on it.
   */
  unreached(endpoint: Endpoint, tried: Endpoint[]): void {
    if (this.#linkOf(endpoint.group) !== "dead") return;
    for (const each of endpoint.group.ready) tried.push(each, each);
  }

  #linkOf(group: Group | undefined): LinkHealth | undefined {
    return group === undefined || group.cluster === "" ? undefined : this.#deps.links().get(group.cluster)?.health;
  }

  /** The gateway by which to reach an endpoint of `group`; undefined where it has none. */
  gateway(group: Group): GatewayTarget | undefined {
    const { clock, random } = this.#deps;
    const nowMs = clock.nowMs();
    const admitted = group.gateways.filter((gateway) => admits(gateway.breaker, nowMs));
    return twoChoices(admitted.length > 0 ? admitted : group.gateways, nowMs, random);
  }
}

/**
 * Those that this request was not tried on; where there are none, those that it was tried on once: what failed may
 * have been one stale connection. More would only be a loop.
 */
function leastTried(endpoints: readonly Endpoint[], tried: readonly Endpoint[]): readonly Endpoint[] {
  if (tried.length === 0) return endpoints;
  const fresh = endpoints.filter((endpoint) => !tried.includes(endpoint));
  if (fresh.length > 0) return fresh;
  return endpoints.filter((endpoint) => tried.indexOf(endpoint) === tried.lastIndexOf(endpoint));
}

/** The group of `cluster` first, where there is one; the others keep their order. */
function preferring(groups: readonly Group[], cluster: string): readonly Group[] {
  const wanted = groups.find((group) => group.cluster === cluster);
  return wanted === undefined ? groups : [wanted, ...groups.filter((group) => group !== wanted)];
}

/** All endpoints are ready, and no breaker has opened. */
function allWell(group: Group): boolean {
  if (group.ready.length === 0 || group.ready.length !== group.endpoints.length) return false;
  for (const endpoint of group.ready) if (endpoint.breaker.state !== "closed") return false;
  return true;
}

function closePools({ pool, http2 }: Endpoint): void {
  pool.close();
  http2.close();
}
