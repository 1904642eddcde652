import { hasCode, type MeshError, type MeshErrorCode } from "../../core/errors.ts";
import type { LinkState } from "../../core/link.ts";
import type { Condition, Link } from "../../kube/resources.ts";

export type LinkPhase = "pending" | "joining" | "connecting" | "active" | "degraded" | "dead" | "failed";

/** All that a link's status is made from. */
export interface LinkSituation {
  readonly generation: number | undefined;
  readonly joined: boolean;
  readonly hasToken: boolean;
  /** The last failure of the join, and whether trying on is pointless. */
  readonly joinFailure: { readonly error: MeshError; readonly terminal: boolean } | undefined;
  /** The peer says that it has unlinked us, or that it knows us no longer, or keeps closing. */
  readonly refusedByPeer: "Unlinked" | "RefusedByPeer" | undefined;
  /** Why the last stream was cut, where the peer is to blame and none has agreed since. */
  readonly cut: MeshErrorCode | undefined;
  /** A stream is open and the peer said Hello. */
  readonly connected: boolean;
  /** It was once, since this gateway started. */
  readonly wasConnected: boolean;
  readonly state: LinkState;
  readonly services: number;
  /** Sequence of our bundle that the peer has stored; undefined where that is not known at present. */
  readonly acknowledgedBundle: bigint | undefined;
}

type ConditionState = Pick<Condition, "status" | "reason" | "message">;

/** @see LinkPhase in kube/resources */
function linkPhase(s: LinkSituation): LinkPhase {
  if (!s.joined) {
    if (s.joinFailure?.terminal) return "failed";
    return s.hasToken ? "joining" : "pending";
  }
  if (s.refusedByPeer !== undefined) return "failed";
  if (s.state.health === "dead") return "dead";
  if (s.state.active) return "active";
  return s.wasConnected && s.state.health !== "unknown" ? "degraded" : "connecting";
}

/** CamelCase of a code, as condition reasons are written: TOKEN_EXPIRED is TokenExpired. */
function reasonOf(code: string): string {
  return code.toLowerCase().replace(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function joinCondition(s: LinkSituation): ConditionState {
  if (s.joinFailure !== undefined) {
    const { code, message } = s.joinFailure.error;
    return { status: s.joined ? "True" : "False", reason: reasonOf(code), message };
  }
  if (s.joined) return { status: "True", reason: "Joined", message: "" };
  return s.hasToken
    ? { status: "False", reason: "Joining", message: "the join token is being redeemed" }
    : { status: "False", reason: "NoToken", message: "the link's Secret has neither a token nor a link secret" };
}

/** The conditions of a link, without their times. */
function linkConditions(s: LinkSituation): Omit<Condition, "lastTransitionTime">[] {
  const { state } = s;
  const [refused] = state.refused;
  const code = refused === undefined ? "" : (/\b[A-Z]+_[A-Z_]+\b/.exec(refused)?.[0] ?? "Refused");
  const unknown = { status: "Unknown" as const, reason: "NotJoined", message: "" };
  // From the effect to the cause: the last that is False says what to do.
  return [
    { type: "Active", ...(s.joined ? activeCondition(s) : unknown) },
    refused === undefined
      ? { type: "Accepted", status: "True", reason: "NoRefusals", message: "" }
      : {
          type: "Accepted",
          status: "False",
          reason: reasonOf(code),
          message: state.refused.join("; ").slice(0, 1_000),
        },
    { type: "Connected", ...(s.joined ? connectedCondition(s) : unknown) },
    { type: "Joined", ...joinCondition(s) },
  ];
}

function activeCondition({ state }: LinkSituation): ConditionState {
  if (state.active) return { status: "True", reason: "Agreed", message: "" };
  return { status: "False", reason: state.health === "dead" ? "Dead" : "NotAgreed", message: state.reason };
}

function connectedCondition({ connected, refusedByPeer, cut, state }: LinkSituation): ConditionState {
  if (connected) return { status: "True", reason: "Connected", message: "" };
  const reason =
    refusedByPeer ??
    (cut === undefined ? undefined : reasonOf(cut)) ??
    (state.health === "dead" ? "Dead" : "NotConnected");
  return { status: "False", reason, message: state.reason };
}

/** The status that `link` should have; undefined where it has it already. Other owners' conditions stay. */
export function linkStatus(link: Link, s: LinkSituation, nowMs: number): NonNullable<Link["status"]> | undefined {
  const before = link.status ?? {};
  const now = new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z");
  const known = new Map((before.conditions ?? []).map((condition) => [condition.type, condition]));
  let changed = false;
  for (const next of linkConditions(s)) {
    const old = known.get(next.type);
    if (old?.status === next.status && old.reason === next.reason && old.message === next.message) continue;
    changed = true;
    const lastTransitionTime = old?.status === next.status ? old.lastTransitionTime : now;
    known.set(next.type, { ...next, lastTransitionTime });
  }
  const phase = linkPhase(s);
  const rttMs = Math.round(s.state.rttMs * 100) / 100;
  const drained = s.state.drained ?? 0;
  const since = before.phase === phase ? (before.since ?? now) : now;
  const acknowledgedBundle = s.acknowledgedBundle?.toString() ?? before.acknowledgedBundle;
  const status = {
    ...(s.generation === undefined ? {} : { observedGeneration: s.generation }),
    phase,
    health: s.state.health,
    since,
    services: s.services,
    rttMs,
    // As a merge patch: null would take it away, but 0 says the same and is seen.
    ...(drained === 0 && before.drained === undefined ? {} : { drained }),
    ...(acknowledgedBundle === undefined ? {} : { acknowledgedBundle }),
    conditions: [...known.values()],
  };
  const same =
    !changed &&
    before.phase === phase &&
    before.health === status.health &&
    before.services === status.services &&
    before.rttMs === rttMs &&
    before.acknowledgedBundle === acknowledgedBundle &&
    (before.drained ?? 0) === drained &&
    before.observedGeneration === status.observedGeneration;
  return same ? undefined : status;
}

/** Whether `error` says that the object is not what we saw: look again. */
export function isOutdated(error: unknown): boolean {
  return hasCode(error, "KUBE_CONFLICT", "KUBE_NOT_FOUND");
}
