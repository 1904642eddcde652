// What tries ask of a request, whatever its protocol, and of how its protocol uses connections.
import type { ByteStream } from "../../transport/byte-stream.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import type { GatewayTarget } from "../balance/gateway-target.ts";
import type { Refusal } from "../http1/engine.ts";
import type { PrefaceProtocol } from "../preface.ts";
import type { TryState } from "./try-state.ts";

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
  /** Ends the try that is under way, if any: no more is wanted of it, and nothing more is told of it. */
  dropTry(): void;
  /** Ends the exchange: as `fail` where no answer has begun, else the client sees it cut short. */
  abort(refusal: Refusal): void;
}

/** Whoever limits how many connections are made to one endpoint at a time. */
export interface DialGate {
  readonly mayDial: boolean;
  /** No more may wait. */
  readonly full: boolean;
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
  /**
   * Sends it on a new connection, on which the preface has been sent; `gateway` is by which it goes, unless it shares
   * another's. Sets `stream.user`.
   */
  adopt(request: R, endpoint: Endpoint, stream: ByteStream, gateway: GatewayTarget | undefined): void;
}
