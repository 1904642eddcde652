import type { Random } from "../../core/random.ts";

/** What keeps a client at one endpoint. */
export interface Session {
  readonly salt: number;
  usedMs: number;
}

const MAX_CLIENTS = 4_096;

/** Sessions of a service's clients; bounded: the one that began first goes first. */
export class Affinity {
  readonly #sessions = new Map<string, Session>();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** The session of `client`, a new one where it was not used for `idleMs`, as kube-proxy keeps a client's address. */
  session(client: string, idleMs: number, nowMs: number): Session {
    const known = this.#sessions.get(client);
    if (known !== undefined && nowMs - known.usedMs < idleMs) {
      known.usedMs = nowMs;
      return known;
    }
    const made = { salt: Math.floor(this.#random() * 4_294_967_296), usedMs: nowMs };
    this.#sessions.delete(client);
    if (this.#sessions.size >= MAX_CLIENTS) {
      for (const first of this.#sessions.keys()) {
        this.#sessions.delete(first);
        break;
      }
    }
    this.#sessions.set(client, made);
    return made;
  }
}

/** Uniform in [0, 1), the same for the same session. */
export function uniformOf({ salt }: Session): number {
  return mixed(salt) / 4_294_967_296;
}

/**
 * The candidate that is the session's: when others come or go, only those sessions move that must (rendezvous hashing,
 * Thaler and Ravishankar 1998). Undefined where there is none.
 */
export function rendezvous<T extends { readonly spec: { readonly id: string } }>(
  candidates: readonly T[],
  { salt }: Session,
): T | undefined {
  let best: T | undefined;
  let highest = -1;
  for (const candidate of candidates) {
    const score = mixed(salt ^ hashOf(candidate.spec.id));
    if (score <= highest) continue;
    highest = score;
    best = candidate;
  }
  return best;
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

/** The end of MurmurHash3: every bit of the input moves every bit of the output. */
function mixed(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
