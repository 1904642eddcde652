// What a request on its way out goes through, whatever its protocol: which endpoint, a connection to it, and what to
// do when that does not work.
import type { MeshError } from "../../core/errors.ts";
import type { ByteStream } from "../../transport/byte-stream.ts";
import type { CancelConnect } from "../../transport/transport.ts";
import type { Blame, Endpoint } from "../balance/endpoint.ts";
import { observe } from "../balance/peak-ewma.ts";
import type { Service } from "../balance/service.ts";
import type { TryFailure } from "../http1/client-connection.ts";
import type { Refusal } from "../http1/engine.ts";
import type { PrefaceProtocol } from "../preface.ts";
import { admit, fail, release, succeed } from "../resilience/breaker.ts";
import { deposit, withdraw } from "../resilience/retry-budget.ts";
import {
  attemptsAfterPause,
  isFailedTry,
  MAX_TRIES,
  neverDelivered,
  pauseMs,
  retryOf,
} from "../resilience/retry-policy.ts";
import { type DialDeps, dial } from "./dial.ts";
import { refusalFor } from "./refusals.ts";

/** What tries keep per request; reused from one request of a connection or stream slot to the next. */
export interface TryState {
  service: Service | undefined;
  endpoint: Endpoint | undefined;
  tried: Endpoint[];
  attempts: number;
  /** How often it has waited for somebody to take it. */
  pauses: number;
  /** Retries of what an app may have seen that are left to it, hops before this one included. */
  retriesLeft: number;
  /** Cluster that the app would have answer first; "" for the usual order. */
  prefer: string;
  dialing: CancelConnect | undefined;
  tryStartMs: number;
  /** Code of the answer that was turned down. */
  refusal: string | undefined;
  /** Why the last dial failed. */
  dialError: MeshError | undefined;
  /** Of its metrics. */
  row: number;
}

export function createTryState(row: number): TryState {
  return {
    service: undefined,
    endpoint: undefined,
    tried: [],
    attempts: 0,
    pauses: 0,
    retriesLeft: 0,
    prefer: "",
    dialing: undefined,
    tryStartMs: 0,
    refusal: undefined,
    dialError: undefined,
    row,
  };
}

/** A request as tries see it. */
export interface OutboundRequest {
  readonly state: TryState;
  /** When its head was complete. */
  readonly startMs: number;
  readonly idempotent: boolean;
  /** All that was sent of it is still held. */
  readonly replayable: boolean;
  readonly closed: boolean;
  /** Answers it in the endpoint's place. */
  fail(refusal: Refusal): void;
}

/** Whoever limits how many connections are made to one endpoint at a time. */
export interface DialGate {
  readonly mayDial: boolean;
  /** A connection is being made; the returned function says, once, that it is made or will not be. */
  dialBegins(): () => void;
  /** Calls `again` once when a connection may be had or made; the returned function gives up waiting. */
  wait(again: () => void): () => void;
}

/** How requests of one protocol use connections. */
export interface RequestProtocol<R extends OutboundRequest> {
  readonly preface: PrefaceProtocol;
  gate(endpoint: Endpoint): DialGate;
  /** Sends the request on a connection that is there; false where there is none. */
  reuse(request: R, endpoint: Endpoint): boolean;
  /** Sends it on a new connection, on which the preface has been sent. Sets `stream.user`. */
  adopt(request: R, endpoint: Endpoint, stream: ByteStream): void;
}

/** The tries of requests of one protocol. Per request: `begin`, `dispatch`, then what came of each try, `finished`. */
export class Tries<R extends OutboundRequest> {
  readonly #deps: DialDeps;
  readonly #protocol: RequestProtocol<R>;

  constructor(deps: DialDeps, protocol: RequestProtocol<R>) {
    this.#deps = deps;
    this.#protocol = protocol;
  }

  /** A new request for `service`. `retriesLeft`: what earlier hops leave to it, undefined where they do not say. */
  begin(request: R, service: Service, retriesLeft: number | undefined, prefer: string): void {
    const { state } = request;
    state.service = service;
    state.tried.length = 0;
    state.attempts = 0;
    state.pauses = 0;
    state.refusal = undefined;
    state.dialError = undefined;
    state.retriesLeft = Math.min(MAX_TRIES - 1, retriesLeft ?? MAX_TRIES - 1);
    state.prefer = service.spec.federated ? prefer : "";
    deposit(service.budget, request.startMs);
  }

