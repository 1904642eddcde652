import type { Clock } from "../../core/clock.ts";
import { type TimerWheel, WheelTimer } from "../../transport/timer-wheel.ts";
import type { OutboundRequest } from "./outbound-request.ts";
import type { RequestTimers, TryState } from "./try-state.ts";

/** Told that time has run out. */
export interface OutOfTime<R> {
  /** The request's. `of`: what took too long. */
  timedOut(request: R, of: string): void;
  /** That of the try under way, or of the wait for a connection. */
  tryTimedOut(request: R): void;
}

/** How long requests may take, their tries, and silence. Most have no deadline, and cost nothing here. */
export class RequestDeadlines<R extends OutboundRequest> {
  readonly #wheel: TimerWheel;
  readonly #clock: Clock;
  readonly #told: OutOfTime<R>;

  constructor(wheel: TimerWheel, clock: Clock, told: OutOfTime<R>) {
    this.#wheel = wheel;
    this.#clock = clock;
    this.#told = told;
  }

  /** A request has begun, under its terms and what the hops before this one leave to it. */
  begin(request: R): void {
    const { state } = request;
    const { requestMs, idleMs } = state.terms.timeouts;
    const limitMs = requestMs > 0 ? requestMs : Number.POSITIVE_INFINITY;
    const leftMs = Math.min(limitMs, state.wishes.deadlineMs ?? Number.POSITIVE_INFINITY);
    state.deadlineAtMs = request.startMs + leftMs;
    if (leftMs < Number.POSITIVE_INFINITY) this.#wheel.arm(this.#timers(request).request, leftMs);
    if (idleMs > 0) this.#wheel.arm(this.#timers(request).idle, idleMs);
  }

  armTry(request: R, afterMs: number): void {
    this.#wheel.arm(this.#timers(request).try, afterMs);
  }

  disarmTry({ timers }: TryState): void {
    if (timers !== undefined) this.#wheel.disarm(timers.try);
  }

  /** Bytes of the request or its answer have passed. */
  passed({ state }: R): void {
    const { idleMs } = state.terms.timeouts;
    if (idleMs > 0 && state.timers !== undefined) this.#wheel.arm(state.timers.idle, idleMs);
  }

  /** Nothing limits the exchange any more. */
  end({ state }: R): void {
    const { timers } = state;
    if (timers === undefined) return;
    this.#wheel.disarm(timers.request);
    this.#wheel.disarm(timers.try);
    this.#wheel.disarm(timers.idle);
  }

  /** Of the deadline of the request, or `Infinity`, in ms. */
  leftMs({ state }: R): number {
    return state.deadlineAtMs - this.#clock.nowMs();
  }

  #timers(request: R): RequestTimers {
    const { state } = request;
    state.timers ??= {
      request: new WheelTimer(() => this.#told.timedOut(request, "the request")),
      try: new WheelTimer(() => this.#told.tryTimedOut(request)),
      idle: new WheelTimer(() => this.#told.timedOut(request, "silence")),
    };
    return state.timers;
  }
}
