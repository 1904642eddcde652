import type { ByteStream } from "../../transport/byte-stream.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import type { GatewayTarget } from "../balance/gateway-target.ts";
import type { Service } from "../balance/service.ts";
import { Http2ClientConnection } from "../http2/client-connection.ts";
import type { Http2Engine } from "../http2/engine.ts";
import type { Metrics } from "../observe/metrics.ts";
import { HTTP2 } from "../preface.ts";
import { admits } from "../resilience/breaker.ts";
import { type DialDeps, dial } from "./dial.ts";

/** How often a pool is looked at for gateways that it has no connection through. */
const SPREAD_MS = 1_000;

/** Makes of a new connection to `endpoint` one that its HTTP/2 requests share. */
export function joinPool(
  { metrics }: { readonly metrics: Metrics },
  engine: Http2Engine,
  endpoint: Endpoint,
  stream: ByteStream,
  gateway: GatewayTarget | undefined,
): Http2ClientConnection {
  const made = new Http2ClientConnection(stream, engine, endpoint.http2, gateway);
  metrics.opened(endpoint.row);
  if (gateway !== undefined) gateway.load.pending++;
  made.onGone = () => {
    metrics.closed(endpoint.row);
    if (gateway !== undefined) gateway.load.pending--;
  };
  endpoint.http2.add(made);
  return made;
}

/**
 * Makes a connection, which nobody waits for, through a gateway that none of the endpoint's goes through: one that has
 * only come back, say. Streams are then shared out over all of them. Where one stream at a time is all there is, there
 * is nothing to share.
 */
export function spread(deps: DialDeps, engine: Http2Engine, service: Service | undefined, endpoint: Endpoint): void {
  const { http2, group } = endpoint;
  const nowMs = deps.clock.nowMs();
  if (nowMs < http2.spreadMs || service === undefined) return;
  http2.spreadMs = nowMs + SPREAD_MS;
  if (http2.streams < 2) return;
  const due = group.gateways.find((gateway) => admits(gateway.breaker, nowMs) && !http2.leadsBy(gateway));
  if (due === undefined) return;
  // Not as one of the pool's dials: those who wait for a connection must not wait for this one.
  const made = (stream: ByteStream) => {
    const connection = joinPool(deps, engine, endpoint, stream, due);
    if (http2.closed) connection.retire();
  };
  dial(deps, service, endpoint, HTTP2, made, () => {}, due);
}
