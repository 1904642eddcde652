// One request: the stream it came on, the stream it goes out on, and what is held so that it can be sent again.
import type { TryFailure } from "../http1/client-connection.ts";
import type { Refusal } from "../http1/engine.ts";
import { isFailure } from "../observe/responses.ts";
import type { Http2ClientConnection } from "./client-connection.ts";
import type { Http2Engine } from "./engine.ts";
import { CANCEL, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM } from "./frames.ts";
import {
  GRPC_CANCELLED,
  GRPC_UNAVAILABLE,
  grpcStatusOfHttp,
  grpcStatusOfRefusal,
  grpcStatusOfReset,
} from "./grpc-status.ts";
import type { HeldRequest, ServedStream, StreamHandler } from "./handler.ts";
import { HeldBody } from "./held-body.ts";
import type { Field } from "./hpack/field.ts";
import {
  createAnswerInfo,
  createRequestInfo,
  dropOurs,
  OK,
  type RequestInfo,
  readAnswer,
  readRequest,
  readTrailers,
  shorten,
} from "./message.ts";
import { grpcCutFields, grpcLostFields, grpcRefusalFields, refusalBody, refusalFields } from "./refusal-fields.ts";
import { Stream, type StreamUser } from "./stream.ts";

const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);

// Parsing is synchronous, so that one record of each kind serves all.
const REQUEST = createRequestInfo();
const ANSWER = createAnswerInfo();

/**
 * `routing`: the handler waits for a name. `dispatch`: it looks for a connection. `sent`: it is on one. `answered`:
 * the head of an answer has gone out. `over`: nothing more.
 */
type Phase = "routing" | "dispatch" | "sent" | "answered" | "over";

export class Exchange<S> implements StreamUser, ServedStream<S> {
  readonly state: S;
  readonly fields: Field[] = [];
  readonly down: Stream = new Stream(this);
  readonly up: Stream = new Stream(this);
  startMs = 0;
  idempotent = false;
  replayable = false;
  /** An extended CONNECT: needs a connection whose peer takes it. */
  extended = false;
  readonly #engine: Http2Engine;
  readonly #handler: StreamHandler<S>;
  /** Where it is put when it is over, to be used again. */
  readonly #exchanges: { give(exchange: Exchange<S>): void };
  #client: Http2ClientConnection | undefined = undefined;
  #phase: Phase = "over";
  #generation = 0;
  #routed = false;
  #headOnly = false;
  #grpc = false;
  #status = 0;
  #grpcStatus = -1;
  #judgeAtEnd = false;
  /** Code of the reset that ended the last try; -1: none. */
  #resetCode = -1;
  readonly #body: HeldBody;

  constructor(engine: Http2Engine, handler: StreamHandler<S>, exchanges: { give(exchange: Exchange<S>): void }) {
    this.#engine = engine;
    this.#handler = handler;
    this.#exchanges = exchanges;
    this.#body = new HeldBody(engine.base.held);
    this.state = handler.createState();
    this.down.other = this.up;
    this.up.other = this.down;
  }

  get remoteAddress(): string {
    return this.down.connection?.remoteAddress ?? "";
  }

  get closed(): boolean {
    return !this.down.open;
  }

  get requestDone(): boolean {
    return this.down.receivedEnd;
  }

  held(): HeldRequest {
    return { fields: this.fields.slice(), body: this.#body.copy(), trailers: this.#body.trailers };
  }

  // --- the request

  /** Takes up the request whose header list is in `fields` and whose stream is `down`; false where it is malformed. */
  begin(listTooLarge: boolean): boolean {
    const { limits, base } = this.#engine;
    this.#phase = "routing";
    this.#routed = false;
    this.startMs = base.clock.nowMs();
    this.#status = 0;
    this.#grpcStatus = -1;
    this.#judgeAtEnd = false;
    this.#resetCode = -1;
    this.#headOnly = false;
    this.replayable = true;
    this.extended = false;
    if (listTooLarge || this.fields.length > limits.maxFields) {
      this.#grpc = false;
      this.fail({
        status: 431,
        code: "PROXY_BAD_REQUEST",
        message: "Cannot read the request: its header list is too large.",
      });
      return true;
    }
    if (readRequest(this.fields, REQUEST) !== OK) return false;
    const { method, contentLength } = REQUEST;
    if (contentLength > 0 && this.down.receivedEnd) return false;
    this.down.contentLeft = contentLength;
    this.idempotent = IDEMPOTENT.has(method);
    this.#headOnly = method === "HEAD";
    this.#grpc = REQUEST.grpc;
    this.extended = REQUEST.protocol !== "";
    if (method === "CONNECT" && !this.extended) {
      this.fail({
        status: 501,
        code: "PROXY_BAD_REQUEST",
        message: "Cannot open a tunnel in HTTP/2: use an extended CONNECT, or CONNECT in HTTP/1.1.",
      });
    } else if (base.turns === undefined || base.turns.take()) this.#route(REQUEST);
    else base.turns.later(this.waker());
    return true;
  }

  #route(info: RequestInfo): void {
    this.#routed = true;
    const verdict = this.#handler.route(this, info);
    if (verdict === "wait") return;
    if (verdict === "routed") {
      this.#phase = "dispatch";
      this.#handler.dispatch(this);
    } else this.fail(verdict);
  }

