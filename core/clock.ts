import { performance } from "node:perf_hooks";
import { MeshError } from "./errors.ts";

/** Time as an argument: production takes `systemClock`, tests a `ManualClock`. */
export interface Clock {
  /** Monotonic milliseconds, fractional. */
  nowMs(): number;
  /** Milliseconds since 1970. */
  wallMs(): number;
  /** Calls `run` once after `afterMs`; the returned function cancels. Never keeps the process alive. */
  after(afterMs: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(afterMs, run) {
    const timer = setTimeout(run, afterMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/**
 * The system's clock, read at most once per event: from `begin` to `end`, which the transport calls round each read, time
 * stands still. A request asks for it some ten times, and the reading is dearer than what is done with it.
 */
export class EventClock implements Clock {
  #within = false;
  #known = false;
  #nowMs = 0;

  nowMs(): number {
    if (this.#known) return this.#nowMs;
    const nowMs = performance.now();
    if (this.#within) {
      this.#known = true;
      this.#nowMs = nowMs;
    }
    return nowMs;
  }

  wallMs(): number {
    return systemClock.wallMs();
  }

  after(afterMs: number, run: () => void): () => void {
    return systemClock.after(afterMs, run);
  }

  begin(): void {
    this.#within = true;
  }

  end(): void {
    this.#within = false;
    this.#known = false;
  }
}

/** Resolves after `ms`. @throws MeshError ABORTED when `signal` aborts first */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => new MeshError("ABORTED", "Cannot wait: cancelled.", { cause: signal.reason });
    if (signal.aborted) {
      reject(aborted());
      return;
    }
    const onAbort = () => {
      cancel();
      reject(aborted());
    };
    const cancel = clock.after(ms, () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** Calls `run` every `everyMs` until the returned function is called; a run never overlaps the next. */
export function every(clock: Clock, everyMs: number, run: () => void): () => void {
  let stopped = false;
  let cancel = () => {};
  const arm = () => {
    cancel = clock.after(everyMs, () => {
      if (stopped) return;
      run();
      if (!stopped) arm();
    });
  };
  arm();
  return () => {
    stopped = true;
    cancel();
  };
}

/** A clock that moves only when told to; timers run in order of their time. */
export class ManualClock implements Clock {
  #nowMs = 0;
  readonly #epochMs: number;
  #timers: { atMs: number; order: number; run: () => void }[] = [];
  #order = 0;

  constructor(epochMs = 1_800_000_000_000) {
    this.#epochMs = epochMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#epochMs + this.#nowMs;
  }

  after(afterMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, afterMs), order: this.#order++, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((t) => t !== timer);
    };
  }

  /** Moves on by `ms`, running due timers one by one and letting promises settle after each. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      await settle();
      const due = this.#timers.filter((t) => t.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((t) => t !== due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.run();
    }
    this.#nowMs = untilMs;
    await settle();
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}
