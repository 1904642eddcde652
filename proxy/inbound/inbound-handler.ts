// Requests of other proxies for the app of this workload.
import type { Clock } from "../../core/clock.ts";
import type { MeshErrorCode } from "../../core/errors.ts";
import type { Identity, TrustDomain } from "../../core/identity.ts";
import type { MuxContext } from "../../transport/mux/mux-context.ts";
import type { CancelConnect, Transport } from "../../transport/transport.ts";
import { isHttp2Only } from "../detect/port-hint.ts";
import { ClientConnection, type TryFailure } from "../http1/client-connection.ts";
import type { ConnectionPool } from "../http1/connection-pool.ts";
import type { Engine, Refusal, RequestHandler, ServedRequest, Verdict } from "../http1/engine.ts";
import { CONNECT, type Head, OPTIONS } from "../http1/head.ts";
import { deadlineOf, retriesLeftOf } from "../http1/our-fields.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { InFlightGate } from "../resilience/in-flight-gate.ts";
import type { Admission } from "./admission.ts";
import type { AppAddresses } from "./app-addresses.ts";
import type { InboundLimits } from "./inbound-limits.ts";

export interface InboundState {
  /** Empty: it has shown none. */
  readonly peer: Identity | "";
  readonly trustDomain: TrustDomain;
  /** Port of the app. */
  readonly port: number;
  readonly row: number;
  /** Field lines added to each request, by the retries that the caller leaves; the last ones where it does not say. */
  readonly added: readonly Buffer[];
  gate: InFlightGate | undefined;
  dialing: CancelConnect | undefined;
  retried: boolean;
  /** A new connection: the pooled one was dead. */
  fresh: boolean;
}

export interface InboundDeps {
  readonly engine: Engine;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly mux: MuxContext;
  readonly admission: Admission;
  readonly apps: AppAddresses;
  readonly limits: InboundLimits;
  readonly connectMs: number;
  /** Connections to the app by port. */
  readonly pool: (port: number) => ConnectionPool;
}

/** Index of the fields where the caller says nothing of retries; what it says is one digit. */
const NOT_SAID = 10;
const NO_FIELDS = Buffer.alloc(0);

/** The caller does not wait for it any more, so no app should work on it. */
export const TOO_LATE: Refusal = {
  status: 504,
  code: "PROXY_TIMEOUT",
  message: "Cannot take the request: the caller's time for it is over.",
};

/**
 * What requests of `peer` get added. An app that passes `x-causeway-retries-left` on, as it would a trace, has its
 * own calls share the caller's budget, so that retries do not multiply from hop to hop.
 */
export function addedFields(peer: Identity): readonly Buffer[] {
  const client = `x-causeway-client-id: ${peer}\r\n`;
  const lines = Array.from({ length: NOT_SAID }, (_, left) => `${client}x-causeway-retries-left: ${left}\r\n`);
  return [...lines, client].map((line) => Buffer.from(line, "latin1"));
}

/** Label of what is asked for: the service and its port. */
export function authorityOf(service: string, port: number): string {
  return service === "" ? `:${port}` : `${service}:${port}`;
}

type Connection = ServedRequest<InboundState>;

export class InboundHandler implements RequestHandler<InboundState> {
  readonly #deps: InboundDeps;

  constructor(deps: InboundDeps) {
    this.#deps = deps;
  }

