// Copies of HTTP/2 requests, for a rule's mirrors. Nobody waits for them, and what they are answered is thrown away.
import type { ByteStream } from "../../transport/byte-stream.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import type { GatewayTarget } from "../balance/gateway-target.ts";
import type { Http2ClientConnection } from "../http2/client-connection.ts";
import type { Http2Engine } from "../http2/engine.ts";
import { REFUSED_STREAM } from "../http2/frames.ts";
import { grpcStatusOfHttp } from "../http2/grpc-status.ts";
import type { HeldRequest } from "../http2/handler.ts";
import type { Field } from "../http2/hpack/field.ts";
import { createAnswerInfo, OK, readAnswer, readTrailers } from "../http2/message.ts";
import { retriesLeftField } from "../http2/our-fields.ts";
import { Stream, type StreamUser } from "../http2/stream.ts";
import { isFailure } from "../observe/responses.ts";
import { HTTP2 } from "../preface.ts";
import type { MirrorTarget } from "../route/route-table.ts";
import { COPY_TERMS, Copies, MAX_ANSWER_BYTES } from "./copies.ts";
import { joinPool } from "./http2-join.ts";
import type { DialGate, OutboundRequest, RequestProtocol } from "./outbound-request.ts";
import type { OutboundDeps } from "./outbound-state.ts";
import { Tries } from "./tries.ts";
import { TryState } from "./try-state.ts";

// Parsing is synchronous, so that one record serves all.
const ANSWER = createAnswerInfo();

/** Sends the copies of one workload's requests. */
export class Http2Mirrors implements RequestProtocol<MirroredStream> {
  readonly preface = HTTP2;
  readonly #deps: OutboundDeps;
  readonly #engine: Http2Engine;
  readonly #tries: Tries<MirroredStream>;
  readonly #copies: Copies;

  constructor(deps: OutboundDeps, engine: Http2Engine) {
    this.#deps = deps;
    this.#engine = engine;
    this.#tries = new Tries({ ...deps, log: deps.engine.log }, this);
    this.#copies = new Copies(deps);
  }

  /** The request cannot be copied: not all of it is held. */
  skip(): void {
    this.#copies.skip();
  }

  /**
   * Sends a copy to as many of `targets` as their shares say. What `original` gives, without the mesh's own fields, is
   * kept.
   */
  copy(targets: readonly MirrorTarget[], original: () => HeldRequest): void {
    let made: HeldRequest | undefined;
    this.#copies.each(targets, (service, over) => {
      made ??= original();
      const { fields } = made;
      const sent = service.spec.kind === "external" ? fields : [...fields, retriesLeftField(0)];
      const request = new MirroredStream({ ...made, fields: sent }, this.#deps, this.#tries, over);
      this.#tries.begin(request, service, COPY_TERMS);
      this.#tries.dispatch(request);
    });
  }

  gate(endpoint: Endpoint): DialGate {
    return endpoint.http2;
  }

  reuse(request: MirroredStream, endpoint: Endpoint): boolean {
    const connection = endpoint.http2.acquire();
    if (connection === undefined) return false;
    request.send(connection);
    return true;
  }

  adopt(request: MirroredStream, endpoint: Endpoint, stream: ByteStream, gateway: GatewayTarget | undefined): void {
    request.send(joinPool(this.#deps, this.#engine, endpoint, stream, gateway));
  }
}

class MirroredStream implements OutboundRequest, StreamUser {
  readonly state: TryState;
  readonly startMs: number;
  /** Once is enough. */
  readonly idempotent = false;
  readonly replayable = true;
  closed = false;
  readonly #original: HeldRequest;
  readonly #tries: Tries<MirroredStream>;
  readonly #onOver: (good: boolean) => void;
  readonly #stream = new Stream(this);
  /** 0: no answer yet. */
  #status = 0;
  #grpc = false;
  #grpcStatus = -1;
  #answerBytes = 0;

  constructor(
    original: HeldRequest,
    { clock, unknownRow }: OutboundDeps,
    tries: Tries<MirroredStream>,
    onOver: (good: boolean) => void,
  ) {
    this.startMs = clock.nowMs();
    this.state = new TryState(unknownRow);
    this.#original = original;
    this.#tries = tries;
    this.#onOver = onOver;
  }

  send(connection: Http2ClientConnection): void {
    if (connection.over) {
      this.#tries.failed(this, "untaken");
      return;
    }
    const { fields, body, trailers } = this.#original;
    const stream = this.#stream;
    connection.open(stream);
    connection.sendHeaders(stream, fields, body.length === 0 && trailers === undefined);
    if (body.length > 0) connection.sendData(stream, body, 0, body.length, trailers === undefined);
    if (trailers !== undefined) connection.sendHeaders(stream, trailers, true);
  }

  #over(status: number): void {
    if (this.closed) return;
    this.closed = true;
    // Some of the request may still wait for a window; nobody wants it any more.
    this.dropTry();
    this.#tries.finished(this, status, status === 0 ? -1 : this.#grpcStatus);
    this.#onOver(!isFailure(status, this.#grpcStatus));
  }

  fail(): void {
    this.#over(0);
  }

  dropTry(): void {
    const stream = this.#stream;
    if (stream.open) stream.connection?.cancel(stream);
  }

  abort(): void {
    this.#over(0);
  }

  onHeaders(stream: Stream, fields: Field[], end: boolean): void {
    if (this.#status > 0) {
      const grpcStatus = readTrailers(fields);
      if (!end || grpcStatus === -2) {
        stream.connection?.malformed(stream);
        return;
      }
      if (grpcStatus >= 0) this.#grpcStatus = grpcStatus;
      this.#ended();
      return;
    }
    if (readAnswer(fields, ANSWER) !== OK || (ANSWER.status < 200 && end)) {
      stream.connection?.malformed(stream);
      return;
    }
    if (ANSWER.status < 200) return;
    this.#status = ANSWER.status;
    this.#grpc = ANSWER.grpc;
    this.#grpcStatus = ANSWER.grpc ? ANSWER.grpcStatus : -1;
    // Only the end of a gRPC answer says whether the endpoint works.
    this.#tries.answered(this, undefined);
    if (end) this.#ended();
  }

  #ended(): void {
    if (this.closed) return;
    if (this.#grpc && this.#grpcStatus < 0) this.#grpcStatus = grpcStatusOfHttp(this.#status);
    this.#tries.judged(this, !isFailure(this.#status, this.#grpcStatus));
    this.#over(this.#status);
  }

  onData(stream: Stream, _b: Buffer, start: number, end: number, last: boolean): void {
    if (this.#status === 0) {
      stream.connection?.malformed(stream);
      return;
    }
    stream.connection?.credit(stream, end - start);
    this.#answerBytes += end - start;
    if (last) this.#ended();
    else if (this.#answerBytes > MAX_ANSWER_BYTES) this.#over(this.#status);
  }

  onReset(_stream: Stream, code: number, malformed: boolean): void {
    this.#lost(malformed ? "malformed" : code === REFUSED_STREAM ? "untaken" : "reset");
  }

  onLost(_stream: Stream, unprocessed: boolean): void {
    this.#lost(unprocessed ? "untaken" : "reset");
  }

  #lost(failure: "malformed" | "untaken" | "reset"): void {
    if (this.closed) return;
    if (this.#status > 0) this.#over(0);
    else this.#tries.failed(this, failure);
  }

  /** Nobody waits for it as it is. */
  abandon(): void {}

  onClosed(): void {}
}
