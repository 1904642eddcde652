import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import type { Listener } from "../../transport/transport.ts";
import { FirstBytes } from "../detect/first-bytes.ts";
import { isHttp2Start } from "../detect/protocol.ts";
import { ServerConnection } from "../http1/server-connection.ts";
import type { Interception } from "../interception.ts";
import { OutboundHandler } from "./outbound-handler.ts";
import { type OutboundDeps, OutboundState } from "./outbound-state.ts";
import { serveTransparent } from "./transparent.ts";

/**
 * Accepts the app's connections: HTTP/1.1 in absolute-form, in origin-form by Host, CONNECT; HTTP/2 by its preface.
 * @throws MeshError PORT_IN_USE
 */
export async function listenOutbound(deps: OutboundDeps, host: string, port: number): Promise<Listener> {
  const handler = new OutboundHandler(deps);
  const { transport, engine, interception } = deps;
  const options = { host, port, maxConnections: engine.limits.maxConnections };
  if (interception === undefined)
    return await transport.listenTcp(options, (stream) => acceptExplicit(stream, deps, handler));
  return await transport.listenTcp(
    { ...options, prepare: (descriptor) => interception.originals.prepare(descriptor) },
    (stream) => acceptIntercepted(stream, deps, handler, interception),
  );
}

function acceptIntercepted(
  stream: ByteStream,
  deps: OutboundDeps,
  handler: OutboundHandler,
  interception: Interception,
): ByteStreamUser {
  const { descriptor = -1, localAddress, localPort } = stream;
  const destination = interception.destinationOf({ descriptor, localAddress, localPort });
  if (destination === undefined) return acceptExplicit(stream, deps, handler);
  if (interception.isSelf(destination)) {
    deps.engine.log.info("outbound.self.refused", { ...destination });
    stream.destroy(undefined, true);
    return stream.user;
  }
  stream.pause();
  setImmediate(() => {
    if (stream.closed) return;
    if (deps.engine.draining || deps.loops?.isOwn(stream, destination) === true) stream.destroy(undefined, true);
    else serveTransparent(deps, handler, stream, destination);
  });
  return stream.user;
}

/** A client that knows that it talks to a proxy: one of both HTTPs, told apart by the first read. */
function acceptExplicit(stream: ByteStream, deps: OutboundDeps, handler: OutboundHandler): ByteStreamUser {
  const { transport, engine, unknownRow, serveHttp2 } = deps;
  return new FirstBytes<boolean>({
    stream,
    wheel: transport.wheel,
    connections: engine.connections,
    timeoutMs: engine.limits.idleMs,
    decide: isHttp2Start,
    onDecided: (http2, b, length, ended) => {
      if (length === 0) {
        if (ended) stream.end();
        else stream.destroy();
        return;
      }
      const user =
        http2 === true && serveHttp2 !== undefined
          ? serveHttp2(stream, undefined)
          : new ServerConnection(stream, engine, handler, new OutboundState(unknownRow));
      stream.user = user;
      user.onRead(b, length);
      if (ended && !stream.closed) user.onEnd();
    },
  });
}
