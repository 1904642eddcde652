export const SLOT_BYTES = 4_096;
/** When so many wait they are sent at once, so that a turn with many of them does not hold the first ones back for long. */
const MAX_SLOTS = 128;
/** Views kept per slot: what services send has the same few lengths. A power of two. */
const VIEWS = 8;

/** Up to so much of what was just read and is passed on as it is goes by words. */
export const PASSED_ON_BYTES = 512;

const NOTHING = Buffer.alloc(0);

const NOBODY: Sender = { flush() {} };

/** Who has put bytes into a slot. */
export interface Sender {
  /** Sends what its slot holds, if any. Runs no callback of a user. */
  flush(): void;
}

/** Bytes that one stream sends at the end of the turn. */
export class Slot {
  bytes: Buffer = Buffer.allocUnsafeSlow(SLOT_BYTES);
  length = 0;
  /** The same memory. */
  #words = wordsOf(this.bytes);
  readonly #views: Buffer[] = new Array<Buffer>(VIEWS).fill(NOTHING);

  /** All that is in it. */
  view(): Buffer {
    const { length } = this;
    const at = length & (VIEWS - 1);
    const known = this.#views[at] as Buffer;
    if (known.length === length) return known;
    const view = this.bytes.subarray(0, length);
    this.#views[at] = view;
    return view;
  }

  /** Takes `length` bytes of `from` into an empty slot: a quarter of the steps, and no view. */
  begin(from: Int32Array, length: number): void {
    const words = this.#words;
    for (let i = (length + 3) >> 2; i-- > 0; ) words[i] = from[i] as number;
    this.length = length;
  }

  /** Somebody else keeps the memory that it has. */
  giveAway(): void {
    this.bytes = Buffer.allocUnsafeSlow(SLOT_BYTES);
    this.#words = wordsOf(this.bytes);
    this.#views.fill(NOTHING);
  }
}

/** The memory of a buffer that has one of its own, as words. */
export function wordsOf(buffer: Buffer): Int32Array {
  return new Int32Array(buffer.buffer, buffer.byteOffset, buffer.length >> 2);
}

/**
 * Small writes wait here for the end of the event loop's turn and then go out one after the other, those of one stream
 * as one. Whoever waits for them is woken once and finds more to do, where it would fall asleep between writes that come
 * one by one; and the kernel's part and ours each run over all streams while they are in the processor's caches. With
 * many connections that saves far more than the copy costs.
 *
 * `loneAtOnce`: after a turn with one write, or none, the next one is not made to wait.
 */
export class Outbox {
  readonly #loneAtOnce: boolean;
  /** Who has which slot in this turn, by place. */
  readonly #senders: Sender[] = new Array<Sender>(MAX_SLOTS).fill(NOBODY);
  readonly #slots: Slot[] = [];
  #used = 0;
  /** Writes of this turn that did not wait for its end. */
  #gone = 0;
  #lone: boolean;
  #due = false;
  readonly #turnEnds = () => {
    this.#due = false;
    this.#lone = this.#loneAtOnce && this.#used + this.#gone <= 1;
    this.#gone = 0;
    this.#flush();
  };

  constructor(loneAtOnce = false) {
    this.#loneAtOnce = loneAtOnce;
    this.#lone = loneAtOnce;
  }

  /** A slot for `sender`, its own until it has flushed, which it is asked to at the end of the turn. Undefined: send now. */
  take(sender: Sender): Slot | undefined {
    if (!this.#due) {
      this.#due = true;
      setImmediate(this.#turnEnds);
    }
    if (this.#lone) {
      this.#gone++;
      return undefined;
    }
    if (this.#used === MAX_SLOTS) {
      this.#gone += MAX_SLOTS;
      this.#flush();
    }
    const place = this.#used++;
    this.#senders[place] = sender;
    return this.#slots[place] ?? this.#addSlot();
  }

  #addSlot(): Slot {
    const slot = new Slot();
    this.#slots.push(slot);
    return slot;
  }

  #flush(): void {
    const senders = this.#senders;
    const used = this.#used;
    for (let i = 0; i < used; i++) {
      (senders[i] as Sender).flush();
      senders[i] = NOBODY;
    }
    this.#used = 0;
  }
}
