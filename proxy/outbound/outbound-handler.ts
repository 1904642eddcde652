// Requests of the app: which service, which endpoint, and what to do when that does not work.
import type { MeshError } from "../../core/errors.ts";
import type { ByteStream } from "../../transport/byte-stream.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import { observe } from "../balance/peak-ewma.ts";
import { parseAuthority, splitAbsolute } from "../http1/authority.ts";
import { ClientConnection, type TryFailure } from "../http1/client-connection.ts";
import type { Refusal, RequestHandler, ServedRequest, Verdict } from "../http1/engine.ts";
import { CONNECT, type Head, OPTIONS } from "../http1/head.ts";
import { errorOf, preferOf, RETRIES_LEFT_DIGIT, RETRIES_LEFT_FIELD, retriesLeftOf } from "../http1/our-fields.ts";
import { HTTP1 } from "../preface.ts";
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
import { dial } from "./dial.ts";
import type { OutboundDeps, OutboundState } from "./outbound-state.ts";
import { refusalFor } from "./refusals.ts";
import type { Entry } from "./service-table.ts";
import { openTunnel } from "./tunnel.ts";

type Connection = ServedRequest<OutboundState>;

const NO_FIELDS = Buffer.alloc(0);

function badRequest(message: string): Refusal {
  return { status: 400, code: "PROXY_BAD_REQUEST", message: `Cannot read the request: ${message}.` };
}

export class OutboundHandler implements RequestHandler<OutboundState> {
  readonly #deps: OutboundDeps;

  constructor(deps: OutboundDeps) {
    this.#deps = deps;
  }

  route(connection: Connection, head: Head, b: Buffer): Verdict {
    const { rewrite } = this.#deps.engine;
    const { state } = connection;
    state.row = this.#deps.unknownRow;
    state.service = undefined;
    let text: string;
    let port = 80;
    rewrite.targetStart = head.targetStart;
    rewrite.targetEnd = head.targetEnd;
    rewrite.host = undefined;
    if (head.method === CONNECT) {
      text = b.toString("latin1", head.targetStart, head.targetEnd);
      // A tunnel has no default port (RFC 9110 section 9.3.6).
      port = 0;
    } else if (b[head.targetStart] === 47 || (head.method === OPTIONS && isAsterisk(head, b))) {
      if (head.hostEnd === head.hostStart) return badRequest("it names no host");
      text = b.toString("latin1", head.hostStart, head.hostEnd);
    } else {
      const absolute = splitAbsolute(b, head.targetStart, head.targetEnd);
      if (absolute === undefined) return badRequest("its target is neither a path nor an http URL");
      text = absolute.authority;
      rewrite.targetStart = absolute.pathStart;
      rewrite.host = state.text === text ? state.host : Buffer.from(text, "latin1");
    }
    const known = state.text === text && state.entry?.gone === false ? state.entry : undefined;
    const entry = known ?? this.#lookup(text, port);
    if (entry === undefined) return badRequest("its authority is malformed");
    if ("status" in entry) return entry;
    const { service } = entry;
    if (service === undefined) return this.#unanswered(connection, entry);
    state.text = text;
    state.host = rewrite.host ?? Buffer.from(text, "latin1");
    state.entry = entry;
    entry.lastUsedMs = connection.startMs;
    if (service.spec.kind === "notFound") {
      return {
        status: 503,
        code: "PROXY_UNKNOWN_SERVICE",
        message: `Cannot reach ${entry.authority}: no such service here. Check the name, or export it.`,
      };
    }
    state.service = service;
    state.tried.length = 0;
    state.attempts = 0;
    state.pauses = 0;
    state.refusal = undefined;
    state.dialError = undefined;
    if (head.method === CONNECT) return "tunnel";
    state.retriesLeft = Math.min(MAX_TRIES - 1, retriesLeftOf(head, b) ?? MAX_TRIES - 1);
    state.prefer = service.spec.federated ? preferOf(head, b) : "";
    rewrite.added = service.spec.kind === "external" ? NO_FIELDS : RETRIES_LEFT_FIELD;
    deposit(service.budget, connection.startMs);
    return "routed";
  }

