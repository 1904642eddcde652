// HTTP/2 requests for the app of this workload, of other proxies and of callers outside of the mesh.
import type { MeshErrorCode } from "../../core/errors.ts";
import type { Identity, TrustDomain } from "../../core/identity.ts";
import type { TryFailure } from "../http1/client-connection.ts";
import { Http2ClientConnection } from "../http2/client-connection.ts";
import type { Http2Engine } from "../http2/engine.ts";
import type { FloodLimits } from "../http2/flood-guard.ts";
import type { ServedStream, StreamHandler, StreamVerdict } from "../http2/handler.ts";
import { type Field, field } from "../http2/hpack/field.ts";
import type { Http2Pool } from "../http2/http2-pool.ts";
import type { RequestInfo } from "../http2/message.ts";
import { deadlineField, retriesLeftField } from "../http2/our-fields.ts";
import { type InboundDeps, TOO_LATE } from "./inbound-handler.ts";
import type { Placed } from "./inbound-limits.ts";

interface StreamState extends Placed {
  /** Sends so far, less the first one. */
  retries: number;
}

type Request = ServedStream<StreamState>;

/** The peer of a connection, and what it asks for. */
export interface Http2Peer {
  /** Empty: it has shown none. */
  readonly identity: Identity | "";
  readonly trustDomain: TrustDomain;
  /** Port of the app. */
  readonly port: number;
  readonly row: number;
}

export interface Http2InboundDeps extends InboundDeps {
  /** HTTP/2 connections to the app by port. */
  readonly http2Pool: (port: number) => Http2Pool;
  /** Of a connection of HTTP/2. */
  readonly floods: FloodLimits;
}

const MAX_RETRIES = 2;

/** Of one connection. */
export class Http2InboundHandler implements StreamHandler<StreamState> {
  readonly #deps: Http2InboundDeps;
  readonly #engine: Http2Engine;
  readonly #peer: Http2Peer;
  readonly #clientId: Field | undefined;

  constructor(deps: Http2InboundDeps, engine: Http2Engine, peer: Http2Peer) {
    this.#deps = deps;
    this.#engine = engine;
    this.#peer = peer;
    this.#clientId = peer.identity === "" ? undefined : field("x-causeway-client-id", peer.identity);
  }

  createState(): StreamState {
    return { gate: undefined, dialing: undefined, retries: 0 };
  }

  route({ state, fields }: Request, info: RequestInfo): StreamVerdict {
    const { identity, trustDomain, port, row } = this.#peer;
    const { admission, metrics } = this.#deps;
    state.dialing = undefined;
    state.retries = 0;
    // Asked for each request: an export may end while a connection is open.
    if (!admission.allows(trustDomain, port)) {
      metrics.denied(row);
      return {
        status: 403,
        code: "PROXY_DENIED",
        message: `Cannot let ${identity || "a caller without an identity"} call port ${port}: it is not exported to it.`,
      };
    }
    const excess = this.#deps.limits.refuses(identity, port, row);
    if (excess !== undefined) return excess;
    // Who is not of the mesh has no say in budgets.
    if (this.#clientId === undefined) return "routed";
    if (info.deadlineMs === 0) return TOO_LATE;
    fields.push(this.#clientId);
    if (info.retriesLeft !== undefined) fields.push(retriesLeftField(info.retriesLeft));
    if (info.deadlineMs !== undefined) fields.push(deadlineField(info.deadlineMs));
    return "routed";
  }

  dispatch(request: Request): void {
    const { port, row } = this.#peer;
    const { limits } = this.#deps;
    if (limits.enter(request.state, port)) {
      this.#send(request);
      return;
    }
    const go = () => this.#send(request);
    limits.queue(request.state, port, row, go, (refusal) => request.fail(refusal));
  }

  #send(request: Request): void {
    const { port } = this.#peer;
    const pool = this.#deps.http2Pool(port);
    const pooled = pool.acquire();
    if (pooled !== undefined) request.attach(pooled);
    else if (pool.mayDial) this.#dial(request, pool);
    else {
      request.state.dialing = pool.wait(() => {
        request.state.dialing = undefined;
        this.#send(request);
      });
    }
  }

  #dial(request: Request, pool: Http2Pool): void {
    const { state } = request;
    const { port } = this.#peer;
    const { transport, apps, connectMs, engine } = this.#deps;
    const ended = pool.dialBegins();
    const cancel = transport.connectTcp(
      { ...apps.of(port), timeoutMs: connectMs },
      (stream) => {
        ended();
        state.dialing = undefined;
        const made = new Http2ClientConnection(stream, this.#engine, pool);
        pool.add(made);
        request.attach(made);
        return stream.user;
      },
      (error) => {
        ended();
        state.dialing = undefined;
        engine.log.debug("inbound.connect.failed", { port, error: error.message });
        this.#refuse(request, "PROXY_CONNECT_FAILED", apps.refusal(port));
      },
    );
    state.dialing = () => {
      ended();
      cancel();
    };
  }

  #refuse(request: Request, code: MeshErrorCode, why: string): void {
    request.fail({ status: 502, code, message: `Cannot reach the app on port ${this.#peer.port}: ${why}` });
  }

  failed(request: Request, failure: TryFailure, used: Http2ClientConnection): void {
    const { state } = request;
    // The app was just closing a connection that had been in use: that is no fault of either.
    const stale = failure === "reset" && used.over && used.uses > 1 && request.idempotent;
    if (request.replayable && state.retries < MAX_RETRIES && (failure === "untaken" || stale)) {
      state.retries++;
      this.#send(request);
    } else if (failure === "untaken") this.#refuse(request, "PROXY_OVERLOADED", "it takes no more streams.");
    else if (failure === "malformed") this.#refuse(request, "PROXY_BAD_RESPONSE", "its answer breaks HTTP's rules.");
    else if (!used.settled) this.#refuse(request, "PROXY_RESET", "it ended the connection without a word of HTTP/2.");
    else this.#refuse(request, "PROXY_RESET", "it ended the stream before it answered.");
  }

  cancel({ state }: Request): void {
    state.dialing?.();
    state.dialing = undefined;
  }

  rejects(): boolean {
    return false;
  }

  answered(): void {}

  judged(): void {}

  amend(): void {}

  finished({ state, startMs }: Request, status: number, grpcStatus: number): void {
    this.#deps.limits.leave(state);
    const { metrics, clock } = this.#deps;
    metrics.request(this.#peer.row, status, clock.nowMs() - startMs, grpcStatus);
  }

  bytes(_request: Request, fromClient: boolean, count: number): void {
    this.#deps.metrics.bytes(this.#peer.row, fromClient, count);
  }

  /** The app may not speak for the mesh. */
  trusted(): boolean {
    return false;
  }
}