  waker(): () => void {
    const generation = this.#generation;
    const info = { ...REQUEST };
    return () => {
      if (this.#generation === generation && this.#phase === "routing") this.#route(info);
    };
  }

  attach(connection: Http2ClientConnection): void {
    if (this.#phase !== "dispatch") return;
    if (connection.over) {
      this.#client = connection;
      this.#phase = "sent";
      this.#tryFailed("untaken");
      return;
    }
    const verdict = this.extended ? connection.takesConnect(this.#later(connection)) : true;
    if (verdict === undefined) return;
    if (!verdict) {
      this.fail({
        status: 501,
        code: "PROXY_BAD_RESPONSE",
        message: "Cannot pass the extended CONNECT on: the endpoint does not take it.",
      });
      return;
    }
    const { up, down } = this;
    this.#client = connection;
    this.#phase = "sent";
    connection.open(up);
    const done = down.receivedEnd;
    const { bytes, length, trailers, empty } = this.#body;
    connection.sendHeaders(up, this.fields, done && empty);
    if (length > 0) connection.sendData(up, bytes, 0, length, done && trailers === undefined);
    if (trailers !== undefined) connection.sendHeaders(up, trailers, true);
  }

  #later(connection: Http2ClientConnection): () => void {
    const generation = this.#generation;
    return () => {
      if (this.#generation === generation && this.#phase === "dispatch") this.attach(connection);
    };
  }

  #takeBody(b: Buffer, start: number, end: number, last: boolean): void {
    const { up } = this;
    if (end > start) this.#handler.bytes(this, true, end - start);
    switch (this.#phase) {
      case "routing":
      case "dispatch":
        // No window is given back for it, so that the first one bounds what is held.
        this.#body.add(b, start, end);
        return;
      case "sent":
        if (this.replayable) {
          const { maxHeldBytes } = this.#engine.base.limits;
          if (this.#body.length + end - start <= maxHeldBytes) this.#body.add(b, start, end);
          else this.#release();
        }
        break;
      case "answered":
      case "over":
        break;
      default:
        this.#phase satisfies never;
    }
    const { connection } = up;
    if (up.open && connection !== undefined) connection.sendData(up, b, start, end, last);
    else this.down.connection?.credit(this.down, end - start);
  }

  /** It will not be sent again. */
  #release(): void {
    this.replayable = false;
    this.#body.release();
  }

  #takeTrailers(fields: Field[], end: boolean): void {
    const { up, down } = this;
    if (!end || readTrailers(fields) === -2 || down.contentLeft > 0) {
      down.connection?.malformed(down);
      return;
    }
    dropOurs(fields);
    if (this.#phase === "routing" || this.#phase === "dispatch" || this.replayable) {
      this.#body.trailers = fields.slice();
    }
    if (up.open) up.connection?.sendHeaders(up, fields, true);
  }

  // --- the answer

  onHeaders(stream: Stream, fields: Field[], end: boolean): void {
    if (stream === this.down) this.#takeTrailers(fields, end);
    else if (this.#phase === "answered") this.#takeAnswerTrailers(fields, end);
    else this.#takeAnswer(fields, end);
  }

  #takeAnswer(fields: Field[], end: boolean): void {
    const { up, down } = this;
    const client = this.#client;
    const { limits } = this.#engine;
    if (fields.length > limits.maxFields || readAnswer(fields, ANSWER) !== OK) {
      client?.malformed(up);
      return;
    }
    const { status, contentLength, grpc, grpcStatus, error } = ANSWER;
    if (status < 200) {
      if (end) client?.malformed(up);
      else {
        dropOurs(fields);
        down.connection?.sendHeaders(down, fields, false);
      }
      return;
    }
    const bodyless = this.#headOnly || status === 204 || status === 304;
    if (!bodyless) {
      if (end && contentLength > 0) {
        client?.malformed(up);
        return;
      }
      up.contentLeft = contentLength;
    }
    if (this.#handler.rejects(this, error, status, end ? grpcStatus : -1)) {
      up.connection?.cancel(up);
      this.#tryFailed("refused");
      return;
    }
    this.#phase = "answered";
    this.#status = status;
    const isGrpc = this.#grpc || grpc;
    if (isGrpc && status !== 200 && grpcStatus < 0) this.#grpcStatus = grpcStatusOfHttp(status);
    else if (isGrpc) this.#grpcStatus = grpcStatus;
    this.#grpc = isGrpc;
    this.#judgeAtEnd = isGrpc && !end && this.#grpcStatus < 0;
    this.#handler.answered(this, this.#judgeAtEnd ? undefined : !isFailure(status, end ? this.#grpcEnd : -1));
    this.#release();
    if (!this.#handler.trusted(this)) dropOurs(fields);
    this.#handler.amend(this, fields);
    down.connection?.sendHeaders(down, fields, end);
  }

  /** The gRPC status of an answer that has ended. */
  get #grpcEnd(): number {
    if (!this.#grpc) return -1;
    return this.#grpcStatus < 0 ? grpcStatusOfHttp(this.#status) : this.#grpcStatus;
  }

  #takeAnswerTrailers(fields: Field[], end: boolean): void {
    const { up, down } = this;
    const grpcStatus = readTrailers(fields);
    if (!end || grpcStatus === -2 || up.contentLeft > 0) {
      this.#client?.malformed(up);
      return;
    }
    if (grpcStatus >= 0) this.#grpcStatus = grpcStatus;
    this.#judge(!isFailure(this.#status, this.#grpcEnd));
    if (!this.#handler.trusted(this)) dropOurs(fields);
    down.connection?.sendHeaders(down, fields, true);
  }

  #judge(good: boolean): void {
    if (!this.#judgeAtEnd) return;
    this.#judgeAtEnd = false;
    this.#handler.judged(this, good);
  }

  onData(stream: Stream, b: Buffer, start: number, end: number, last: boolean): void {
    if (stream === this.down) {
      this.#takeBody(b, start, end, last);
      return;
    }
    const { down } = this;
    if (this.#phase !== "answered") {
      this.#client?.malformed(stream);
      return;
    }
    if (end > start) this.#handler.bytes(this, false, end - start);
    if (last) this.#judge(!isFailure(this.#status, this.#grpcEnd));
    down.connection?.sendData(down, b, start, end, last);
  }

  /** Answers the request in the endpoint's place. */
  fail(refusal: Refusal): void {
    const { down } = this;
    const { connection } = down;
    if (this.#phase === "answered" || this.#phase === "over" || connection === undefined || !down.open) return;
    if (this.#resetCode >= 0 && refusal.code === "PROXY_RESET") {
      // The app itself has reset the stream, and its code may mean something to the client.
      this.#grpcStatus = this.#grpc ? grpcStatusOfReset(this.#resetCode) : -1;
      connection.reset(down, this.#resetCode);
      return;
    }
    this.#phase = "answered";
    this.#release();
    this.#status = refusal.status;
    if (this.#grpc) {
      this.#status = 200;
      this.#grpcStatus = grpcStatusOfRefusal(refusal);
      connection.sendHeaders(down, grpcRefusalFields(refusal), true);
    } else {
      const body = refusalBody(refusal);
      connection.sendHeaders(down, refusalFields(refusal, body.length), this.#headOnly);
      if (!this.#headOnly) connection.sendData(down, body, 0, body.length, true);
    }
    // What still comes of the request is of no use to anybody (RFC 9113 section 8.1).
    if (down.open && !down.receivedEnd) connection.resetAfterQueue(down, NO_ERROR);
  }

  dropTry(): void {
    const { up } = this;
    if (this.#phase !== "sent") return;
    up.connection?.cancel(up);
    this.#client = undefined;
    this.#phase = "dispatch";
  }

  abort(refusal: Refusal): void {
    const { up, down } = this;
    this.dropTry();
    if (this.#phase !== "answered") {
      this.fail(refusal);
      return;
    }
    if (!down.open) return;
    if (up.open) up.connection?.cancel(up);
    // What waits for the client's window would have to go before trailers could; it is not worth the wait.
    if (this.#grpc && !down.waiting && !down.sentEnd) {
      this.#grpcStatus = grpcStatusOfRefusal(refusal);
      down.connection?.sendHeaders(down, grpcCutFields(refusal), true);
      if (down.open && !down.receivedEnd) down.connection?.resetAfterQueue(down, NO_ERROR);
      return;
    }
    this.#status = 0;
    down.connection?.reset(down, CANCEL);
  }

  // --- the end

  onReset(stream: Stream, code: number, malformed: boolean): void {
    if (stream === this.down) {
      this.#over(malformed ? PROTOCOL_ERROR : code);
      return;
    }
    if (this.#phase === "answered") this.#cutShort(malformed ? INTERNAL_ERROR : code, malformed || code !== CANCEL);
    else if (malformed) this.#tryFailed("malformed");
    else if (code === REFUSED_STREAM) this.#tryFailed("untaken");
    else {
      this.#resetCode = code;
      this.#tryFailed("reset");
    }
  }

  onLost(stream: Stream, unprocessed: boolean): void {
    if (stream === this.down) this.#over(CANCEL);
    else if (this.#phase === "answered") this.#lostAnswer();
    else this.#tryFailed(unprocessed ? "untaken" : "reset");
  }

  #tryFailed(failure: TryFailure): void {
    const client = this.#client;
    if (this.#phase !== "sent" || client === undefined) return;
    this.#client = undefined;
    this.#phase = "dispatch";
    this.#handler.failed(this, failure, client);
    this.#resetCode = -1;
  }

  abandon(stream: Stream): void {
    const { up } = this;
    if (stream !== up || this.#phase !== "sent" || !this.idempotent) return;
    up.connection?.cancel(up);
    this.#tryFailed("abandoned");
  }

  /** The answer's stream was reset after its head. */
  #cutShort(code: number, failed: boolean): void {
    const { up, down } = this;
    if (up.receivedEnd) {
      // It is complete, and the endpoint wants no more of the request (RFC 9113 section 8.1).
      down.connection?.resetAfterQueue(down, code);
      return;
    }
    if (this.#grpc) this.#grpcStatus = grpcStatusOfReset(code);
    if (failed) this.#judge(false);
    this.#status = 0;
    down.connection?.reset(down, code);
  }

  /** The connection that the answer came on is gone. */
  #lostAnswer(): void {
    const { up, down } = this;
    if (up.receivedEnd || !down.open) return;
    if (this.#grpc) {
      this.#grpcStatus = GRPC_UNAVAILABLE;
      this.#judge(false);
      down.connection?.sendHeaders(down, grpcLostFields(), true);
      if (down.open && !down.receivedEnd) down.connection?.resetAfterQueue(down, NO_ERROR);
      return;
    }
    this.#status = 0;
    down.connection?.reset(down, INTERNAL_ERROR);
  }

  onClosed(stream: Stream): void {
    if (stream === this.down) this.#over(NO_ERROR);
  }

  /** The client's stream has closed. */
  #over(code: number): void {
    const phase = this.#phase;
    if (phase === "over") return;
    const { up, down } = this;
    this.#phase = "over";
    this.#generation++;
    // The client has given up what the endpoint has not finished.
    const brokenOff = phase !== "answered" || !down.sentEnd;
    if (phase === "dispatch") this.#handler.cancel(this);
    if (up.open) {
      if (brokenOff) up.connection?.reset(up, code);
      else up.connection?.cancel(up);
    }
    if (brokenOff) this.#status = 0;
    if (brokenOff && this.#grpc && this.#grpcStatus < 0) this.#grpcStatus = GRPC_CANCELLED;
    if (this.#routed) this.#handler.finished(this, this.#status, brokenOff ? this.#grpcStatus : this.#grpcEnd);
    this.#release();
    this.#client = undefined;
    for (const stream of [up, down]) {
      if (stream.uncredited > 0) stream.connection?.settle(stream);
      stream.connection = undefined;
    }
    shorten(this.fields, 0);
    this.#exchanges.give(this);
  }
}
