import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import type { Listener } from "../../transport/transport.ts";
import { FirstBytes } from "../detect/first-bytes.ts";
import { isHttp2Start } from "../detect/protocol.ts";
import { ServerConnection } from "../http1/server-connection.ts";
import { OutboundHandler } from "./outbound-handler.ts";
import { createOutboundState, type OutboundDeps } from "./outbound-state.ts";

/**
 * Accepts the app's connections: HTTP/1.1 in absolute-form, in origin-form by Host, CONNECT; HTTP/2 by its preface.
 * @throws MeshError PORT_IN_USE
 */
export async function listenOutbound(deps: OutboundDeps, host: string, port: number): Promise<Listener> {
  const handler = new OutboundHandler(deps);
  const { transport, engine } = deps;
  return await transport.listenTcp({ host, port, maxConnections: engine.limits.maxConnections }, (stream) =>
    acceptExplicit(stream, deps, handler),
  );
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
          : new ServerConnection(stream, engine, handler, createOutboundState(unknownRow));
      stream.user = user;
      user.onRead(b, length);
      if (ended && !stream.closed) user.onEnd();
    },
  });
}
