import type { MeshError } from "../../core/errors.ts";
import type { CancelConnect } from "../../transport/transport.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import type { Service } from "../balance/service.ts";
import type { Engine } from "../http1/engine.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { DialDeps } from "./dial.ts";
import type { Entry, ServiceTable } from "./service-table.ts";

/** What the handler keeps per client connection. */
export interface OutboundState {
  /** The authority text of the last request, and what it led to: apps ask for the same again and again. */
  text: string;
  /** The same as bytes. */
  host: Buffer;
  entry: Entry | undefined;
  service: Service | undefined;
  endpoint: Endpoint | undefined;
  tried: Endpoint[];
  attempts: number;
  /** How often it has waited for somebody to take it. */
  pauses: number;
  retriesLeft: number;
  /** Cluster that the app would have answer first; "" for the usual order. */
  prefer: string;
  dialing: CancelConnect | undefined;
  tryStartMs: number;
  /** Code of the answer that was turned down. */
  refusal: string | undefined;
  /** Why the last dial failed. */
  dialError: MeshError | undefined;
  row: number;
}

export function createOutboundState(row: number): OutboundState {
  return {
    text: "",
    host: Buffer.alloc(0),
    entry: undefined,
    service: undefined,
    endpoint: undefined,
    tried: [],
    attempts: 0,
    pauses: 0,
    retriesLeft: 0,
    prefer: "",
    dialing: undefined,
    tryStartMs: 0,
    refusal: undefined,
    dialError: undefined,
    row,
  };
}

export interface OutboundDeps extends DialDeps {
  readonly engine: Engine;
  readonly services: ServiceTable;
  readonly metrics: Metrics;
  /** Row of requests that name no service. */
  readonly unknownRow: number;
}
