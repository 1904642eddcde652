import { hasCode } from "../../core/errors.ts";
import type { SessionEnd } from "./sync-session.ts";

/**
 * Streams that the peer closed before its Hello, in a row, and over how long, after which it is taken to know us no
 * longer: a peer that has just been joined may need a moment to learn of it.
 */
const CLOSED_AT_ONCE = 3;
const CLOSED_FOR_MS = 2_000;

/** Whether a peer that can be reached takes no streams of this cluster. */
export class PeerRefusal {
  #closed = 0;
  #sinceMs = 0;

  /** The peer said Hello. */
  greeted(): void {
    this.#closed = 0;
  }

  /** A stream has ended, with `reason` as its text. */
  ended({ by, error }: SessionEnd, greeted: boolean, reason: string, nowMs: number): void {
    // The handshake succeeded, else its failure would be the reason: the peer looked at our certificate and left.
    const closed =
      !greeted && by === "transport" && hasCode(error, "STREAM_CLOSED") && !/ECONN|EHOST|ENET|ETIMEDOUT/.test(reason);
    if (!closed && !hasCode(error, "LINK_UNKNOWN")) this.#closed = 0;
    else if (this.#closed++ === 0) this.#sinceMs = nowMs;
  }

  known(nowMs: number): boolean {
    return this.#closed >= CLOSED_AT_ONCE && nowMs - this.#sinceMs >= CLOSED_FOR_MS;
  }
}
