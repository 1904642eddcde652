import type { ByteStream } from "../../transport/byte-stream.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import { Http2ClientConnection } from "../http2/client-connection.ts";
import type { Http2Engine } from "../http2/engine.ts";
import type { Metrics } from "../observe/metrics.ts";

/** Makes of a new connection to `endpoint` one that its HTTP/2 requests share. */
export function joinPool(
  { metrics }: { readonly metrics: Metrics },
  engine: Http2Engine,
  endpoint: Endpoint,
  stream: ByteStream,
): Http2ClientConnection {
  const made = new Http2ClientConnection(stream, engine, endpoint.http2);
  metrics.opened(endpoint.row);
  made.onGone = () => metrics.closed(endpoint.row);
  endpoint.http2.add(made);
  return made;
}
