import type { HEALTH } from "../../core/defaults.ts";
import type { LinkHealth } from "../../core/link.ts";

/** Settings of link health; see core/defaults. */
export type HealthSettings = { readonly [K in keyof typeof HEALTH]: number };

const RAMP_STEPS = 10;

/** Health of one link, as its heartbeats show it. A value: every change is a new one. */
export interface HealthState {
  readonly health: LinkHealth;
  /** When `health` was entered, monotonic. */
  readonly sinceMs: number;
  /** When the last heartbeat came, or until when silence is forgiven (a start, our own stall). */
  readonly lastMs: number;
  /** Heartbeats without a gap. */
  readonly inRow: number;
  /** Share of traffic, 0 to 1, in tenths while it rises. */
  readonly ramp: number;
  /** Deaths that are not forgiven yet. */
  readonly deaths: number;
  /** When it last came back, or first came. */
  readonly upMs: number;
  /** Dead for longer than the lease on what the peer exported. */
  readonly stale: boolean;
}

/**
 * How a link starts. `before` is what the registry still says: a gateway that restarts knows nothing yet, so it
 * keeps that until `graceMs` have passed without a heartbeat. `deaths` are those told before; time forgives them anew.
 */
export function initialHealth(nowMs: number, graceMs: number, before: LinkHealth = "unknown", deaths = 0): HealthState {
  const health = before === "suspect" || before === "recovering" ? "alive" : before;
  const ramp = health === "dead" ? 0 : 1;
  return { health, sinceMs: nowMs, lastMs: nowMs + graceMs, inRow: 0, ramp, deaths, upMs: nowMs, stale: false };
}

/**
 * How long a link stays dead however well its heartbeats come: nothing after a first death, then longer each time, so
 * that traffic does not follow a link that flaps (BGP's route flap damping, RFC 2439, in its simplest form).
 */
export function holdMs({ deaths }: HealthState, settings: HealthSettings): number {
  return deaths < 2 ? 0 : Math.min(settings.maxHoldMs, settings.holdMs * 2 ** Math.min(deaths - 2, 30));
}

function die(state: HealthState, nowMs: number, settings: HealthSettings): HealthState {
  const forgiven = settings.forgiveMs <= 0 ? state.deaths : Math.floor((nowMs - state.upMs) / settings.forgiveMs);
  const deaths = Math.max(0, state.deaths - Math.max(0, forgiven)) + 1;
  return enter({ ...state, inRow: 0, deaths }, "dead", nowMs, 0);
}

/** The link takes traffic again. */
function comeUp(state: HealthState, health: "alive" | "recovering", nowMs: number, ramp: number): HealthState {
  return enter({ ...state, upMs: nowMs, stale: false }, health, nowMs, ramp);
}

function enter(state: HealthState, health: LinkHealth, nowMs: number, ramp: number): HealthState {
  return { ...state, health, sinceMs: nowMs, ramp };
}

/** A heartbeat came at `nowMs`. */
export function onHeartbeat(state: HealthState, nowMs: number, settings: HealthSettings): HealthState {
  const gap = nowMs - state.lastMs >= settings.suspectAfterMissed * settings.heartbeatMs;
  const next: HealthState = { ...state, lastMs: nowMs, inRow: gap ? 1 : state.inRow + 1 };
  switch (state.health) {
    case "unknown":
      return comeUp(next, "alive", nowMs, 1);
    case "suspect":
      return enter(next, "alive", nowMs, 1);
    case "dead":
      if (next.inRow < settings.recoverAfterInRow || nowMs - state.sinceMs < holdMs(state, settings)) return next;
      return comeUp(next, "recovering", nowMs, 1 / RAMP_STEPS);
    case "alive":
    case "recovering":
      return next;
    default:
      return state.health satisfies never;
  }
}

/** Time has passed: what silence, and the ramp, make of the link at `nowMs`. */
export function onTime(state: HealthState, nowMs: number, settings: HealthSettings): HealthState {
  const silentMs = nowMs - state.lastMs;
  const deadMs = settings.deadAfterMissed * settings.heartbeatMs;
  const suspectMs = settings.suspectAfterMissed * settings.heartbeatMs;
  switch (state.health) {
    case "unknown":
    case "suspect":
      return silentMs >= deadMs ? die(state, nowMs, settings) : state;
    case "alive":
      if (silentMs >= deadMs) return die(state, nowMs, settings);
      return silentMs >= suspectMs ? enter(state, "suspect", nowMs, 1) : state;
    case "recovering": {
      // Not proven yet: a gap that would only cast suspicion on a healthy link ends the attempt.
      if (silentMs >= suspectMs) return die(state, nowMs, settings);
      const passed = settings.rampMs <= 0 ? 1 : (nowMs - state.sinceMs) / settings.rampMs;
      if (passed >= 1) return enter(state, "alive", nowMs, 1);
      const ramp = Math.floor(passed * RAMP_STEPS + 1) / RAMP_STEPS;
      return ramp === state.ramp ? state : { ...state, ramp };
    }
    case "dead": {
      const inRow = silentMs >= suspectMs ? 0 : state.inRow;
      const stale = state.stale || nowMs - state.sinceMs >= settings.staleAfterMs;
      return inRow === state.inRow && stale === state.stale ? state : { ...state, inRow, stale };
    }
    default:
      return state.health satisfies never;
  }
}

/** When `onTime` has something to decide next; undefined while only a heartbeat can change anything. */
export function nextDecisionMs(state: HealthState, settings: HealthSettings): number | undefined {
  const deadAt = state.lastMs + settings.deadAfterMissed * settings.heartbeatMs;
  const suspectAt = state.lastMs + settings.suspectAfterMissed * settings.heartbeatMs;
  switch (state.health) {
    case "unknown":
    case "suspect":
      return deadAt;
    case "alive":
      return suspectAt;
    case "recovering":
      return Math.min(suspectAt, state.sinceMs + Math.round(state.ramp * RAMP_STEPS) * (settings.rampMs / RAMP_STEPS));
    case "dead":
      return state.stale ? undefined : state.sinceMs + settings.staleAfterMs;
    default:
      return state.health satisfies never;
  }
}

/**
 * We ourselves were stalled until `nowMs` (a timer came late): what the peer sent meanwhile may still wait in the
 * socket, so silence counts from one heartbeat before the last moment at which the link was not in doubt.
 */
export function forgiveStall(state: HealthState, nowMs: number, settings: HealthSettings): HealthState {
  const doubtful = (settings.suspectAfterMissed - 1) * settings.heartbeatMs;
  return { ...state, lastMs: Math.max(state.lastMs, nowMs - doubtful) };
}
