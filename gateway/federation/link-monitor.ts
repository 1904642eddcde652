import type { Clock } from "../../core/clock.ts";
import type { LinkHealth, LinkState } from "../../core/link.ts";
import { LIMITS } from "./limits.ts";
import {
  forgiveStall,
  type HealthSettings,
  type HealthState,
  holdMs,
  initialHealth,
  nextDecisionMs,
  onHeartbeat,
  onTime,
} from "./link-health.ts";

/** A restarted gateway gives its peers this long to be heard of before it calls them dead. */
const GRACE_MS = 6_000;
const RTT_SHARE = 0.125;
/** A round trip is told again when it changed by this share and this much, and not too often. */
const RTT_EVERY_MS = 10_000;
const RTT_CHANGE = 0.5;
const RTT_CHANGE_MS = 2;

/** What the monitor cannot see by itself. */
export interface LinkFacts {
  /** Both sides agree on what is shared. */
  readonly agreed: boolean;
  readonly reason: string;
  /** What of the peer's is refused at present: "<name>: <CODE>: …". */
  readonly refused: readonly string[];
  /** Share of the peer's traffic that somebody here wants to go elsewhere. */
  readonly evacuated: number;
}

/** Watches one link's heartbeats and says what proxies are to know of it, each time that changes. */
export class LinkMonitor {
  readonly #cluster: string;
  readonly #settings: HealthSettings;
  readonly #clock: Clock;
  readonly #facts: () => LinkFacts;
  readonly #publish: (state: LinkState) => void;
  #health: HealthState;
  #sinceMs: number;
  #peerDrained = 0;
  #rttMs = 0;
  #toldRttMs = 0;
  #toldRttAtMs = 0;
  #last = "";
  #started = false;
  #cancel = () => {};

  constructor(options: {
    cluster: string;
    settings: HealthSettings;
    clock: Clock;
    /** What the registry still says of the link. */
    before: LinkState | undefined;
    facts: () => LinkFacts;
    publish: (state: LinkState) => void;
  }) {
    this.#cluster = options.cluster;
    this.#settings = options.settings;
    this.#clock = options.clock;
    this.#facts = options.facts;
    this.#publish = options.publish;
    this.#health = initialHealth(Infinity, 0, options.before?.health, options.before?.deaths);
    this.#sinceMs = options.before?.sinceMs ?? this.#clock.wallMs();
    this.#rttMs = this.#toldRttMs = options.before?.rttMs ?? 0;
    this.#peerDrained = options.before?.drained ?? 0;
  }

  /** From now on heartbeats are expected; once, later calls change nothing. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#health = initialHealth(this.#clock.nowMs(), GRACE_MS, this.#health.health, this.#health.deaths);
    this.#arm();
    this.changed();
  }

  get health(): LinkHealth {
    return this.#health.health;
  }

  get state(): LinkState {
    const { health, ramp, stale, deaths } = this.#health;
    const { agreed, reason, evacuated, refused: all } = this.#facts();
    const active = agreed && (health === "alive" || health === "recovering");
    const refused = all.slice(0, LIMITS.refusals).map((text) => text.slice(0, 400));
    const told = active ? "" : health === "dead" ? this.#deadReason(reason) : reason;
    const drained = Math.max(evacuated, this.#peerDrained);
    return {
      cluster: this.#cluster,
      health,
      ramp,
      active,
      sinceMs: this.#sinceMs,
      rttMs: this.#toldRttMs,
      reason: told,
      ...(drained > 0 ? { drained } : {}),
      ...(stale ? { stale } : {}),
      ...(deaths > 0 ? { deaths } : {}),
      refused,
    };
  }

  #deadReason(reason: string): string {
    const holdS = holdMs(this.#health, this.#settings) / 1_000;
    const held = holdS > 0 ? `lost ${this.#health.deaths} times of late: held down for at least ${holdS} s` : "";
    const lease = this.#health.stale ? "its endpoints are stale, and kept" : "";
    return [reason === "" ? "no heartbeat" : reason, held, lease].filter((text) => text !== "").join("; ");
  }

  /** The peer's heartbeats say which share of its traffic it wants to go elsewhere. */
  drained(share: number): void {
    const known = Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0;
    if (known === this.#peerDrained) return;
    this.#peerDrained = known;
    this.changed();
  }

  heartbeat(): void {
    if (!this.#started) return;
    this.#set(onHeartbeat(this.#health, this.#clock.nowMs(), this.#settings));
  }

  rtt(rttMs: number): void {
    this.#rttMs = this.#rttMs === 0 ? rttMs : this.#rttMs + RTT_SHARE * (rttMs - this.#rttMs);
    const change = Math.abs(this.#rttMs - this.#toldRttMs);
    const early = this.#clock.nowMs() - this.#toldRttAtMs < RTT_EVERY_MS;
    if (this.#toldRttMs !== 0 && (early || change < RTT_CHANGE_MS || change < RTT_CHANGE * this.#toldRttMs)) return;
    this.#toldRttAtMs = this.#clock.nowMs();
    this.#toldRttMs = Math.round(this.#rttMs * 100) / 100;
    this.changed();
  }

  /** Something outside of the monitor changed: publishes where that makes a difference. */
  changed(): void {
    const { sinceMs: _, ...state } = this.state;
    const text = JSON.stringify(state);
    if (text === this.#last) return;
    this.#last = text;
    this.#publish(this.state);
  }

  close(): void {
    this.#cancel();
  }

  #set(next: HealthState): void {
    const entered = next.health !== this.#health.health;
    this.#health = next;
    if (entered) {
      this.#sinceMs = this.#clock.wallMs();
      // Otherwise the timer looks again by itself: nothing is re-armed per heartbeat.
      this.#arm();
    }
    this.changed();
  }

  #arm(): void {
    this.#cancel();
    const atMs = nextDecisionMs(this.#health, this.#settings);
    if (atMs === undefined) return;
    this.#cancel = this.#clock.after(Math.max(1, atMs - this.#clock.nowMs()), () => this.#decide(atMs));
  }

  #decide(dueMs: number): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs - dueMs > this.#settings.heartbeatMs) this.#health = forgiveStall(this.#health, nowMs, this.#settings);
    const before = this.#health.health;
    this.#set(onTime(this.#health, nowMs, this.#settings));
    if (this.#health.health === before) this.#arm();
  }
}
