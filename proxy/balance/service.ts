import type { Clock } from "../../core/clock.ts";
import type { LinkHealth } from "../../core/link.ts";
import type { Random } from "../../core/random.ts";
import { admits, believe } from "../resilience/breaker.ts";
import { DEFAULT_RETRY, NO_TIMEOUTS, type RetryPolicy, type Timeouts } from "../resilience/request-policy.ts";
import { createRetryBudget, type RetryBudget } from "../resilience/retry-budget.ts";
import { type RouteSpec, RouteTable } from "../route/route-table.ts";
import { Affinity, rendezvous, type Session, uniformOf } from "./affinity.ts";
import type { Endpoint, EndpointSpec, Group } from "./endpoint.ts";
import { createFailback, ramped } from "./failback.ts";
import type { GatewayTarget } from "./gateway-target.ts";
import { allWell, type LinkView, linkCap, scaled, sharesLevel, totalOf } from "./group-health.ts";
import { type Obstacle, obstacleText, obstacleTo } from "./obstacle.ts";
import { capacityFrom, type GroupHealth, pickGroup, shareInto, shareOut } from "./priority.ts";
import { beginRamp } from "./slow-start.ts";
import { twoChoices } from "./two-choices.ts";

export interface GroupSpec {
  readonly cluster: string;
  readonly trustDomain: string;
  readonly endpoints: readonly EndpointSpec[];
  readonly gateways: readonly { readonly host: string; readonly port: number }[];
  /** Groups of one level share its traffic; absent: a level of its own. Levels do not fall. */
  readonly level?: number;
  /** Among those of its level; 0 or absent: by number of endpoints. */
  readonly weight?: number;
  /** Of all that the service has there, where `endpoints` is but a part. */
  readonly counts?: { readonly total: number; readonly ready: number };
}

/** What control says of an authority. */
export interface ServiceSpec {
  readonly kind: "notFound" | "service" | "external";
  readonly namespace: string;
  readonly name: string;
  readonly appProtocol: string;
  readonly federated: boolean;
  readonly routes: readonly RouteSpec[];
  readonly timeouts: Timeouts;
  readonly retry: RetryPolicy;
  /** For so long a client that does nothing is kept at its endpoint; 0: not at all. */
  readonly affinityMs: number;
  readonly preferZone: boolean;
  /** Of connections to its endpoints; 0: for ever. */
  readonly maxConnectionAgeMs: number;
  readonly groups: readonly GroupSpec[];
}

/** What most services have: no rules, and the usual terms. */
export const PLAIN_SERVICE = {
  routes: [],
  timeouts: NO_TIMEOUTS,
  retry: DEFAULT_RETRY,
  affinityMs: 0,
  preferZone: false,
  maxConnectionAgeMs: 0,
} as const;

/** State of links by cluster, "" for the own one, shared by all services: one message moves them all. */
export type LinkTable = ReadonlyMap<string, LinkView>;

export interface ServiceDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** Of this proxy; "" where it is not known. */
  readonly zone: string;
  readonly links: () => LinkTable;
  /** How long capacity that comes back takes to have all of its share again; absent: 10 s. */
  readonly failbackMs?: number | undefined;
  readonly gateway: (host: string, port: number) => GatewayTarget;
  readonly endpoint: (spec: EndpointSpec, group: Group, authority: string) => Endpoint;
  /** Row of the metrics of a rule. */
  readonly routeRow: (authority: string, route: string) => number;
}

/** Under this healthy share breakers are not believed any more: the fault may be ours (Envoy's panic threshold). */
const PANIC = 0.5;
/** Endpoints that all clusters lost at once are kept for so long: it is likelier that those who tell of them did. */
const KEEP_MS = 600_000;

function keyOf(spec: EndpointSpec): string {
  return [spec.id, spec.address, spec.port, spec.proxyPort, spec.identity, spec.routeName, spec.zone].join("\0");
}

