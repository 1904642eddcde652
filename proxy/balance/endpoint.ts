import type { ConnectionPool } from "../http1/connection-pool.ts";
import type { Http2Pool } from "../http2/http2-pool.ts";
import type { Breaker } from "../resilience/breaker.ts";
import type { Failback } from "./failback.ts";
import type { GatewayTarget } from "./gateway-target.ts";
import type { MuxPaths } from "./mux-paths.ts";
import type { Load } from "./peak-ewma.ts";

/** What control says of an endpoint. */
export interface EndpointSpec {
  readonly id: string;
  readonly address: string;
  /** Of the app. */
  readonly port: number;
  /** 0: no proxy, a plain connection to address:port. */
  readonly proxyPort: number;
  /** SPIFFE ID to be verified; empty where there is no proxy. */
  readonly identity: string;
  /** SNI at a gateway; empty for a local endpoint. */
  readonly routeName: string;
  readonly ready: boolean;
  /** "" where it is not known. */
  readonly zone: string;
}

/** An endpoint with what this proxy knows of it. Lives as long as control names it. */
export interface Endpoint {
  readonly spec: EndpointSpec;
  readonly group: Group;
  readonly load: Load;
  readonly breaker: Breaker;
  readonly pool: ConnectionPool;
  /** What carries the connections of `pool` to its proxy; undefined where they go on their own. Closed by the pool. */
  readonly mux: MuxPaths | undefined;
  readonly http2: Http2Pool;
  /** Row of its metrics. */
  readonly row: number;
  /** Until then it is warming up; see slow-start.ts. */
  rampUntilMs: number;
}

/** The endpoints of one cluster. */
export interface Group {
  /** Empty: the own one. */
  readonly cluster: string;
  readonly trustDomain: string;
  endpoints: readonly Endpoint[];
  /** Of `endpoints`, those that control calls ready. */
  ready: readonly Endpoint[];
  /** Of `ready`, those of the own zone where they are preferred; none: zones make no difference. */
  near: readonly Endpoint[];
  /** How many of `endpoints` are in the own zone. */
  nearTotal: number;
  gateways: readonly GatewayTarget[];
  /** Groups of one level share its traffic; undefined: a level of its own. */
  level: number | undefined;
  /** Among those of its level; 0: by number of endpoints. */
  weight: number;
  /** Of all that the service has there, where `endpoints` is but a part. */
  counts: { readonly total: number; readonly ready: number } | undefined;
  readonly failback: Failback;
}