  /** Sends the held request, now or later, or fails it. */
  dispatch(request: R): void {
    const { state } = request;
    const { service } = state;
    if (service === undefined) return;
    const nowMs = this.#deps.clock.nowMs();
    const endpoint = service.choose(state.tried, state.attempts >= 2, state.prefer);
    if (endpoint === undefined) {
      this.#giveUp(request);
      return;
    }
    state.attempts++;
    state.endpoint = endpoint;
    state.row = endpoint.row;
    state.tryStartMs = nowMs;
    endpoint.load.pending++;
    admit(endpoint.breaker, nowMs);
    if (this.#protocol.reuse(request, endpoint)) return;
    const gate = this.#protocol.gate(endpoint);
    if (gate.mayDial) this.#dial(request, service, endpoint, gate);
    else state.dialing = gate.wait(() => this.#chooseAgain(request));
  }

  #dial(request: R, service: Service, endpoint: Endpoint, gate: DialGate): void {
    const { state } = request;
    const ended = gate.dialBegins();
    const cancel = dial(
      this.#deps,
      service,
      endpoint,
      this.#protocol.preface,
      (stream) => {
        ended();
        state.dialing = undefined;
        this.#protocol.adopt(request, endpoint, stream);
      },
      (error, blame) => {
        ended();
        this.#unconnected(request, error, blame);
      },
    );
    state.dialing = () => {
      ended();
      cancel();
    };
  }

  /** What was waited for may be had now, or the endpoint may have broken meanwhile: as if nothing had been chosen. */
  #chooseAgain(request: R): void {
    const { state } = request;
    state.dialing = undefined;
    this.#unjudged(state);
    state.attempts--;
    this.dispatch(request);
  }

