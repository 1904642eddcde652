// How much of what comes in a workload takes: by caller, by what is under way, and by what the process can bear.
import type { Clock } from "../../core/clock.ts";
import type { Random } from "../../core/random.ts";
import type { Refusal } from "../http1/engine.ts";
import type { Metrics } from "../observe/metrics.ts";
import { InFlightGate } from "../resilience/in-flight-gate.ts";
import { LagMeter } from "../resilience/lag-meter.ts";
import { TokenBuckets } from "../resilience/token-buckets.ts";
import type { Admission, PortLimits } from "./admission.ts";

/** What a request keeps of its place. */
export interface Placed {
  /** Where it has a place among those under way. */
  gate: InFlightGate | undefined;
  /** Ends what it waits for. */
  dialing: (() => void) | undefined;
}

/** Where control sets no limit. */
const MAX_IN_FLIGHT = 10_000;
/** A process with less under way is not what makes itself late. */
const MIN_IN_FLIGHT = 64;

const OVERLOADED: Refusal = {
  status: 503,
  code: "PROXY_OVERLOADED",
  message: "Cannot take the request: too many are under way. Send it to another endpoint, or later.",
  fields: [["retry-after", "1"]],
};

export interface InboundLimitsDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  readonly admission: Admission;
}

/** The limits of one workload. */
export class InboundLimits {
  readonly #deps: InboundLimitsDeps;
  readonly #ports = new Map<number, { readonly gate: InFlightGate; readonly buckets: TokenBuckets }>();
  readonly #lag: LagMeter;
  #inFlight = 0;

  constructor(deps: InboundLimitsDeps) {
    this.#deps = deps;
    this.#lag = new LagMeter(deps.clock, deps.random);
  }

  /** Why a request of `peer` is turned away before anything is done for it; undefined where it is not. */
  refuses(peer: string, port: number, row: number): Refusal | undefined {
    const { clock, metrics, admission } = this.#deps;
    if (this.#inFlight >= MIN_IN_FLIGHT) {
      this.#lag.watch();
      if (this.#lag.sheds) {
        metrics.shed(row);
        return OVERLOADED;
      }
    }
    const limits = admission.limitsOf(port);
    if (limits === undefined || limits.rate === 0) return undefined;
    const waitMs = this.#port(port, limits).buckets.take(peer, limits.rate, limits.burst, clock.nowMs());
    if (waitMs === 0) return undefined;
    metrics.rateLimited(row);
    return {
      status: 429,
      code: "PROXY_RATE_LIMITED",
      message: `Cannot let ${peer} send more than ${limits.rate} requests a second to port ${port}.`,
      fields: [["retry-after", String(Math.ceil(waitMs / 1_000))]],
    };
  }

  #port(port: number, limits: PortLimits | undefined) {
    const limit = limits !== undefined && limits.maxInFlight > 0 ? limits.maxInFlight : MAX_IN_FLIGHT;
    let known = this.#ports.get(port);
    if (known === undefined) {
      known = { gate: new InFlightGate(this.#deps.clock, limit), buckets: new TokenBuckets() };
      this.#ports.set(port, known);
    }
    known.gate.limit = limit;
    return known;
  }

  /** Takes a place among the requests under way at the app's `port`; false where it has to queue for one. */
  enter(state: Placed, port: number): boolean {
    const { gate } = this.#port(port, this.#deps.admission.limitsOf(port));
    if (!gate.enter()) return false;
    this.#placed(state, gate);
    return true;
  }

  /** Waits for a place: one of the callbacks runs, now or later. */
  queue(state: Placed, port: number, row: number, onPlace: () => void, onRefused: (refusal: Refusal) => void): void {
    const { gate } = this.#port(port, this.#deps.admission.limitsOf(port));
    const refuse = () => {
      state.dialing = undefined;
      this.#deps.metrics.shed(row);
      onRefused(OVERLOADED);
    };
    const giveUp = gate.wait(() => {
      state.dialing = undefined;
      this.#placed(state, gate);
      onPlace();
    }, refuse);
    state.dialing = giveUp;
    if (giveUp === undefined) refuse();
  }

  #placed(state: Placed, gate: InFlightGate): void {
    state.gate = gate;
    this.#inFlight++;
  }

  /** The request is over, or has become a tunnel. */
  leave(state: Placed): void {
    const { gate } = state;
    if (gate === undefined) return;
    state.gate = undefined;
    this.#inFlight--;
    gate.leave();
  }

  close(): void {
    this.#lag.close();
  }
}
