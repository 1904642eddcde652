// Calls that were redirected here and are no proxy's: of workloads outside of the mesh, kubelet's probes, and the app's
// own TLS.
import type { TrustDomain } from "../../core/identity.ts";
import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import type { AcceptedSocket } from "../../transport/original-destination.ts";
import type { Diversion } from "../../transport/transport.ts";
import type { Detections } from "../detect/detections.ts";
import { portHint } from "../detect/port-hint.ts";
import { type Detected, detectProtocol, OPAQUE_PROTOCOL } from "../detect/protocol.ts";
import { ServerConnection } from "../http1/server-connection.ts";
import { splice } from "../http1/splice.ts";
import type { Http2Engine } from "../http2/engine.ts";
import { Exchanges, Http2ServerConnection } from "../http2/server-connection.ts";
import type { Interception } from "../interception.ts";
import { MESH_ALPN } from "../preface.ts";
import { type Http2InboundDeps, Http2InboundHandler } from "./http2-handler.ts";
import { authorityOf, type InboundDeps, type InboundHandler, type InboundState } from "./inbound-handler.ts";

export interface PlainDeps {
  readonly interception: Interception;
  readonly detections: Detections;
  readonly detectMs: number;
  /** Whether callers without an identity come in at all. */
  readonly plain: "allow" | "deny";
  readonly trustDomain: TrustDomain;
}

/** What the inbound listener does with connections to the app's own ports. */
export function divertPlain(
  deps: Http2InboundDeps,
  options: PlainDeps,
  handler: InboundHandler,
  http2: Http2Engine,
): Diversion {
  const { interception, detections, detectMs } = options;
  const portOf = (socket: AcceptedSocket) => interception.destinationOf(socket)?.port ?? 0;
  const isOpaque = (port: number) => portHint(deps.admission.protocolOf(port), port) === "opaque";
  return {
    timeoutMs: detectMs,
    concerns: (socket) => interception.destinationOf(socket) !== undefined,
    judge: (socket, first, over) => {
      const port = portOf(socket);
      if (isOpaque(port)) return "other";
      const detection = detectProtocol(first, first.length);
      if (detection.kind === "needMore") {
        if (over && first.length === 0) detections.timedOut(`:${port}`, detectMs);
        return over ? "other" : undefined;
      }
      return detection.kind === "tls" && detection.alpn.includes(MESH_ALPN) ? "listener" : "other";
    },
    onStream: (stream, first, ended) => {
      const { descriptor = -1, localAddress, localPort } = stream;
      const port = portOf({ descriptor, localAddress, localPort });
      const detection = isOpaque(port) ? OPAQUE_PROTOCOL : detectProtocol(first, first.length);
      const detected = detection.kind === "needMore" ? OPAQUE_PROTOCOL : detection;
      detections.found(detected, `:${port}`);
      return servePlain(deps, options, handler, http2, stream, port, detected, first, ended);
    },
  };
}

function servePlain(
  deps: Http2InboundDeps,
  { plain, trustDomain }: PlainDeps,
  handler: InboundHandler,
  http2: Http2Engine,
  stream: ByteStream,
  port: number,
  detected: Detected,
  first: Buffer,
  ended: boolean,
): ByteStreamUser {
  const { admission, metrics, engine } = deps;
  const authority = authorityOf(admission.serviceOf(port), port);
  const row = metrics.row({ direction: "inbound", authority, peer: "", cluster: "" });
  if (plain === "deny" || port === 0 || !admission.allows(trustDomain, port)) {
    metrics.denied(row);
    engine.log.info("inbound.denied", { identity: "", remoteAddress: stream.remoteAddress, port });
    stream.destroy(undefined, true);
    return stream.user;
  }
  metrics.opened(row);
  if (detected.kind === "http1" && !detected.forProxy) {
    const state: InboundState = {
      peer: "",
      trustDomain,
      port,
      row,
      added: [],
      gate: undefined,
      dialing: undefined,
      retried: false,
      fresh: false,
    };
    const connection = new ServerConnection(stream, engine, handler, state);
    connection.onGone = () => metrics.closed(row);
    return goOn(stream, connection, first, ended);
  }
  if (detected.kind === "http2") {
    const peer = { identity: "", trustDomain, port, row } as const;
    const exchanges = new Exchanges(http2, new Http2InboundHandler(deps, http2, peer));
    const connection = new Http2ServerConnection(stream, exchanges);
    connection.onGone = () => metrics.closed(row);
    return goOn(stream, connection, first, ended);
  }
  return passToApp(deps, stream, port, row, first, ended);
}

function goOn(stream: ByteStream, user: ByteStreamUser, first: Buffer, ended: boolean): ByteStreamUser {
  stream.user = user;
  user.onRead(first, first.length);
  if (ended && !stream.closed) user.onEnd();
  return stream.user;
}

/** Passes bytes to the app unread. */
function passToApp(
  { transport, apps, connectMs, metrics, engine }: InboundDeps,
  stream: ByteStream,
  port: number,
  row: number,
  first: Buffer,
  ended: boolean,
): ByteStreamUser {
  const open = { drain() {}, destroy: () => stream.destroy(undefined, true) };
  engine.connections.add(open);
  const over = () => {
    engine.connections.delete(open);
    metrics.closed(row);
  };
  const cancel = transport.connectTcp(
    { ...apps.of(port), timeoutMs: connectMs },
    (app) => {
      if (first.length > 0) {
        metrics.bytes(row, true, first.length);
        app.write(first, 0, first.length);
      }
      if (ended) app.end();
      splice(stream, app, { onBytes: (fromPeer, count) => metrics.bytes(row, fromPeer, count), onDone: over });
      return app.user;
    },
    () => stream.destroy(undefined, true),
  );
  // Nothing more is read until there is somebody to pass it on to.
  stream.pause();
  return {
    onRead() {},
    onEnd() {},
    onDrain() {},
    onClose() {
      cancel();
      over();
    },
  };
}