  #unconnected(request: R, error: MeshError, blame: Blame): void {
    const { state } = request;
    state.dialing = undefined;
    state.dialError = error;
    this.#deps.log.debug("outbound.connect.failed", {
      authority: state.service?.authority,
      endpoint: state.endpoint?.spec.id,
      cluster: state.endpoint?.group.cluster,
      attempt: state.attempts,
      blame,
      code: error.code,
      error: error.message,
    });
    this.#tryFailed(request, "connect", blame === "endpoint");
  }

  /** The client is gone. */
  cancel(request: R): void {
    const { state } = request;
    state.dialing?.();
    state.dialing = undefined;
    this.#unjudged(state);
  }

  /** The try ended without a word on the endpoint; where it was the breaker's probe, the next one is. */
  #unjudged(state: TryState): void {
    const endpoint = this.#settle(state);
    if (endpoint !== undefined) release(endpoint.breaker, this.#deps.clock.nowMs());
  }

  /** The try on the endpoint is over. */
  #settle(state: TryState): Endpoint | undefined {
    const { endpoint } = state;
    if (endpoint === undefined) return undefined;
    state.endpoint = undefined;
    endpoint.load.pending--;
    return endpoint;
  }

  /**
   * Whether an answer that the other proxy gave in the app's place, with this code, is turned down because the request
   * goes elsewhere. Where it cannot be sent again the other proxy's own answer says best what is wrong.
   */
  turnsDown(request: R, code: string | undefined): boolean {
    if (code === undefined || !this.trusted(request) || !isFailedTry(code)) return false;
    request.state.refusal = code;
    return this.#verdict(request, "refused") !== "no";
  }

  #verdict(request: R, failure: TryFailure): "free" | "budgeted" | "no" {
    const { attempts, retriesLeft, refusal: code } = request.state;
    const { idempotent, replayable } = request;
    return retryOf({ failure, code, idempotent, replayable, attempts, retriesLeft });
  }

  /** The answer's head is going out; `good` as far as it says whether the endpoint works. Undefined: `judged` will. */
  answered(request: R, good: boolean | undefined): void {
    const { endpoint, tryStartMs } = request.state;
    if (endpoint === undefined) return;
    const nowMs = this.#deps.clock.nowMs();
    observe(endpoint.load, nowMs - tryStartMs, nowMs);
    if (good !== undefined) this.judged(request, good);
  }

  /** Whether the endpoint works is known only now: by the end of the answer. */
  judged({ state }: R, good: boolean): void {
    const { endpoint, refusal } = state;
    if (endpoint === undefined) return;
    if (good) succeed(endpoint.breaker);
    else this.#blame(endpoint, refusal !== undefined && neverDelivered({ failure: "refused", code: refusal }));
  }

  #blame(endpoint: Endpoint, decisive: boolean): void {
    const { clock, random, log, metrics } = this.#deps;
    if (!fail(endpoint.breaker, decisive, clock.nowMs(), random)) return;
    metrics.breakerOpened(endpoint.row);
    log.info("breaker.open", {
      endpoint: endpoint.spec.id,
      identity: endpoint.spec.identity,
      cluster: endpoint.group.cluster,
    });
  }

  /** A try failed before any byte of an answer was passed on: the request is sent again, or fails. */
  failed(request: R, failure: TryFailure): void {
    this.#tryFailed(request, failure, failure !== "abandoned" && failure !== "untaken");
  }

  #tryFailed(request: R, failure: TryFailure, blamed: boolean): void {
    const { state } = request;
    const { service } = state;
    const verdict = this.#verdict(request, failure);
    const endpoint = this.#settle(state);
    if (endpoint !== undefined) {
      const decisive = neverDelivered({ failure, code: state.refusal });
      if (blamed) this.#blame(endpoint, decisive);
      else release(endpoint.breaker, this.#deps.clock.nowMs());
      // A gateway that takes no connection says nothing about the endpoint: another one may lead there.
      if (blamed || failure === "abandoned") state.tried.push(endpoint);
      else service?.unreached(endpoint, state.tried);
    }
    if (service === undefined || verdict === "no" || request.closed) {
      this.#giveUp(request, failure);
      return;
    }
    if (verdict === "budgeted") {
      if (!withdraw(service.budget, this.#deps.clock.nowMs())) {
        this.#deps.metrics.retryRefused(state.row);
        this.#giveUp(request, failure);
        return;
      }
      state.retriesLeft--;
    }
    state.refusal = undefined;
    this.#deps.metrics.retried(state.row);
    this.dispatch(request);
  }

  /** Ends the request, or has it wait where that is likely to help: for a federated service, and if no app saw it. */
  #giveUp(request: R, failure?: TryFailure): void {
    const { state } = request;
    const { clock } = this.#deps;
    const mayWait = state.service?.spec.federated === true && request.replayable && !request.closed;
    const waitMs =
      mayWait && (failure === undefined || failure === "connect" || failure === "untaken")
        ? pauseMs(state.pauses, clock.nowMs() - request.startMs)
        : 0;
    if (waitMs > 0) {
      state.pauses++;
      state.attempts = attemptsAfterPause(state.attempts);
      state.tried.length = 0;
      state.dialing = clock.after(waitMs, () => {
        state.dialing = undefined;
        this.dispatch(request);
      });
      return;
    }
    this.#deps.log.debug("outbound.gave.up", {
      authority: state.service?.authority,
      failure,
      attempts: state.attempts,
      tried: state.tried.map(({ spec }) => spec.id),
      groups: state.service?.describe(),
    });
    request.fail(
      refusalFor(
        state.service?.authority ?? "",
        failure ?? (state.dialError === undefined ? undefined : "connect"),
        state,
      ),
    );
  }

  /** The exchange is over. Status 0: it was broken off; `grpcStatus` -1: it is not gRPC. */
  finished(request: R, status: number, grpcStatus = -1): void {
    const { state } = request;
    this.#unjudged(state);
    this.#deps.metrics.request(state.row, status, this.#deps.clock.nowMs() - request.startMs, grpcStatus);
  }

  /** Whether what answers is a proxy of the mesh, whose x-causeway-* fields count. */
  trusted(request: R): boolean {
    return request.state.endpoint !== undefined && request.state.endpoint.spec.identity !== "";
  }
}
