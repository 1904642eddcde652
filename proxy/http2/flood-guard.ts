/** What a peer may send that costs work and carries nothing; of one connection. */
export interface FloodLimits {
  /** PING, SETTINGS, WINDOW_UPDATE, PRIORITY, unknown and empty frames at once, and in the long run. */
  readonly maxIdleFrames: number;
  readonly idleFramesPerSecond: number;
  /** Streams begun and reset (CVE-2023-44487), at once and in the long run. One that was served entitles to another. */
  readonly maxResets: number;
  readonly resetsPerSecond: number;
}

/** Those for resets are nghttp2's. */
export const DEFAULT_FLOOD_LIMITS: FloodLimits = {
  maxIdleFrames: 10_000,
  idleFramesPerSecond: 1_000,
  maxResets: 1_000,
  resetsPerSecond: 33,
};

/** A frame that carries something entitles to this many that do not: senders of updates and pings follow the data. */
const EARNED = 4;

/** Allowances of one connection; whoever exceeds one is told ENHANCE_YOUR_CALM. */
export class FloodGuard {
  readonly #limits: FloodLimits;
  #idleFrames: number;
  #resets: number;

  constructor(limits: FloodLimits) {
    this.#limits = limits;
    this.#idleFrames = limits.maxIdleFrames;
    this.#resets = limits.maxResets;
  }

  /** A frame with content, either way. */
  useful(): void {
    if (this.#idleFrames < this.#limits.maxIdleFrames) this.#idleFrames += EARNED;
  }

  /** A frame without; false where there were too many. */
  idleFrame(): boolean {
    return --this.#idleFrames > 0;
  }

  /** A stream was served to its end. */
  served(): void {
    if (this.#resets < this.#limits.maxResets) this.#resets++;
  }

  /** A stream was reset before its end; false where there were too many. */
  reset(): boolean {
    return --this.#resets > 0;
  }

  passed(seconds: number): void {
    const { maxIdleFrames, idleFramesPerSecond, maxResets, resetsPerSecond } = this.#limits;
    this.#idleFrames = Math.min(maxIdleFrames, this.#idleFrames + seconds * idleFramesPerSecond);
    this.#resets = Math.min(maxResets, this.#resets + seconds * resetsPerSecond);
  }
}
