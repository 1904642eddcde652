import type { TrustDomain } from "../../core/identity.ts";
import type { InboundState__Output } from "../../protos/gen/causeway/discovery/v1/InboundState.ts";

const MAX_PORTS = 4_096;

/** 0: no limit. */
export interface PortLimits {
  /** Requests a second of one client, and how many may come at once. */
  readonly rate: number;
  readonly burst: number;
  readonly maxInFlight: number;
}

interface PortRule {
  readonly peers: ReadonlySet<string>;
  readonly service: string;
  readonly appProtocol: string;
  readonly limits: PortLimits;
}

/** Who may call which port of the workload, as control says; the last good state is kept. */
export class Admission {
  readonly #ownTrustDomain: string;
  readonly #reserved: Set<number>;
  /** Unix sockets of the app by port, as control says. */
  sockets: ReadonlyMap<number, string> = new Map();
  #ports: ReadonlyMap<number, PortRule> | undefined;
  #waiters = new Set<() => void>();
  readonly #listeners = new Set<() => void>();

  /** `reserved`: ports of this proxy itself, which nobody is forwarded to. */
  constructor(ownTrustDomain: string, reserved: Iterable<number>) {
    this.#ownTrustDomain = ownTrustDomain;
    this.#reserved = new Set(reserved);
  }

  reserve(port: number): void {
    this.#reserved.add(port);
  }

  apply(state: InboundState__Output): void {
    const sockets = new Map<number, string>();
    const rules = new Map<number, PortRule & { readonly peers: Set<string> }>();
    for (const wire of state.ports.slice(0, MAX_PORTS)) {
      const { port, peerTrustDomains, namespace, service, appSocket, appProtocol } = wire;
      const limits = { rate: wire.rateLimit, burst: wire.rateBurst || wire.rateLimit, maxInFlight: wire.maxInFlight };
      const own = { peers: new Set<string>(), service: `${namespace}/${service}`, appProtocol, limits };
      const rule = rules.get(port) ?? own;
      for (const peer of peerTrustDomains) rule.peers.add(peer);
      rules.set(port, rule);
      if (appSocket !== "") sockets.set(port, appSocket);
    }
    this.sockets = sockets;
    this.#ports = rules;
    const waiters = this.#waiters;
    this.#waiters = new Set();
    for (const wake of waiters) wake();
    for (const changed of this.#listeners) changed();
  }

  /** Callers of the own trust domain come in; others only to ports of which a service is exported to them. */
  allows(trustDomain: TrustDomain, port: number): boolean {
    if (this.#reserved.has(port)) return false;
    if (trustDomain === this.#ownTrustDomain) return true;
    return this.#ports?.get(port)?.peers.has(trustDomain) ?? false;
  }

  /** Whether the answer for `trustDomain` may change with the first state: it is worth waiting for that. */
  undecided(trustDomain: TrustDomain, port: number): boolean {
    return this.#ports === undefined && !this.#reserved.has(port) && !this.allows(trustDomain, port);
  }

  /** Of the first service of the port that control names; undefined where it names none. */
  limitsOf(port: number): PortLimits | undefined {
    return this.#ports?.get(port)?.limits;
  }

  /** `namespace/service` of a port; empty where control names none. */
  serviceOf(port: number): string {
    return this.#ports?.get(port)?.service ?? "";
  }

  /** How a port speaks, as control says; empty where it does not. */
  protocolOf(port: number): string {
    return this.#ports?.get(port)?.appProtocol ?? "";
  }

  /** Calls `ready` at the next state, once. The returned function cancels. */
  wait(ready: () => void): () => void {
    this.#waiters.add(ready);
    return () => this.#waiters.delete(ready);
  }

  onChange(changed: () => void): () => void {
    this.#listeners.add(changed);
    return () => this.#listeners.delete(changed);
  }
}
