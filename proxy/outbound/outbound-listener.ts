import type { Listener } from "../../transport/transport.ts";
import { ServerConnection } from "../http1/server-connection.ts";
import { OutboundHandler } from "./outbound-handler.ts";
import { createOutboundState, type OutboundDeps } from "./outbound-state.ts";

/** Accepts the app's connections: absolute-form, origin-form by Host, CONNECT. @throws MeshError PORT_IN_USE */
export async function listenOutbound(deps: OutboundDeps, host: string, port: number): Promise<Listener> {
  const handler = new OutboundHandler(deps);
  const { transport, engine, unknownRow } = deps;
  return await transport.listenTcp(
    { host, port, maxConnections: engine.limits.maxConnections },
    (stream) => new ServerConnection(stream, engine, handler, createOutboundState(unknownRow)),
  );
}
