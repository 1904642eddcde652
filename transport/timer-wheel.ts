import type { Clock } from "../core/clock.ts";
import { errorText } from "../core/errors.ts";
import type { Log } from "../core/log.ts";

const SLOTS = 512;
const UNSET = -1;
/** Index of the list that is being swept. */
const SWEEP = SLOTS;

/** What a wheel runs when its time has come: for an object that has one deadline and needs no closure for it. */
export abstract class Deadline {
  /** Tick at which it is due; UNSET when disarmed. Of the wheel. */
  dueTick = UNSET;
  /** Tick whose slot holds it; UNSET when in none. Of the wheel. */
  heldTick = UNSET;
  slot = UNSET;
  previous: Deadline | undefined = undefined;
  next: Deadline | undefined = undefined;

  abstract run(): void;
}

/** A deadline that is armed and disarmed many times: made once per connection. */
export class WheelTimer extends Deadline {
  readonly #callback: () => void;

  constructor(callback: () => void) {
    super();
    this.#callback = callback;
  }

  run(): void {
    this.#callback();
  }
}

/**
 * Deadlines of many connections on one coarse timer, which is set for the next slot that has something in it. Arming
 * again for later and disarming only write a field: the timer is moved or dropped when its slot comes by.
 * A deadline runs between 0 and 2 granules late, never early.
 */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #granuleMs: number;
  readonly #slots: (Deadline | undefined)[] = new Array<Deadline | undefined>(SLOTS + 1).fill(undefined);
  readonly #originMs: number;
  /** Ticks up to this one have been run. */
  #tick = 0;
  #held = 0;
  #stop: (() => void) | undefined = undefined;
  /** What `#stop` would call off. */
  #wakeTick = 0;
  readonly #wake = () => {
    this.#stop = undefined;
    this.#advance(this.#tickAt(this.#clock.nowMs()));
    this.#wakeNext();
  };

  constructor(clock: Clock, log: Log, granuleMs = 20) {
    this.#clock = clock;
    this.#log = log;
    this.#granuleMs = granuleMs;
    this.#originMs = clock.nowMs();
  }

  /** Timers in the wheel, disarmed ones that were not yet swept included. */
  get held(): number {
    return this.#held;
  }

  /** Makes `timer` run once in `afterMs`, instead of whenever it was to run before. */
  arm(timer: Deadline, afterMs: number): void {
    if (this.#held === 0) this.#tick = this.#tickAt(this.#clock.nowMs());
    const elapsedMs = this.#clock.nowMs() - this.#originMs;
    const due = Math.max(this.#tick + 1, Math.ceil((elapsedMs + afterMs) / this.#granuleMs));
    timer.dueTick = due;
    if (timer.heldTick !== UNSET) {
      if (timer.heldTick <= due) return;
      this.#unlink(timer);
    }
    this.#link(timer);
    this.#wakeAt(timer.heldTick);
  }

  /** For a timer that is armed again soon: it stays in the wheel, and is kept alive by it, until its slot comes by. */
  disarm(timer: Deadline): void {
    timer.dueTick = UNSET;
  }

  /** As `disarm`, for good: the wheel, which holds a timer for up to 10 s, keeps nothing of its owner alive. */
  drop(timer: Deadline): void {
    timer.dueTick = UNSET;
    if (timer.heldTick !== UNSET) this.#unlink(timer);
  }

  #tickAt(nowMs: number): number {
    return Math.floor((nowMs - this.#originMs) / this.#granuleMs);
  }

  #link(timer: Deadline): void {
    const held = Math.min(timer.dueTick, this.#tick + SLOTS - 1);
    const slot = held % SLOTS;
    const head = this.#slots[slot];
    timer.heldTick = held;
    timer.slot = slot;
    timer.previous = undefined;
    timer.next = head;
    if (head !== undefined) head.previous = timer;
    this.#slots[slot] = timer;
    this.#held++;
  }

  #unlink(timer: Deadline): void {
    if (timer.previous === undefined) this.#slots[timer.slot] = timer.next;
    else timer.previous.next = timer.next;
    if (timer.next !== undefined) timer.next.previous = timer.previous;
    timer.previous = undefined;
    timer.next = undefined;
    timer.heldTick = UNSET;
    this.#held--;
  }

  /** Has the wheel looked at when `tick` comes, or sooner. */
  #wakeAt(tick: number): void {
    if (this.#stop !== undefined) {
      if (this.#wakeTick <= tick) return;
      this.#stop();
    }
    this.#wakeTick = tick;
    const elapsedMs = this.#clock.nowMs() - this.#originMs;
    this.#stop = this.#clock.after(Math.max(1, tick * this.#granuleMs - elapsedMs), this.#wake);
  }

  /** Slots between are empty: nothing is to be done for them. */
  #wakeNext(): void {
    if (this.#held === 0) return;
    const from = this.#tick + 1;
    for (let tick = from; tick < from + SLOTS; tick++) {
      if (this.#slots[tick % SLOTS] === undefined) continue;
      this.#wakeAt(tick);
      return;
    }
  }

  #advance(until: number): void {
    // After a long stall every slot is swept once; more rounds would find the same timers.
    const from = Math.max(this.#tick + 1, until - SLOTS + 1);
    for (let tick = from; tick <= until; tick++) {
      this.#tick = tick;
      this.#sweep(tick % SLOTS, until);
    }
    this.#tick = until;
  }

  #sweep(slot: number, now: number): void {
    // Moved aside as a whole first: a callback may arm timers of this slot, or into it.
    this.#slots[SWEEP] = this.#slots[slot];
    this.#slots[slot] = undefined;
    for (let moved = this.#slots[SWEEP]; moved !== undefined; moved = moved.next) moved.slot = SWEEP;
    for (let timer = this.#slots[SWEEP]; timer !== undefined; timer = this.#slots[SWEEP]) {
      this.#unlink(timer);
      if (timer.dueTick === UNSET) continue;
      if (timer.dueTick <= now) this.#fire(timer);
      else this.#link(timer);
    }
  }

  #fire(timer: Deadline): void {
    timer.dueTick = UNSET;
    try {
      timer.run();
    } catch (error) {
      this.#log.error("timer_failed", { error: errorText(error) });
    }
  }
}
