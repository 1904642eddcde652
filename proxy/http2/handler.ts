import type { TryFailure } from "../http1/client-connection.ts";
import type { Refusal } from "../http1/engine.ts";
import type { Http2ClientConnection } from "./client-connection.ts";
import type { Field } from "./hpack/field.ts";
import type { RequestInfo } from "./message.ts";

/** All of a request, for sending it elsewhere. */
export interface HeldRequest {
  readonly fields: Field[];
  readonly body: Buffer;
  readonly trailers: Field[] | undefined;
}

/** A request that is under way, as handlers see and steer it. */
export interface ServedStream<S> {
  /** The handler's own; reused. */
  readonly state: S;
  readonly startMs: number;
  readonly idempotent: boolean;
  /** All that was sent of it is still held. */
  readonly replayable: boolean;
  /** All of it has come. */
  readonly requestDone: boolean;
  readonly closed: boolean;
  /** As it goes out: x-causeway-* fields are taken out, the handler may add its own. */
  readonly fields: Field[];
  /** A copy of all that is held, which is the whole request where it is done and replayable. */
  held(): HeldRequest;
  /** Sends it on `connection`. */
  attach(connection: Http2ClientConnection): void;
  /** What is to be called to route a request again that was made to wait; does nothing once that is over. */
  waker(): () => void;
  /** Answers it in the endpoint's place. */
  fail(refusal: Refusal): void;
  /** Ends the try that is under way, if any: no more is wanted of it, and `failed` is not called. */
  dropTry(): void;
  /** Ends the exchange: as `fail` where no answer has begun, else the client sees it cut short. */
  abort(refusal: Refusal): void;
  /** Address of the client. */
  readonly remoteAddress: string;
}

/** `routed`: dispatch is next. `wait`: the waker will be called. */
export type StreamVerdict = "routed" | "wait" | Refusal;

/** Where requests of one client's connection go: the difference between outbound and inbound. */
export interface StreamHandler<S> {
  createState(): S;
  /** Decides on a new request. `info` is valid during the call, and again when it is routed once more. */
  route(request: ServedStream<S>, info: RequestInfo): StreamVerdict;
  /** Sends it: `request.attach` or `request.fail`, now or later. */
  dispatch(request: ServedStream<S>): void;
  /** The client is gone: forget a dispatch that is under way. */
  cancel(request: ServedStream<S>): void;
  /**
   * A final answer's head, with x-causeway-error `code` and, where it is all of a gRPC answer, its status, else -1; true
   * where the request is better sent elsewhere.
   */
  rejects(request: ServedStream<S>, code: string | undefined, status: number, grpcStatus: number): boolean;
  /** The answer's head is going out. `good` is undefined where only the end will tell: `judged` follows. */
  answered(request: ServedStream<S>, good: boolean | undefined): void;
  judged(request: ServedStream<S>, good: boolean): void;
  /** The same head is about to be passed on; changes it. */
  amend(request: ServedStream<S>, fields: Field[]): void;
  /** A try failed before anything of an answer was passed on: dispatch again, or fail. */
  failed(request: ServedStream<S>, failure: TryFailure, used: Http2ClientConnection): void;
  /** It is over; once for each. Status 0: broken off; `grpcStatus` -1: not gRPC. */
  finished(request: ServedStream<S>, status: number, grpcStatus: number): void;
  /** Bytes of bodies, as they pass. */
  bytes(request: ServedStream<S>, fromClient: boolean, count: number): void;
  /** Whether x-causeway-* fields of the answer are from a proxy of the mesh. */
  trusted(request: ServedStream<S>): boolean;
}
