import type { Clock } from "../../core/clock.ts";
import type { MeshErrorCode } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { ByteStream } from "../../transport/byte-stream.ts";
import type { Transport } from "../../transport/transport.ts";
import type { TurnLimit } from "../turn-limit.ts";
import type { ClientConnection, TryFailure } from "./client-connection.ts";
import { createHead, type Head, MAX_HEAD_BYTES, MAX_HEAD_FIELDS } from "./head.ts";
import type { RequestRewrite } from "./head-writer.ts";
import { HeldBuffers } from "./held-buffers.ts";

export interface ServerLimits {
  /** From the first byte of a head to its end. */
  readonly headMs: number;
  /** Without a request on an open connection. */
  readonly idleMs: number;
  /** Without a byte of a body that is awaited. */
  readonly bodyMs: number;
  /** With bytes that a reader does not take: a client of its answer, an endpoint of a request. */
  readonly stallMs: number;
  /** Of a body held for being sent again; over that it is sent once. */
  readonly maxHeldBytes: number;
  /** Of a request's head; larger ones are answered 431. */
  readonly maxHeadBytes: number;
  readonly maxHeadFields: number;
  /** Open connections; more are closed at once. */
  readonly maxConnections: number;
}

export const DEFAULT_LIMITS: ServerLimits = {
  headMs: 10_000,
  idleMs: 300_000,
  bodyMs: 60_000,
  stallMs: 60_000,
  maxHeldBytes: 65_536,
  maxHeadBytes: MAX_HEAD_BYTES,
  maxHeadFields: MAX_HEAD_FIELDS,
  maxConnections: 10_000,
};

/** What a proxy may add to a head that the next one of the mesh reads. */
export const ADDED_BYTES = 4_096;
export const ADDED_FIELDS = 8;

/** What the connections of one listener share. Parsing is synchronous, so one record of each kind serves all. */
export interface Engine {
  readonly clock: Clock;
  readonly log: Log;
  readonly transport: Transport;
  readonly limits: ServerLimits;
  /** Of the workload, where others share the process. */
  readonly turns: TurnLimit | undefined;
  readonly requestHead: Head;
  readonly responseHead: Head;
  readonly rewrite: RequestRewrite;
  readonly held: HeldBuffers;
  /** Open ones, tunnels included. */
  readonly connections: Set<{ drain(): void; destroy(): void }>;
  draining: boolean;
}

export function createEngine(deps: {
  clock: Clock;
  log: Log;
  transport: Transport;
  limits: ServerLimits;
  turns?: TurnLimit | undefined;
}): Engine {
  return {
    ...deps,
    turns: deps.turns,
    requestHead: createHead(deps.limits.maxHeadBytes, deps.limits.maxHeadFields),
    // The other proxy may have added to an answer, too.
    responseHead: createHead(MAX_HEAD_BYTES + ADDED_BYTES, MAX_HEAD_FIELDS + ADDED_FIELDS),
    rewrite: {
      targetStart: 0,
      targetEnd: 0,
      target: undefined,
      host: undefined,
      lines: Buffer.alloc(0),
      added: Buffer.alloc(0),
    },
    held: new HeldBuffers(),
    connections: new Set(),
    draining: false,
  };
}

/** An answer of our own. */
export interface Refusal {
  readonly status: number;
  /** Absent where nothing is wrong: a redirect. */
  readonly code?: MeshErrorCode;
  readonly message: string;
  /** Further fields of it, names in lower case. */
  readonly fields?: readonly (readonly [name: string, value: string])[];
}

/** `routed`: the rewrite is laid out. `wait`: `connection.again()` will be called. `tunnel`: the handler takes the stream. */
export type Verdict = "routed" | "wait" | "tunnel" | Refusal;

/** The request that is under way on a client's connection, as handlers see and steer it. */
export interface ServedRequest<S> {
  readonly stream: ByteStream;
  /** The handler's own. */
  readonly state: S;
  /** When the head was complete. */
  readonly startMs: number;
  readonly method: number;
  readonly minor: number;
  readonly upgradeAsked: boolean;
  readonly idempotent: boolean;
  /** All that was sent of it is still held. */
  readonly replayable: boolean;
  /** All of it has come. */
  readonly requestDone: boolean;
  /** The request as it goes out, `heldLength` bytes so far; its head ends at `headLength`. */
  readonly held: Buffer;
  readonly heldLength: number;
  readonly headLength: number;
  readonly closed: boolean;
  /** Sends it on `connection`. */
  attach(connection: ClientConnection): void;
  /** Routes the request that was made to wait. */
  again(): void;
  /** Answers it in the endpoint's place. */
  fail(refusal: Refusal): void;
  /** Ends the try that is under way, if any: no more is wanted of it, and `failed` is not called. */
  dropTry(): void;
  /** Ends the exchange: as `fail` where no answer has begun, else the client sees it cut short. */
  abort(refusal: Refusal): void;
  /** The handler has taken the stream over and is done with it. */
  forget(): void;
}

/** Where requests go: the difference between outbound and inbound. `S` is what it keeps per connection. */
export interface RequestHandler<S> {
  /** Decides on the request whose head was just parsed from `b`, and fills in `engine.rewrite`. */
  route(connection: ServedRequest<S>, head: Head, b: Buffer): Verdict;
  /** Sends the held request: `connection.attach` or `connection.fail`, now or later. */
  dispatch(connection: ServedRequest<S>): void;
  /** The client is gone: forget a dispatch that is under way. */
  cancel(connection: ServedRequest<S>): void;
  /** A final head came; true where the request is better sent elsewhere. */
  rejects(connection: ServedRequest<S>, head: Head, b: Buffer): boolean;
  /** The answer's head is going out. */
  answered(connection: ServedRequest<S>, status: number): void;
  /** The same head is about to be written: marks fields of it as not to be forwarded, returns lines to be added. */
  amend(connection: ServedRequest<S>, head: Head, b: Buffer): Buffer;
  /** A try failed before any byte of an answer was passed on: dispatch again, or fail. */
  failed(connection: ServedRequest<S>, failure: TryFailure, used: ClientConnection): void;
  /** The exchange is over; once for each request that was routed or refused. Status 0: it was broken off. */
  finished(connection: ServedRequest<S>, status: number): void;
  /** Takes over the stream of a CONNECT; `early` came after its head. */
  tunnel(connection: ServedRequest<S>, early: Buffer): void;
  /** Bytes of a tunnel or of bodies, as they pass. */
  bytes(connection: ServedRequest<S>, fromClient: boolean, count: number): void;
  /** Whether x-causeway-* fields of the answer are from a proxy of the mesh. */
  trusted(connection: ServedRequest<S>): boolean;
}