  route(connection: Connection, head: Head, b: Buffer): Verdict {
    const { rewrite } = this.#deps.engine;
    const { state } = connection;
    state.retried = false;
    state.fresh = false;
    // Asked for each request: an export may end while a connection is open.
    if (!this.#deps.admission.allows(state.trustDomain, state.port)) {
      this.#deps.metrics.denied(state.row);
      return {
        status: 403,
        code: "PROXY_DENIED",
        message: `Cannot let ${state.peer} call port ${state.port}: it is not exported to it.`,
      };
    }
    const excess = this.#deps.limits.refuses(state.peer, state.port, state.row);
    if (excess !== undefined) return excess;
    // Who is not of the mesh has no say in it.
    const deadlineMs = state.peer === "" ? undefined : deadlineOf(head, b);
    if (deadlineMs === 0) return TOO_LATE;
    const first = b[head.targetStart];
    const asterisk = first === 42 && head.method === OPTIONS && head.targetEnd - head.targetStart === 1;
    // Our outbound side sends nothing else, and an app should not have to tell absolute-form from a path.
    if ((first !== 47 && !asterisk) || head.method === CONNECT) {
      return { status: 400, code: "PROXY_BAD_REQUEST", message: "Cannot read the request: its target is not a path." };
    }
    rewrite.targetStart = head.targetStart;
    rewrite.targetEnd = head.targetEnd;
    rewrite.target = undefined;
    rewrite.host = undefined;
    rewrite.lines =
      deadlineMs === undefined ? NO_FIELDS : Buffer.from(`x-causeway-deadline-ms: ${deadlineMs}\r\n`, "latin1");
    rewrite.added = state.added[retriesLeftOf(head, b) ?? NOT_SAID] ?? NO_FIELDS;
    return "routed";
  }

  dispatch(connection: Connection): void {
    const { state } = connection;
    const { limits } = this.#deps;
    if (limits.enter(state, state.port)) {
      this.#send(connection);
      return;
    }
    const go = () => this.#send(connection);
    limits.queue(state, state.port, state.row, go, (refusal) => connection.fail(refusal));
  }

  #send(connection: Connection): void {
    const { state } = connection;
    const { transport, apps, connectMs, engine } = this.#deps;
    const pool = this.#deps.pool(state.port);
    const pooled = state.fresh ? undefined : pool.acquire();
    if (pooled !== undefined) {
      connection.attach(pooled);
      return;
    }
    state.dialing = transport.connectTcp(
      { ...apps.of(state.port), timeoutMs: connectMs },
      (stream) => {
        state.dialing = undefined;
        const made = new ClientConnection(stream, pool, engine.responseHead);
        pool.add(made);
        connection.attach(made);
        return stream.user;
      },
      (error) => {
        state.dialing = undefined;
        engine.log.debug("inbound.connect.failed", { port: state.port, error: error.message });
        this.#refuse(connection, "PROXY_CONNECT_FAILED", apps.refusal(state.port));
      },
    );
  }

  #refuse(connection: Connection, code: MeshErrorCode, why: string): void {
    const { port } = connection.state;
    const appProtocol = this.#deps.admission.protocolOf(port);
    const hint = isHttp2Only(appProtocol)
      ? ` It speaks HTTP/2 (appProtocol ${appProtocol}), and this is HTTP/1.1.`
      : "";
    connection.fail({ status: 502, code, message: `Cannot reach the app on port ${port}: ${why}${hint}` });
  }

  failed(connection: Connection, failure: TryFailure, used: ClientConnection): void {
    const { state } = connection;
    // The app closed a connection that idled just as the request went out: that is no fault of either.
    if (failure === "reset" && used.uses > 1 && !state.retried && connection.idempotent && connection.replayable) {
      state.retried = true;
      state.fresh = true;
      used.pool.dropIdle();
      this.#send(connection);
    } else if (failure === "malformed")
      this.#refuse(connection, "PROXY_BAD_RESPONSE", "its answer breaks HTTP's framing rules.");
    else this.#refuse(connection, "PROXY_RESET", "it closed the connection before it answered.");
  }

  cancel(connection: Connection): void {
    connection.state.dialing?.();
    connection.state.dialing = undefined;
  }

  rejects(): boolean {
    return false;
  }

  answered({ state }: Connection, status: number): void {
    if (status === 101) this.#deps.limits.leave(state);
  }

  amend(): Buffer {
    return NO_FIELDS;
  }

  finished(connection: Connection, status: number): void {
    this.#deps.limits.leave(connection.state);
    this.#deps.metrics.request(connection.state.row, status, this.#deps.clock.nowMs() - connection.startMs);
  }

  /** Between proxies a tunnel is asked for in the preface, so CONNECT never gets this far. */
  tunnel(connection: Connection): void {
    connection.stream.destroy();
  }

  bytes(connection: Connection, fromClient: boolean, count: number): void {
    this.#deps.metrics.bytes(connection.state.row, fromClient, count);
  }

  /** The app may not speak for the mesh. */
  trusted(): boolean {
    return false;
  }
}
