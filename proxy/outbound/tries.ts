// What a request on its way out goes through, whatever its protocol: which endpoint, a connection to it, and what to
// do when that does not work.
import type { MeshError } from "../../core/errors.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import type { Blame } from "../balance/gateway-target.ts";
import { observe } from "../balance/peak-ewma.ts";
import type { Service } from "../balance/service.ts";
import type { TryFailure } from "../http1/client-connection.ts";
import { admit } from "../resilience/breaker.ts";
import { deposit, withdraw } from "../resilience/retry-budget.ts";
import {
  attemptsAfterPause,
  isDecisive,
  isFailedTry,
  OVERLOADED,
  pauseMs,
  retryOf,
  retryWaitMs,
} from "../resilience/retry-policy.ts";
import { type DialDeps, dial } from "./dial.ts";
import { EndpointJudge } from "./endpoint-judge.ts";
import type { DialGate, OutboundRequest, RequestProtocol } from "./outbound-request.ts";
import { overloaded, refusalFor, timedOut } from "./refusals.ts";
import { type OutOfTime, RequestDeadlines } from "./request-deadlines.ts";
import type { Terms, TryState } from "./try-state.ts";

/** For a connection to an endpoint that makes as many as it may. */
const QUEUE_MS = 3_000;
const MAX_RETRIES_LEFT = 9;

/** As which a failure is told where nobody is left to try: undefined for an app's answer that was turned down. */
function failureOf(failure: TryFailure, refusal: string | undefined): TryFailure | undefined {
  if (failure !== "refused") return failure;
  if (refusal === undefined) return undefined;
  return refusal === "PROXY_RESET" ? "reset" : failure;
}

/** The tries of requests of one protocol. Per request: `begin`, `dispatch`, then what came of each try, `finished`. */
export class Tries<R extends OutboundRequest> implements OutOfTime<R> {
  readonly #deps: DialDeps;
  readonly #protocol: RequestProtocol<R>;
  readonly #deadlines: RequestDeadlines<R>;
  readonly #judge: EndpointJudge;

  constructor(deps: DialDeps, protocol: RequestProtocol<R>) {
    this.#deps = deps;
    this.#protocol = protocol;
    this.#deadlines = new RequestDeadlines(deps.transport.wheel, deps.clock, this);
    this.#judge = new EndpointJudge(deps);
  }

  /** A new request for `service`, under its terms or those of the rule that matched. */
  begin(request: R, service: Service, terms: Terms): void {
    const { state } = request;
    const { wishes } = state;
    const { retry } = terms;
    state.service = service;
    if (state.tried.length > 0) state.tried.length = 0;
    state.attempts = 0;
    state.pauses = 0;
    state.refusal = undefined;
    state.failure = undefined;
    state.dialError = undefined;
    state.answering = false;
    state.paid = false;
    state.queued = false;
    state.retries = 0;
    state.terms = terms;
    state.retriesLeft = Math.min(retry.limit, wishes.retriesLeft ?? MAX_RETRIES_LEFT);
    state.prefer = service.spec.federated ? wishes.prefer : "";
    state.client = wishes.client;
    deposit(service.budget, request.startMs);
    this.#deadlines.begin(request);
  }

  // --- deadlines

  /** Bytes of the request or its answer have passed. */
  passed(request: R): void {
    this.#deadlines.passed(request);
  }

  /** Nothing limits the exchange any more: it has become a tunnel. */
  untimed(request: R): void {
    this.#deadlines.end(request);
  }

  /** Of the deadline of the request, or `Infinity`, in ms. */
  leftMs(request: R): number {
    return this.#deadlines.leftMs(request);
  }

  /** The whole exchange is over. The try under way counts against its endpoint unless it had begun to answer. */
  timedOut(request: R, of: string): void {
    const { state } = request;
    this.#stopWaiting(state);
    const endpoint = this.#settle(state);
    if (endpoint !== undefined && !state.answering) this.#judge.blame(state.service, endpoint, false);
    this.#deps.metrics.timedOut(state.row);
    request.abort(timedOut(state.service?.authority ?? "", of));
  }

  tryTimedOut(request: R): void {
    const { state } = request;
    const waiting = state.queued;
    const unsent = state.dialing !== undefined;
    this.#stopWaiting(state);
    if (waiting) {
      this.#unjudged(state);
      this.#deps.metrics.shed(state.row);
      request.fail(overloaded(state.service?.authority ?? ""));
      return;
    }
    request.dropTry();
    this.#tryFailed(request, unsent ? "connect" : "timeout", true, true);
  }