/** A service as this proxy balances it: control's newest state and what was learnt about each endpoint. */
export class Service {
  readonly authority: string;
  readonly budget: RetryBudget = createRetryBudget();
  spec: ServiceSpec;
  /** Undefined where it has no rules. */
  routes: RouteTable | undefined;
  #groups: readonly Group[] = [];
  readonly #deps: ServiceDeps;
  readonly #affinity: Affinity;
  #rules = "[]";
  /** Scratch of `#chooseShared`. */
  readonly #health: { -readonly [K in keyof GroupHealth]-?: number }[] = [];
  readonly #shares: number[] = [];
  #keptSinceMs: number | undefined;

  constructor(authority: string, spec: ServiceSpec, deps: ServiceDeps) {
    this.authority = authority;
    this.#deps = deps;
    this.#affinity = new Affinity(deps.random);
    this.spec = spec;
    this.apply(spec);
  }

  get groups(): readonly Group[] {
    return this.#groups;
  }

  /** For requests that no rule has terms of its own for. */
  get terms(): Pick<ServiceSpec, "timeouts" | "retry"> {
    return this.spec;
  }

  /** Every cluster had lost its endpoints at once, so that the last good ones are used. */
  get kept(): boolean {
    return this.#keptSinceMs !== undefined;
  }

  /** Takes a whole new state; endpoints that stay keep their connections, load and breaker. */
  apply(spec: ServiceSpec): void {
    this.spec = spec;
    this.#compile(spec.routes);
    const { clock, zone } = this.#deps;
    const nowMs = clock.nowMs();
    if (this.#keeps(spec, nowMs)) return;
    const known = new Map<string, Endpoint>();
    for (const group of this.#groups) {
      for (const endpoint of group.endpoints) known.set(`${group.cluster}\0${keyOf(endpoint.spec)}`, endpoint);
    }
    const groupsBefore = new Map(this.#groups.map((group) => [`${group.cluster}\0${group.trustDomain}`, group]));
    this.#groups = spec.groups.map((groupSpec) => {
      const { cluster, trustDomain } = groupSpec;
      const before = groupsBefore.get(`${cluster}\0${trustDomain}`);
      groupsBefore.delete(`${cluster}\0${trustDomain}`);
      const group: Group = before ?? {
        cluster,
        trustDomain,
        endpoints: [],
        ready: [],
        near: [],
        nearTotal: 0,
        gateways: [],
        level: undefined,
        weight: 0,
        counts: undefined,
        failback: createFailback(nowMs),
      };
      group.level = groupSpec.level;
      group.weight = groupSpec.weight ?? 0;
      group.counts = groupSpec.counts;
      const settled = group.endpoints.length > 0;
      const gatewaysBefore = group.gateways;
      group.gateways = groupSpec.gateways.map(({ host, port }) => this.#deps.gateway(host, port));
      for (const gateway of group.gateways) {
        // Its cluster names it again: it lives.
        if (!gatewaysBefore.includes(gateway)) believe(gateway.breaker, nowMs);
      }
      const readiness = new Map<Endpoint, boolean>();
      for (const endpointSpec of groupSpec.endpoints) {
        const key = `${cluster}\0${keyOf(endpointSpec)}`;
        const kept = known.get(key);
        known.delete(key);
        const stays = kept !== undefined && kept.group === group;
        const endpoint = stays ? kept : this.#deps.endpoint(endpointSpec, group, this.authority);
        endpoint.pool.maxAgeMs = spec.maxConnectionAgeMs;
        endpoint.http2.maxAgeMs = spec.maxConnectionAgeMs;
        // Among others that are warm already, or nobody would be.
        if (!stays && settled) beginRamp(endpoint, nowMs);
        readiness.set(endpoint, endpointSpec.ready);
      }
      group.endpoints = [...readiness.keys()];
      group.ready = group.endpoints.filter((endpoint) => readiness.get(endpoint) === true);
      const local = (endpoint: Endpoint) => endpoint.spec.zone === zone;
      const near = spec.preferZone && zone !== "" ? group.ready.filter(local) : [];
      group.near = near.length < group.ready.length ? near : [];
      group.nearTotal = group.endpoints.filter(local).length;
      for (const { mux } of group.endpoints) mux?.keep(group.gateways);
      // What is lost between two requests comes back little by little as well.
      if (spec.federated) this.#cap(group, nowMs);
      return group;
    });
    for (const endpoint of known.values()) closePools(endpoint);
  }

  /**
   * Whether the endpoints that are known stay in use against `spec`: two clusters or more had some, all verified by
   * their identities, and now nobody has any.
   */
  #keeps({ kind, federated, groups }: ServiceSpec, nowMs: number): boolean {
    const had = this.#groups.filter(({ ready }) => ready.length > 0);
    const verified = had.every(({ ready }) => ready.every(({ spec }) => spec.identity !== ""));
    const vanished = groups.every(({ endpoints }) => endpoints.every(({ ready }) => !ready));
    if (kind !== "service" || !federated || !vanished || had.length < 2 || !verified) {
      this.#keptSinceMs = undefined;
      return false;
    }
    this.#keptSinceMs ??= nowMs;
    return nowMs - this.#keptSinceMs < KEEP_MS;
  }

