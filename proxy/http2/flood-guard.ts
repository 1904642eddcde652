/** Frames that cost us work and carry nothing: what a peer may send of them at once, and in the long run. */
const MAX_IDLE_FRAMES = 10_000;
const IDLE_FRAMES_PER_SECOND = 1_000;
/** A frame that carries something entitles to this many that do not: senders of updates and pings follow the data. */
const EARNED = 4;
/** Streams that a client may begin and reset, as nghttp2: CVE-2023-44487. One that was served entitles to another. */
const MAX_RESETS = 1_000;
const RESETS_PER_SECOND = 33;

/** Allowances of one connection; whoever exceeds one is told ENHANCE_YOUR_CALM. */
export class FloodGuard {
  #idleFrames = MAX_IDLE_FRAMES;
  #resets = MAX_RESETS;

  /** A frame with content, either way. */
  useful(): void {
    if (this.#idleFrames < MAX_IDLE_FRAMES) this.#idleFrames += EARNED;
  }

  /** A PING, SETTINGS, WINDOW_UPDATE, PRIORITY, unknown or empty frame; false where there were too many. */
  idleFrame(): boolean {
    return --this.#idleFrames > 0;
  }

  /** A stream was served to its end. */
  served(): void {
    if (this.#resets < MAX_RESETS) this.#resets++;
  }

  /** A stream was reset before its end; false where there were too many. */
  reset(): boolean {
    return --this.#resets > 0;
  }

  passed(seconds: number): void {
    this.#idleFrames = Math.min(MAX_IDLE_FRAMES, this.#idleFrames + seconds * IDLE_FRAMES_PER_SECOND);
    this.#resets = Math.min(MAX_RESETS, this.#resets + seconds * RESETS_PER_SECOND);
  }
}
