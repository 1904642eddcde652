import { hasCode } from "../../core/errors.ts";
import type { SessionEnd } from "./sync-session.ts";

/**
 * Streams that the peer closed before its Hello, in a row, and over how long, after which it is taken to know us no
 * longer: a peer that has just been joined may need a moment to learn of it.
 */
const CLOSED_AT_ONCE = 3;
const CLOSED_FOR_MS = 2_000;

/** Whether a peer that can be reached takes no streams of this cluster, and whether it says that it has unlinked it. */
export class PeerRefusal {
  #closed = 0;
  #sinceMs = 0;
  #unlinked: { readonly sinceMs: number; times: number } | undefined;

  /** The peer said Hello. */
  greeted(): void {
    this.#closed = 0;
    this.#unlinked = undefined;
  }

  /** A stream has ended, with `reason` as its text. */
  ended({ by, error }: SessionEnd, greeted: boolean, reason: string, nowMs: number): void {
    // The handshake succeeded, else its failure would be the reason: the peer looked at our certificate and left.
    const closed =
      !greeted && by === "transport" && hasCode(error, "STREAM_CLOSED") && !/ECONN|EHOST|ENET|ETIMEDOUT/.test(reason);
    if (!closed && !hasCode(error, "LINK_UNKNOWN", "UNLINKED")) this.#closed = 0;
    else if (this.#closed++ === 0) this.#sinceMs = nowMs;
    // Silence, and whatever else goes wrong, neither adds to what the peer has said nor takes it back.
    if (hasCode(error, "LINK_UNKNOWN")) this.#unlinked = undefined;
    if (!hasCode(error, "UNLINKED")) return;
    this.#unlinked ??= { sinceMs: nowMs, times: 0 };
    this.#unlinked.times++;
  }

  /** How it refuses this cluster, if it does. */
  known(nowMs: number): "Unlinked" | "RefusedByPeer" | undefined {
    if (this.#closed < CLOSED_AT_ONCE || nowMs - this.#sinceMs < CLOSED_FOR_MS) return undefined;
    return this.#unlinked === undefined ? "RefusedByPeer" : "Unlinked";
  }

  /** The peer's gateway, which proved who it is, has said for `graceMs` that it unlinked this cluster, and says so now. */
  unlinkedFor(graceMs: number, nowMs: number): boolean {
    if (this.#unlinked === undefined || this.known(nowMs) !== "Unlinked") return false;
    return this.#unlinked.times >= CLOSED_AT_ONCE && nowMs - this.#unlinked.sinceMs >= graceMs;
  }
}
