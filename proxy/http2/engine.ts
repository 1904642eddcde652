import type { Engine } from "../http1/engine.ts";
import { DEFAULT_FLOOD_LIMITS, type FloodLimits } from "./flood-guard.ts";
import type { Field } from "./hpack/field.ts";
import { Outputs } from "./outputs.ts";

export interface Http2Limits extends FloodLimits {
  /** Of a header list, as RFC 9113 section 6.5.2 counts it. */
  readonly maxListBytes: number;
  readonly maxFields: number;
  /** Streams that a client may have open on a connection. */
  readonly maxStreams: number;
  /** Without a byte from the peer while streams are open, until it is pinged. */
  readonly pingAfterMs: number;
  /** For the answer to that. */
  readonly pingMs: number;
  /** Client connections without a stream. */
  readonly idleMs: number;
  /** Client connections take no new streams after this. */
  readonly maxAgeMs: number;
}

const DEFAULT_HTTP2_LIMITS: Http2Limits = {
  ...DEFAULT_FLOOD_LIMITS,
  maxListBytes: 65_536,
  maxFields: 200,
  maxStreams: 250,
  pingAfterMs: 10_000,
  pingMs: 10_000,
  idleMs: 60_000,
  maxAgeMs: 600_000,
};

/** What the HTTP/2 connections of one side share. */
export interface Http2Engine {
  /** With deadlines and held bytes as for HTTP/1.1, and the connections that drain and close with it. */
  readonly base: Engine;
  readonly limits: Http2Limits;
  readonly outputs: Outputs;
  /** For header lists that are passed on at once. */
  readonly fields: Field[];
  /** Called with the error's name (RFC 9113 section 7) when this side ends a connection for what the peer did. */
  readonly failed: (error: string) => void;
}

export function createHttp2Engine(
  base: Engine,
  limits: Partial<Http2Limits> = {},
  failed: (error: string) => void = () => {},
): Http2Engine {
  const { wheel } = base.transport;
  return { base, limits: { ...DEFAULT_HTTP2_LIMITS, ...limits }, outputs: new Outputs(wheel), fields: [], failed };
}
