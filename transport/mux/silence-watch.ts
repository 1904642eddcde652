import { type TimerWheel, WheelTimer } from "../timer-wheel.ts";

/** Of `stallMs`: after the first the peer is asked for a sign of life. */
const LOOKS = 5;
const HEARD = -1;

/** Whose silence it is. */
interface WatchOwner {
  /** Asks the peer for a sign of life. */
  onQuiet(): void;
  /** Nothing came although something was said; or, false, something has come after all. */
  onSilence(silent: boolean): void;
}

/**
 * Whether a peer to whom something was said says anything at all. It looks a few times within `stallMs` and only while
 * an answer is due: what idles costs nothing, and what is said or heard costs a comparison. A peer whose app takes long
 * answers the ping.
 */
export class SilenceWatch {
  readonly #wheel: TimerWheel;
  readonly #lookMs: number;
  readonly #owner: WatchOwner;
  readonly #answers: { count: number } | undefined;
  readonly #timer = new WheelTimer(() => this.#tick());
  /** Looks since something was said, or HEARD. */
  #looks = HEARD;
  #armed = false;
  #stopped: boolean;
  #stalled = false;

  /** @param stallMs 0: it is never said to be silent; `answers` counts what came after something was said */
  constructor(wheel: TimerWheel, stallMs: number, owner: WatchOwner, answers?: { count: number }) {
    this.#wheel = wheel;
    this.#lookMs = stallMs / LOOKS;
    this.#owner = owner;
    this.#answers = answers;
    this.#stopped = stallMs <= 0;
  }

  /** Nothing has come for `stallMs`. */
  get stalled(): boolean {
    return this.#stalled;
  }

  /** Something was said that wants an answer. */
  said(): void {
    if (this.#looks === HEARD) this.#begin();
  }

  /** Something has come. */
  heard(): void {
    if (this.#looks !== HEARD) this.#over();
  }

  stop(): void {
    this.#stopped = true;
    this.#wheel.drop(this.#timer);
  }

  #begin(): void {
    if (this.#stopped) return;
    this.#looks = 0;
    if (this.#armed) return;
    this.#armed = true;
    this.#wheel.arm(this.#timer, this.#lookMs);
  }

  #over(): void {
    this.#looks = HEARD;
    if (this.#answers !== undefined) this.#answers.count++;
    if (!this.#stalled) return;
    this.#stalled = false;
    this.#owner.onSilence(false);
  }

  #tick(): void {
    this.#armed = false;
    if (this.#looks === HEARD) return;
    // Where this process itself was held up, what the peer said meanwhile is read first.
    setImmediate(() => this.#look());
  }

  #look(): void {
    if (this.#stopped || this.#looks === HEARD || this.#armed) return;
    this.#looks++;
    if (this.#looks === 1) this.#owner.onQuiet();
    if (this.#looks === LOOKS) {
      this.#stalled = true;
      this.#owner.onSilence(true);
      return;
    }
    this.#armed = true;
    this.#wheel.arm(this.#timer, this.#lookMs);
  }
}
