import type { Clock } from "../../core/clock.ts";
import type { Heartbeat } from "../../protos/gen/causeway/federation/v1/Heartbeat.ts";

const REMEMBERED = 32;

/** Numbers our heartbeats and measures the round trip of those that are answered. */
export class HeartbeatMeter {
  readonly #clock: Clock;
  #sent: { readonly key: string; readonly atMs: number }[] = [];
  #sequence = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  next(): Heartbeat {
    const atMs = this.#clock.nowMs();
    // Whole milliseconds on the wire, and never the same twice: the number is only a name for our own note.
    const key = String(Math.max(Math.round(atMs), Number(this.#sent.at(-1)?.key ?? 0) + 1));
    this.#sent.push({ key, atMs });
    if (this.#sent.length > REMEMBERED) this.#sent = this.#sent.slice(-REMEMBERED);
    return { sequence: ++this.#sequence, sentAtMs: key, replyToMs: 0 };
  }

  /** Round trip in ms that an answer shows; undefined for what answers nothing of ours. */
  reply(replyToMs: string): number | undefined {
    const sent = this.#sent.find(({ key }) => key === replyToMs);
    if (sent === undefined) return undefined;
    this.#sent = this.#sent.filter((other) => other !== sent);
    return this.#clock.nowMs() - sent.atMs;
  }
}