  #stopWaiting(state: TryState): void {
    state.dialing?.();
    state.dialing = undefined;
    state.queued = false;
  }

  // --- tries

  /** Sends the held request, now or later, or fails it. */
  dispatch(request: R): void {
    const { state } = request;
    const { service } = state;
    if (service === undefined) return;
    const nowMs = this.#deps.clock.nowMs();
    const endpoint = service.choose(state.tried, state.attempts >= 2, state.prefer, state.client);
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
    const { tryMs } = state.terms.timeouts;
    if (tryMs > 0) this.#deadlines.armTry(request, tryMs);
    if (this.#protocol.reuse(request, endpoint)) return;
    this.#connect(request, service, endpoint);
  }

  /** Apart from `dispatch`, which nearly always finds a connection: closures here would cost it. */
  #connect(request: R, service: Service, endpoint: Endpoint): void {
    const { state } = request;
    const gate = this.#protocol.gate(endpoint);
    if (gate.mayDial) this.#dial(request, service, endpoint, gate);
    else if (gate.full) {
      this.#unjudged(state);
      this.#deps.metrics.shed(state.row);
      request.fail(overloaded(service.authority));
    } else {
      state.dialing = gate.wait(() => this.#chooseAgain(request));
      state.queued = true;
      if (state.terms.timeouts.tryMs <= 0) this.#deadlines.armTry(request, QUEUE_MS);
    }
  }

  #dial(request: R, service: Service, endpoint: Endpoint, gate: DialGate): void {
    const { state } = request;
    const ended = gate.dialBegins();
    const cancel = dial(
      this.#deps,
      service,
      endpoint,
      this.#protocol.preface,
      (stream, gateway) => {
        ended();
        state.dialing = undefined;
        this.#protocol.adopt(request, endpoint, stream, gateway);
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
    state.queued = false;
    this.#deadlines.disarmTry(state);
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
    this.#stopWaiting(state);
    this.#unjudged(state);
  }

  /** The try ended without a word on the endpoint; where it was the breaker's probe, the next one is. */
  #unjudged(state: TryState): void {
    const endpoint = this.#settle(state);
    if (endpoint !== undefined) this.#judge.release(endpoint);
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
   * Whether an answer is turned down because the request goes elsewhere: the other proxy gave it in the app's place,
   * with this code, or it has a status that the policy retries. Where the request cannot be sent again, or the budget
   * is spent, the answer says best what is wrong. `grpcStatus` -1: none in its head. Where it is true, `failed` follows.
   */
  turnsDown(request: R, code: string | undefined, status: number, grpcStatus = -1): boolean {
    const { state } = request;
    if (code !== undefined && this.trusted(request) && isFailedTry(code)) {
      state.refusal = code;
      // To ask one that has too much to do again makes it more.
      if (code === OVERLOADED && !this.#mayAskAgain(request)) return false;
    } else {
      const { httpStatuses, grpcStatuses } = state.terms.retry;
      // Statuses below are never retried, and to look them up costs more than to compare.
      if (status < 400 && grpcStatus < 0) return false;
      if (!httpStatuses.has(status) && !grpcStatuses.has(grpcStatus)) return false;
      state.refusal = undefined;
    }
    const verdict = this.#verdict(request, "refused");
    if (verdict === "no" || (verdict === "budgeted" && !this.#withdraw(state))) return false;
    state.paid = true;
    return true;
  }

  /**
   * Whether a request that was shed goes out again: to somebody else, or, of a federated service, after a pause. When a
   * cluster is lost, all of its traffic comes to those that are left within a moment.
   */
  #mayAskAgain({ state, startMs }: R): boolean {
    const { service, pauses } = state;
    if (service?.hasOther(state.tried, state.endpoint) === true) return true;
    return service?.spec.federated === true && pauseMs(pauses, this.#deps.clock.nowMs() - startMs) > 0;
  }

  #verdict(request: R, failure: TryFailure): "free" | "budgeted" | "no" {
    const { attempts, retriesLeft, refusal: code, terms } = request.state;
    const { idempotent, replayable } = request;
    return retryOf({ failure, code, idempotent, replayable, attempts, retriesLeft, policy: terms.retry });
  }

  /** Takes one retry from the budgets of the service and of the request; false where it is spent. */
  #withdraw(state: TryState): boolean {
    if (state.service === undefined || !withdraw(state.service.budget, this.#deps.clock.nowMs())) {
      this.#deps.metrics.retryRefused(state.row);
      return false;
    }
    state.retriesLeft--;
    return true;
  }

  /** The answer's head is going out; `good` as far as it says whether the endpoint works. Undefined: `judged` will. */
  answered(request: R, good: boolean | undefined): void {
    const { state } = request;
    const { endpoint, tryStartMs } = state;
    this.#deadlines.disarmTry(state);
    state.answering = true;
    if (endpoint === undefined) return;
    const nowMs = this.#deps.clock.nowMs();
    observe(endpoint.load, nowMs - tryStartMs, nowMs);
    if (good !== undefined) this.judged(request, good);
  }

  /** Whether the endpoint works is known only now: by the end of the answer. */
  judged({ state }: R, good: boolean): void {
    const { service, endpoint, refusal } = state;
    if (endpoint === undefined) return;
    if (good) this.#judge.praise(endpoint);
    else
      this.#judge.blame(service, endpoint, refusal !== undefined && isDecisive({ failure: "refused", code: refusal }));
  }

  /** A try failed before any byte of an answer was passed on: the request is sent again, or fails. */
  failed(request: R, failure: TryFailure): void {
    const blamed = failure !== "abandoned" && failure !== "untaken" && !isMaybeGateway(request.state.endpoint, failure);
    this.#tryFailed(request, failure, blamed);
  }

  #tryFailed(request: R, failure: TryFailure, blamed: boolean, late = false): void {
    const { state } = request;
    const { service, paid } = state;
    state.failure = failureOf(failure, state.refusal);
    const verdict = paid ? "free" : this.#verdict(request, failure);
    this.#deadlines.disarmTry(state);
    const endpoint = this.#settle(state);
    if (endpoint !== undefined) {
      // A deadline that was short for a handshake says less than a connection that was refused.
      const decisive = !late && isDecisive({ failure, code: state.refusal });
      if (blamed) this.#judge.blame(service, endpoint, decisive);
      else this.#judge.release(endpoint);
      // An endpoint that answers or takes its time may be tried again where there is no other.
      const untaken = failure === "untaken";
      const again = (failure === "refused" && state.refusal === undefined) || failure === "timeout" || untaken;
      // A gateway that takes no connection says nothing about the endpoint: another one may lead there.
      if (blamed || failure === "abandoned" || untaken) {
        if (!again || !state.tried.includes(endpoint)) state.tried.push(endpoint);
      } else service?.unreached(endpoint, state.tried);
    }
    if (late) this.#deps.metrics.timedOut(state.row);
    if (service === undefined || verdict === "no" || request.closed) {
      this.#giveUp(request, failure);
      return;
    }
    if (verdict === "budgeted" && !this.#withdraw(state)) {
      this.#giveUp(request, failure);
      return;
    }
    const shed = failure === "refused" && state.refusal === OVERLOADED && !service.hasOther(state.tried, undefined);
    state.paid = false;
    state.refusal = undefined;
    this.#deps.metrics.retried(state.row);
    const { clock, random } = this.#deps;
    if (shed && this.#pause(request)) return;
    const waitMs = paid || verdict === "budgeted" ? retryWaitMs(state.terms.retry, state.retries++, random()) : 0;
    if (waitMs <= 0) {
      this.dispatch(request);
      return;
    }
    state.dialing = clock.after(waitMs, () => {
      state.dialing = undefined;
      this.dispatch(request);
    });
  }

  /** Ends the request, or has it wait where that is likely to help: for a federated service, and if no app saw it. */
  #giveUp(request: R, failure?: TryFailure): void {
    const { state } = request;
    const mayWait = state.service?.spec.federated === true && request.replayable && !request.closed;
    const unseen = failure === undefined || failure === "connect" || failure === "untaken";
    if (mayWait && unseen && this.#pause(request)) return;
    if (state.failure === undefined) this.#countUntried(state.service);
    this.#deps.log.debug("outbound.gave.up", {
      authority: state.service?.authority,
      failure: state.failure,
      attempts: state.attempts,
      tried: state.tried.map(({ spec }) => spec.id),
      groups: state.service?.describe(),
    });
    request.fail(refusalFor(state.service?.authority ?? "", state.failure, state));
  }

  /** Has the request wait, then try everything anew; false where it has waited enough. */
  #pause(request: R): boolean {
    const { state, startMs } = request;
    const { clock } = this.#deps;
    const waitMs = pauseMs(state.pauses, clock.nowMs() - startMs);
    if (waitMs <= 0) return false;
    state.pauses++;
    state.attempts = attemptsAfterPause(state.attempts);
    state.tried.length = 0;
    state.dialing = clock.after(waitMs, () => {
      state.dialing = undefined;
      this.dispatch(request);
    });
    return true;
  }

  /** Nothing could be tried: by what is in the way. */
  #countUntried(service: Service | undefined): void {
    const [first = "tried"] = service?.obstacles().kinds ?? [];
    this.#deps.metrics.counter("outbound_http_untried_total", `reason="${first}"`).value++;
  }

  /** The exchange is over. Status 0: it was broken off; `grpcStatus` -1: it is not gRPC. */
  finished(request: R, status: number, grpcStatus = -1): void {
    const { state } = request;
    this.#unjudged(state);
    this.untimed(request);
    const { clock, metrics } = this.#deps;
    const latencyMs = clock.nowMs() - request.startMs;
    metrics.request(state.row, status, latencyMs, grpcStatus);
    if (state.routeRow >= 0) metrics.routed(state.routeRow, status, latencyMs, grpcStatus);
  }

  /** Whether what answers is a proxy of the mesh, whose x-causeway-* fields count. */
  trusted(request: R): boolean {
    return request.state.endpoint !== undefined && request.state.endpoint.spec.identity !== "";
  }
}

/** A connection that was cut where others lead there too: the next dial shows whether the endpoint or a gateway is gone. */
function isMaybeGateway(endpoint: Endpoint | undefined, failure: TryFailure): boolean {
  return failure === "reset" && endpoint !== undefined && endpoint.group.gateways.length > 1;
}
