import { hasCode, type MeshErrorCode } from "../../core/errors.ts";
import type { SessionEnd } from "./sync-session.ts";

/** Ends for which the peer is to blame, and which another stream would come to at once. */
const FAULTS: readonly MeshErrorCode[] = [
  "PROTOCOL_VIOLATION",
  "LIMIT_EXCEEDED",
  "PROTOCOL_VERSION",
  "IDENTITY_UNEXPECTED",
];
const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;
/** What a stream has to last for the peer to have a clean slate. */
const FORGIVEN_AFTER_MS = 60_000;

/**
 * How long a peer whose streams had to be cut has to wait for its next one: 1 s, then twice as long each time up to a
 * minute. It ends by itself, and what was learnt before stays in use.
 */
export class PeerPenalty {
  #count = 0;
  #untilMs = 0;
  #text = "";
  #code: MeshErrorCode | undefined;

  /** A stream has ended that had agreed, if ever, at `agreedMs` first. */
  ended({ by, error }: SessionEnd, greeted: boolean, agreedMs: number | undefined, nowMs: number): void {
    if (agreedMs !== undefined && nowMs - agreedMs >= FORGIVEN_AFTER_MS) this.#count = 0;
    // A stream that the peer did not even take was refused by it, and not by us.
    if (by === "peer" || (by === "transport" && !greeted) || !hasCode(error, ...FAULTS)) return;
    const forMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(this.#count, 10));
    this.#count++;
    this.#code = error.code;
    this.#untilMs = nowMs + forMs;
    this.#text = `${error.code}: ${error.message} Its stream was cut and is not taken for ${forMs / 1_000} s (${this.#count} in a row); what it sent before stays in use. Look at the peer's gateway.`;
  }

  /** Both sides agree: whatever was wrong is over. */
  agreed(): void {
    this.#code = undefined;
    this.#text = "";
  }

  get code(): MeshErrorCode | undefined {
    return this.#code;
  }

  /** How long until the next stream, in ms. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.#untilMs - nowMs);
  }

  /** Why its last stream was cut, for people, until one agrees. */
  get text(): string {
    return this.#text;
  }
}
