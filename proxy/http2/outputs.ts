import { type TimerWheel, WheelTimer } from "../../transport/timer-wheel.ts";

/** Room for the largest header list that is passed on, and for a whole DATA frame. */
const OUTPUT_BYTES = 81_920;
/** Buffers that are filled at a time; a turn that would need more writes what there is first. */
const MAX_TAKEN = 16;
/** As many are kept as a period of this length needed at once. */
const PERIOD_MS = 5_000;

/** A connection with bytes to be written. */
export interface DirtyConnection {
  /** Writes all and gives the buffer back. */
  flush(): void;
}

/**
 * Gathers what the connections of an engine have to send and writes it once per turn of the event loop, so that the
 * frames of many streams share a system call and a TLS record.
 */
export class Outputs {
  readonly #free: Buffer[] = [];
  readonly #wheel: TimerWheel;
  readonly #timer = new WheelTimer(() => this.#shrink());
  #dirty: DirtyConnection[] = [];
  #spare: DirtyConnection[] = [];
  #due = false;
  /** Since the period began. */
  #mostTaken = 0;
  readonly #run = (): void => {
    this.#due = false;
    this.flush();
  };

  constructor(wheel: TimerWheel) {
    this.#wheel = wheel;
  }

  /** Bytes of buffers that nobody has taken. */
  get freeBytes(): number {
    return this.#free.length * OUTPUT_BYTES;
  }

  /** A buffer for `by`, whose `flush` is called at the end of the turn, if not before. */
  take(by: DirtyConnection): Buffer {
    if (this.#dirty.length >= MAX_TAKEN) this.flush();
    const taken = this.#dirty.push(by);
    if (taken > this.#mostTaken) {
      if (this.#mostTaken === 0) this.#wheel.arm(this.#timer, PERIOD_MS);
      this.#mostTaken = taken;
    }
    if (!this.#due) {
      this.#due = true;
      setImmediate(this.#run);
    }
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(OUTPUT_BYTES);
  }

  /** Takes a buffer back. */
  give(buffer: Buffer): void {
    if (this.#free.length < MAX_TAKEN) this.#free.push(buffer);
  }

  flush(): void {
    const dirty = this.#dirty;
    this.#dirty = this.#spare;
    this.#spare = dirty;
    for (const connection of dirty) connection.flush();
    dirty.length = 0;
  }

  /** After a period without a single byte to send, the next one is free of cost: nothing is kept, and no timer runs. */
  #shrink(): void {
    if (this.#free.length > this.#mostTaken) this.#free.length = this.#mostTaken;
    const used = this.#mostTaken > 0;
    this.#mostTaken = 0;
    if (used) this.#wheel.arm(this.#timer, PERIOD_MS);
  }
}