  /** Rules are compiled anew only where they changed: endpoints come and go more often. */
  #compile(routes: readonly RouteSpec[]): void {
    const text = JSON.stringify(routes, (_, value: unknown) => (value instanceof Set ? [...value] : value));
    if (text === this.#rules) return;
    this.#rules = text;
    const rowOf = (name: string) => this.#deps.routeRow(this.authority, name);
    this.routes = routes.length > 0 ? new RouteTable(routes, rowOf) : undefined;
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

  /**
   * What keeps requests from each group, in the order of the groups, and all of it for people; bounded. Empty where
   * nothing does: then it was this request that had tried everything.
   */
  obstacles(): { readonly kinds: readonly Obstacle[]; readonly text: string } {
    const nowMs = this.#deps.clock.nowMs();
    const kinds: Obstacle[] = [];
    const texts: string[] = [];
    for (const group of this.#groups.slice(0, 8)) {
      const obstacle = this.obstacle(group);
      if (obstacle === undefined) continue;
      kinds.push(obstacle);
      texts.push(obstacleText(obstacle, group, nowMs));
    }
    return { kinds, text: texts.join("; ") };
  }

  /** What keeps requests from `group`; undefined where nothing does. */
  obstacle(group: Group): Obstacle | undefined {
    return obstacleTo(group, this.#linkOf(group), this.#deps.clock.nowMs());
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

  /**
   * Share of traffic that the group may be given: 0 for a dead link, or where no gateway leads to it. Of a federated
   * service less where its cluster is drained, and where what was lost has only come back.
   */
  #cap(group: Group, nowMs: number): number {
    const link = this.#deps.links().get(group.cluster);
    const cap = group.cluster === "" ? 1 : linkCap(group, link, nowMs);
    if (!this.spec.federated) return cap;
    let admitted = 0;
    for (const endpoint of group.ready) if (admits(endpoint.breaker, nowMs)) admitted++;
    const healthy = scaled(group, admitted);
    const able = ramped(group.failback, capacityFrom(healthy, totalOf(group), cap), nowMs, this.#deps.failbackMs);
    return Math.min(able, 1 - (link?.drained ?? 0));
  }

  /**
   * The endpoint for a try. `tried` are those that this request has failed on; with `elsewhere` groups other than
   * theirs are preferred; the group of cluster `prefer` comes before the usual order; `client` is whom the service may
   * keep at one endpoint. Undefined: nothing can take it, and waiting would not help.
   */
  choose(tried: readonly Endpoint[], elsewhere: boolean, prefer = "", client = ""): Endpoint | undefined {
    const { clock } = this.#deps;
    const nowMs = clock.nowMs();
    const { affinityMs } = this.spec;
    const session = affinityMs > 0 ? this.#affinity.session(client, affinityMs, nowMs) : undefined;
    const groups = prefer === "" ? this.#groups : preferring(this.#groups, prefer);
    const first = groups[0];
    if (first === undefined) return undefined;
    // Nearly always: nothing failed yet, and the first group is whole.
    const alone = groups !== this.#groups || !sharesLevel(first, groups[1]);
    const whole = tried.length === 0 && alone && allWell(first) && this.#takesAll(first, nowMs);
    if (whole) return this.#pick(first.near.length > 0 ? first.near : first.ready, session, nowMs);
    const shared = tried.length === 0 && !alone ? this.#chooseShared(groups, session, nowMs) : undefined;
    return shared ?? this.#chooseAmong(groups, session, tried, elsewhere, nowMs);
  }

  /** Whether `first`, all of whose endpoints are well, is given all there is. */
  #takesAll(first: Group, nowMs: number): boolean {
    if (!this.spec.federated) return first.cluster === "" || this.#cap(first, nowMs) >= 1;
    return first.failback.allowed >= 1 && this.#cap(first, nowMs) >= 1;
  }

  /**
   * Among groups that share their level, all of whose endpoints are well: as `#chooseAmong` would, without allocating
   * anything. Undefined where some are not, or nobody has a share.
   */
  #chooseShared(groups: readonly Group[], session: Session | undefined, nowMs: number): Endpoint | undefined {
    const health = this.#health;
    while (health.length < groups.length) health.push({ healthy: 0, total: 0, cap: 0, level: 0, weight: 0 });
    health.length = groups.length;
    for (let i = 0; i < groups.length; i++) {
      const group = groups[i];
      const entry = health[i];
      if (group === undefined || entry === undefined || !allWell(group)) return undefined;
      entry.healthy = scaled(group, group.ready.length);
      entry.total = totalOf(group);
      entry.cap = this.#cap(group, nowMs);
      entry.level = group.level ?? i;
      entry.weight = group.weight;
    }
    const group = groups[pickGroup(shareInto(health, this.#shares), this.#uniform(session))];
    return group && this.#pick(group.near.length > 0 ? group.near : group.ready, session, nowMs);
  }

  #chooseAmong(
    groups: readonly Group[],
    session: Session | undefined,
    tried: readonly Endpoint[],
    elsewhere: boolean,
    nowMs: number,
  ): Endpoint | undefined {
    const usable = (endpoint: Endpoint) => admits(endpoint.breaker, nowMs) && !tried.includes(endpoint);
    const avoid = elsewhere ? new Set(tried.map((endpoint) => endpoint.group)) : undefined;
    const able = groups.map((group) => group.ready.filter(usable));
    const health = groups.map(
      (group, i): GroupHealth => ({
        healthy: avoid?.has(group) === true ? 0 : scaled(group, able[i]?.length ?? 0),
        total: totalOf(group),
        cap: this.#cap(group, nowMs),
        // One that the caller prefers has a level of its own, before all others.
        level: i === 0 && groups !== this.#groups ? -1 : (group.level ?? i),
        weight: group.weight,
      }),
    );
    let picked = pickGroup(shareOut(health), this.#uniform(session));
    if (picked < 0 && avoid !== undefined) return this.#chooseAmong(groups, session, tried, false, nowMs);
    if (picked < 0) picked = this.#lastResort(groups, tried, health);
    const group = groups[picked];
    if (group === undefined) return undefined;
    const alone = health.every(({ healthy, cap }, i) => i === picked || healthy === 0 || cap === 0);
    const admitted = group.ready.filter((endpoint) => admits(endpoint.breaker, nowMs));
    const panic = alone && admitted.length < PANIC * group.ready.length;
    const left = leastTried(panic ? group.ready : admitted, tried);
    // What a breaker keeps back is still better than no answer.
    const candidates = left.length > 0 ? left : leastTried(group.ready, tried);
    return this.#pick(this.#zoned(group, candidates, session), session, nowMs);
  }

  #uniform(session: Session | undefined): number {
    return session === undefined ? this.#deps.random() : uniformOf(session);
  }

  #pick(candidates: readonly Endpoint[], session: Session | undefined, nowMs: number): Endpoint | undefined {
    if (session !== undefined) return rendezvous(candidates, session);
    return twoChoices(candidates, nowMs, this.#deps.random);
  }

  /** Those of the own zone as long as enough of it is healthy, as with groups; what it cannot take goes to the others. */
  #zoned(group: Group, candidates: readonly Endpoint[], session: Session | undefined): readonly Endpoint[] {
    if (group.near.length === 0) return candidates;
    const near = candidates.filter((endpoint) => group.near.includes(endpoint));
    const far = candidates.filter((endpoint) => !group.near.includes(endpoint));
    const total = group.endpoints.length - group.nearTotal;
    const shares = shareOut([
      { healthy: near.length, total: group.nearTotal, cap: 1 },
      { healthy: far.length, total, cap: 1 },
    ]);
    const picked = pickGroup(shares, this.#uniform(session));
    return picked === 0 ? near : picked === 1 ? far : candidates;
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
    const leased = able.find((i) => this.#deps.links().get(groups[i]?.cluster ?? "")?.stale !== true);
    return untried ?? linked[0] ?? leased ?? able[0] ?? -1;
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

  /** Whether an endpoint is left besides `endpoint` that was not tried. */
  hasOther(tried: readonly Endpoint[], endpoint: Endpoint | undefined): boolean {
    return this.#groups.some(({ ready }) => ready.some((each) => each !== endpoint && !tried.includes(each)));
  }

  /**
   * The gateway by which to reach `endpoint`; undefined where its group has none. `shared`: for a stream within the
   * connections that go there, else for a connection of its own, by what each gateway carries of these and how fast it
   * is. While one works, those that failed are not for requests: see `gatewaysToProbe`.
   */
  gateway({ group, mux }: Endpoint, shared: boolean): GatewayTarget | undefined {
    const { clock, random } = this.#deps;
    const nowMs = clock.nowMs();
    if (mux !== undefined) {
      const working = group.gateways.filter((each) => each.breaker.state === "closed" && !mux.silent(each));
      if (working.length > 0) return shared ? mux.leastUsed(working, random) : twoChoices(working, nowMs, random);
    }
    const admitted = group.gateways.filter((gateway) => admits(gateway.breaker, nowMs));
    return twoChoices(admitted.length > 0 ? admitted : group.gateways, nowMs, random);
  }

  /** Gateways of `group` that failed and may work again, where requests have another one. */
  gatewaysToProbe({ gateways }: Group): readonly GatewayTarget[] {
    if (gateways.every(({ breaker }) => breaker.state === "closed")) return [];
    if (!gateways.some(({ breaker }) => breaker.state === "closed")) return [];
    const nowMs = this.#deps.clock.nowMs();
    return gateways.filter(({ breaker }) => breaker.state !== "closed" && admits(breaker, nowMs));
  }

  /** Has gateways that work again take their part of what goes to other clusters. */
  rebalance(): void {
    const nowMs = this.#deps.clock.nowMs();
    for (const { gateways, endpoints } of this.#groups) {
      if (gateways.length < 2) continue;
      const admitted = gateways.filter(({ breaker }) => admits(breaker, nowMs));
      for (const { mux } of endpoints) mux?.rebalance(admitted, nowMs);
    }
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

function closePools({ pool, http2 }: Endpoint): void {
  pool.close();
  http2.close();
}
