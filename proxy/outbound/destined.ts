// Connections whose service is known before their first byte: inside of a CONNECT, or redirected here.
import type { ByteStream } from "../../transport/byte-stream.ts";
import type { Service } from "../balance/service.ts";
import { FirstBytes } from "../detect/first-bytes.ts";
import { portHint } from "../detect/port-hint.ts";
import { type Detected, detectProtocol, isHttp2Start, OPAQUE_PROTOCOL } from "../detect/protocol.ts";
import type { RequestHandler } from "../http1/engine.ts";
import { ServerConnection } from "../http1/server-connection.ts";
import { EarlyBytes, passOpaque } from "./opaque.ts";
import { type OutboundDeps, OutboundState } from "./outbound-state.ts";

/** Port of `<host>:<port>`. */
export function portOf(authority: string): number {
  return Number(authority.slice(authority.lastIndexOf(":") + 1));
}

/**
 * Serves a connection by the protocol that its client speaks: requests go to `service`, each balanced and retried,
 * whatever host they name; all else goes unread to one endpoint.
 */
export function serveDestined(
  deps: OutboundDeps,
  handler: RequestHandler<OutboundState>,
  stream: ByteStream,
  service: Service,
  early: EarlyBytes,
): void {
  const { engine, transport, detections, detectMs } = deps;
  const { authority } = service;
  const hint = portHint(service.spec.appProtocol, portOf(authority));
  if (hint === "opaque") {
    passOpaque(deps, stream, service, early);
    return;
  }
  const first = new FirstBytes<Detected>({
    stream,
    wheel: transport.wheel,
    connections: engine.connections,
    timeoutMs: hint === "http" ? engine.limits.idleMs : detectMs,
    decide: hint === "http" ? decideHttp : decide,
    onDecided: (detected, b, length, ended) => {
      if (detected !== undefined) detections.found(detected, authority);
      else if (!ended && hint === "http") {
        // Of a port that is HTTP: an idle client, not one that waits for the server's greeting.
        stream.destroy();
        return;
      } else if (!ended) detections.timedOut(authority, detectMs);
      serveAs(detected ?? OPAQUE_PROTOCOL, b, length, ended);
    },
  });
  const serveAs = (detected: Detected, b: Buffer, length: number, ended: boolean) => {
    const user =
      detected.kind === "http1" && !detected.forProxy
        ? new ServerConnection(stream, engine, handler, new OutboundState(deps.unknownRow, authority))
        : detected.kind === "http2"
          ? deps.serveHttp2?.(stream, authority)
          : undefined;
    if (user === undefined) {
      passOpaque(deps, stream, service, new EarlyBytes(Buffer.from(b.subarray(0, length)), ended));
      return;
    }
    stream.user = user;
    user.onRead(b, length);
    if (ended && !stream.closed) user.onEnd();
  };
  stream.user = first;
  if (early.bytes.length > 0) first.onRead(early.bytes, early.bytes.length);
  if (early.ended && !stream.closed) stream.user.onEnd();
  stream.resume();
}

function decide(b: Buffer, length: number): Detected | undefined {
  const detection = detectProtocol(b, length);
  return detection.kind === "needMore" ? undefined : detection;
}

const HTTP1: Detected = { kind: "http1", forProxy: false };
const HTTP2: Detected = { kind: "http2" };

/** Of a port that is known to be HTTP: what breaks its rules is answered 400. */
function decideHttp(b: Buffer, length: number): Detected | undefined {
  const http2 = isHttp2Start(b, length);
  if (http2 === undefined) return undefined;
  return http2 ? HTTP2 : HTTP1;
}
