import type { Breaker } from "../resilience/breaker.ts";
import type { Load } from "./peak-ewma.ts";

/** Where a cluster's gateway is dialled; one for all services, so that what it does to one is known to all. */
export interface GatewayTarget {
  readonly host: string;
  readonly port: number;
  readonly load: Load;
  readonly breaker: Breaker;
  /** How often something came back through it; what no connection waits for says nothing. */
  readonly answers: { count: number };
  /** When it last led to an endpoint, whichever. */
  connectedMs: number;
}

/** Whose fault a failed dial is: a gateway that takes no connection says nothing about the endpoint behind it. */
export type Blame = "endpoint" | "gateway";