  #lookup(text: string, defaultPort: number): Entry | Refusal | undefined {
    const authority = parseAuthority(text, defaultPort);
    if (authority === undefined) return undefined;
    const entry = this.#deps.services.lookup(authority.key);
    if (entry !== undefined) return entry;
    return { status: 503, code: "PROXY_OVERLOADED", message: "Cannot look the name up: too many names are in use." };
  }

  #unanswered(connection: Connection, entry: Entry): Verdict {
    if (entry.expired) {
      return {
        status: 503,
        code: "PROXY_TIMEOUT",
        message: `Cannot look ${entry.authority} up: control does not answer. Check mesh serve.`,
      };
    }
    this.#deps.services.wait(entry.authority, () => connection.again());
    return "wait";
  }

  dispatch(connection: Connection): void {
    const { state } = connection;
    const { service } = state;
    if (service === undefined) return;
    const nowMs = this.#deps.clock.nowMs();
    const endpoint = service.choose(state.tried, state.attempts >= 2, state.prefer);
    if (endpoint === undefined) {
      this.#giveUp(connection);
      return;
    }
    state.attempts++;
    state.endpoint = endpoint;
    state.row = endpoint.row;
    state.tryStartMs = nowMs;
    endpoint.load.pending++;
    admit(endpoint.breaker, nowMs);
    if (service.spec.kind !== "external")
      connection.held[connection.headLength - RETRIES_LEFT_DIGIT] = 48 + state.retriesLeft;
    const pooled = endpoint.pool.acquire();
    if (pooled !== undefined) {
      connection.attach(pooled);
      return;
    }
    if (!endpoint.pool.mayDial) {
      state.dialing = endpoint.pool.wait(() => this.#chooseAgain(connection));
      return;
    }
    const ended = endpoint.pool.dialBegins();
    const cancel = dial(
      this.#deps,
      service,
      endpoint,
      HTTP1,
      (stream) => {
        ended();
        this.#connected(connection, endpoint, stream);
      },
      (error, blame) => {
        ended();
        this.#unconnected(connection, error, blame);
      },
    );
    state.dialing = () => {
      ended();
      cancel();
    };
  }

  /** What was waited for may be had now, or the endpoint may have broken meanwhile: as if nothing had been chosen. */
  #chooseAgain(connection: Connection): void {
    const { state } = connection;
    state.dialing = undefined;
    this.#unjudged(state);
    state.attempts--;
    this.dispatch(connection);
  }

  #connected(connection: Connection, endpoint: Endpoint, stream: ByteStream): void {
    connection.state.dialing = undefined;
    const made = new ClientConnection(stream, endpoint.pool, this.#deps.engine.responseHead);
    const { metrics } = this.#deps;
    metrics.opened(endpoint.row);
    made.onGone = () => metrics.closed(endpoint.row);
    endpoint.pool.add(made);
    connection.attach(made);
  }

  #unconnected(connection: Connection, error: MeshError, blame: "endpoint" | "gateway"): void {
    const { state } = connection;
    state.dialing = undefined;
    state.dialError = error;
    this.#deps.engine.log.debug("outbound.connect.failed", {
      authority: state.service?.authority,
      endpoint: state.endpoint?.spec.id,
      cluster: state.endpoint?.group.cluster,
      attempt: state.attempts,
      blame,
      code: error.code,
      error: error.message,
    });
    this.#tryFailed(connection, "connect", blame === "endpoint");
  }

  cancel(connection: Connection): void {
    const { state } = connection;
    state.dialing?.();
    state.dialing = undefined;
    this.#unjudged(state);
  }

  /** The try ended without a word on the endpoint; where it was the breaker's probe, the next one is. */
  #unjudged(state: OutboundState): void {
    const endpoint = this.#settle(state);
    if (endpoint !== undefined) release(endpoint.breaker, this.#deps.clock.nowMs());
  }

  /** The try on the endpoint is over. */
  #settle(state: OutboundState): Endpoint | undefined {
    const { endpoint } = state;
    if (endpoint === undefined) return undefined;
    state.endpoint = undefined;
    endpoint.load.pending--;
    return endpoint;
  }

  rejects(connection: Connection, head: Head, b: Buffer): boolean {
    const { state } = connection;
    if (!this.trusted(connection)) return false;
    const code = errorOf(head, b);
    if (code === undefined || !isFailedTry(code)) return false;
    state.refusal = code;
    // Where it cannot be sent again the other proxy's own answer says best what is wrong.
    return this.#verdict(connection, "refused") !== "no";
  }

  #verdict(connection: Connection, failure: TryFailure): "free" | "budgeted" | "no" {
    const { attempts, retriesLeft, refusal: code } = connection.state;
    const { idempotent, replayable } = connection;
    return retryOf({ failure, code, idempotent, replayable, attempts, retriesLeft });
  }

  answered(connection: Connection, status: number): void {
    const { endpoint, tryStartMs, refusal } = connection.state;
    if (endpoint === undefined) return;
    const nowMs = this.#deps.clock.nowMs();
    observe(endpoint.load, nowMs - tryStartMs, nowMs);
    if (status < 500) succeed(endpoint.breaker);
    else this.#blame(endpoint, refusal !== undefined && neverDelivered({ failure: "refused", code: refusal }));
  }

  #blame(endpoint: Endpoint, decisive: boolean): void {
    const { clock, random, engine } = this.#deps;
    if (!fail(endpoint.breaker, decisive, clock.nowMs(), random)) return;
    engine.log.info("breaker.open", {
      endpoint: endpoint.spec.id,
      identity: endpoint.spec.identity,
      cluster: endpoint.group.cluster,
    });
  }

  failed(connection: Connection, failure: TryFailure, used: ClientConnection): void {
    // One connection that was dead on arrival: the others that idled with it are hardly better.
    if (failure === "reset" && used.uses > 1) used.pool.dropIdle();
    this.#tryFailed(connection, failure, failure !== "abandoned");
  }

  #tryFailed(connection: Connection, failure: TryFailure, blamed: boolean): void {
    const { state } = connection;
    const { service } = state;
    const verdict = this.#verdict(connection, failure);
    const endpoint = this.#settle(state);
    if (endpoint !== undefined) {
      const decisive = neverDelivered({ failure, code: state.refusal });
      if (blamed) this.#blame(endpoint, decisive);
      else release(endpoint.breaker, this.#deps.clock.nowMs());
      // A gateway that takes no connection says nothing about the endpoint: another one may lead there.
      if (blamed || failure === "abandoned") state.tried.push(endpoint);
      else service?.unreached(endpoint, state.tried);
    }
    if (service === undefined || verdict === "no" || connection.closed) {
      this.#giveUp(connection, failure);
      return;
    }
    if (verdict === "budgeted") {
      if (!withdraw(service.budget, this.#deps.clock.nowMs())) {
        this.#deps.metrics.retryRefused(state.row);
        this.#giveUp(connection, failure);
        return;
      }
      state.retriesLeft--;
    }
    state.refusal = undefined;
    this.#deps.metrics.retried(state.row);
    this.dispatch(connection);
  }

  /** Ends the request, or has it wait where that is likely to help: for a federated service, and if no app saw it. */
  #giveUp(connection: Connection, failure?: TryFailure): void {
    const { state } = connection;
    const { clock } = this.#deps;
    const mayWait = state.service?.spec.federated === true && connection.replayable && !connection.closed;
    const waitMs =
      mayWait && (failure === undefined || failure === "connect")
        ? pauseMs(state.pauses, clock.nowMs() - connection.startMs)
        : 0;
    if (waitMs > 0) {
      state.pauses++;
      state.attempts = attemptsAfterPause(state.attempts);
      state.tried.length = 0;
      state.dialing = clock.after(waitMs, () => {
        state.dialing = undefined;
        this.dispatch(connection);
      });
      return;
    }
    this.#deps.engine.log.debug("outbound.gave.up", {
      authority: state.service?.authority,
      failure,
      attempts: state.attempts,
      tried: state.tried.map(({ spec }) => spec.id),
      groups: state.service?.describe(),
    });
    connection.fail(
      refusalFor(
        state.service?.authority ?? "",
        failure ?? (state.dialError === undefined ? undefined : "connect"),
        state,
      ),
    );
  }

  finished(connection: Connection, status: number): void {
    const { state } = connection;
    this.#unjudged(state);
    this.#deps.metrics.request(state.row, status, this.#deps.clock.nowMs() - connection.startMs);
  }

  tunnel(connection: Connection, early: Buffer): void {
    openTunnel(this.#deps, connection, early);
  }

  bytes(connection: Connection, fromClient: boolean, count: number): void {
    this.#deps.metrics.bytes(connection.state.row, !fromClient, count);
  }

  trusted(connection: Connection): boolean {
    return connection.state.endpoint !== undefined && connection.state.endpoint.spec.identity !== "";
  }
}

function isAsterisk(head: Head, b: Buffer): boolean {
  return head.targetEnd - head.targetStart === 1 && b[head.targetStart] === 42;
}
