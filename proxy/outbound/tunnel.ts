import { portHint } from "../detect/port-hint.ts";
import type { RequestHandler, ServedRequest } from "../http1/engine.ts";
import { refusalText } from "../http1/refusal.ts";
import { portOf, serveDestined } from "./destined.ts";
import { connectOpaque, EarlyBytes, spliceOpaque } from "./opaque.ts";
import type { OutboundDeps, OutboundState } from "./outbound-state.ts";
import { refusalFor } from "./refusals.ts";

const ESTABLISHED = Buffer.from("HTTP/1.1 200 Connection established\r\n\r\n", "latin1");

/**
 * Answers a CONNECT. What follows for a service of the mesh is served by its protocol, as `handler` serves requests;
 * where that cannot be known before the server speaks, and outside of the mesh, bytes pass unread.
 */
export function openTunnel(
  deps: OutboundDeps,
  handler: RequestHandler<OutboundState>,
  connection: ServedRequest<OutboundState>,
  early: Buffer,
): void {
  const { stream, state } = connection;
  const { service } = state;
  if (service === undefined) {
    stream.destroy();
    return;
  }
  const { kind, appProtocol } = service.spec;
  const hint = kind === "service" ? portHint(appProtocol, portOf(service.authority)) : "opaque";
  // Detection needs the answer to CONNECT first. Where nobody can take the connection, that is better said instead.
  if (hint === "opaque" || service.choose([], false) === undefined) {
    openOpaque(deps, connection, early);
    return;
  }
  connection.forget();
  stream.write(ESTABLISHED, 0, ESTABLISHED.length);
  serveDestined(deps, handler, stream, service, new EarlyBytes(early, false));
}

/** Answers once the endpoint is reached. */
function openOpaque(deps: OutboundDeps, connection: ServedRequest<OutboundState>, first: Buffer): void {
  const { stream, state } = connection;
  const { service } = state;
  const { clock, metrics } = deps;
  if (service === undefined) return;
  const early = new EarlyBytes(first, false);
  const end = (status: number) => {
    connection.forget();
    metrics.request(state.row, status, clock.nowMs() - connection.startMs);
  };
  const cancel = connectOpaque(
    deps,
    service,
    (way, upstream) => {
      state.row = way.endpoint.row;
      stream.write(ESTABLISHED, 0, ESTABLISHED.length);
      spliceOpaque(deps, stream, way, upstream, early, () => end(200));
    },
    (error, endpoint) => {
      if (endpoint !== undefined) state.row = endpoint.row;
      const refusal = refusalFor(service.authority, error === undefined ? undefined : "connect", {
        dialError: error,
        service,
      });
      const text = refusalText(refusal, false, true);
      stream.write(text, 0, text.length);
      stream.user = { onRead() {}, onEnd: () => stream.destroy(), onDrain() {}, onClose: () => end(refusal.status) };
      stream.end();
    },
  );
  early.hold(stream, () => {
    cancel();
    end(0);
  });
}
