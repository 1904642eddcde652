// Connections that were redirected here: where the client meant to go decides, whatever it says (docs/decisions/0016).
import { CLUSTER_DOMAIN, CLUSTERSET_DOMAIN } from "../../core/defaults.ts";
import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import type { Destination } from "../../transport/original-destination.ts";
import type { Service } from "../balance/service.ts";
import { FirstBytes } from "../detect/first-bytes.ts";
import { type Detected, detectProtocol, OPAQUE_PROTOCOL } from "../detect/protocol.ts";
import type { Refusal, RequestHandler } from "../http1/engine.ts";
import { serveDestined } from "./destined.ts";
import { connectOpaque, EarlyBytes, letGo, type OpaqueWay, passOpaque, spliceOpaque } from "./opaque.ts";
import type { OutboundDeps, OutboundState } from "./outbound-state.ts";
import { awaitAnswer, lookUp, notFound } from "./service-lookup.ts";

const IGNORING: ByteStreamUser = { onRead() {}, onEnd() {}, onDrain() {}, onClose() {} };
const HANDSHAKE_RECORD = 22;

/** As control is asked for it. */
function destinationAuthority({ address, port }: Destination): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/**
 * Serves a connection that was to go to `destination`: as the service that this address is, or, outside of the mesh,
 * to the address itself. What cannot be looked up is reset.
 */
export function serveTransparent(
  deps: OutboundDeps,
  handler: RequestHandler<OutboundState>,
  stream: ByteStream,
  destination: Destination,
): ByteStreamUser {
  stream.user = IGNORING;
  withService(deps, stream, destinationAuthority(destination), (service) => {
    const early = new EarlyBytes(Buffer.alloc(0), false);
    if (service?.spec.kind === "service") serveDestined(deps, handler, stream, service, early);
    else if (service !== undefined) passExternal(deps, stream, service, destination.port);
  });
  return stream.user;
}

/** Goes on with the service of `authority` once control has said what it is; the stream is paused meanwhile. */
function withService(
  deps: OutboundDeps,
  stream: ByteStream,
  authority: string,
  goOn: (service: Service | undefined) => void,
): void {
  const { services, engine, clock, metrics } = deps;
  const waiting = { drain() {}, destroy: () => stream.destroy(undefined, true) };
  engine.connections.add(waiting);
  const refuse = ({ code = "PROXY_RESET", message }: Refusal) => {
    engine.connections.delete(waiting);
    metrics.counter("outbound_transparent_refused_total", `code="${code}"`).value++;
    engine.log.debug("outbound.transparent.refused", { authority, code, error: message });
    stream.destroy(undefined, true);
    goOn(undefined);
  };
  const entry = lookUp(services, authority, 0);
  const look = () => {
    if (stream.closed) {
      engine.connections.delete(waiting);
      goOn(undefined);
      return;
    }
    if ("status" in entry) return refuse(entry);
    if (entry.service === undefined) {
      stream.pause();
      const refusal = awaitAnswer(services, entry, look);
      if (refusal !== undefined) refuse(refusal);
      return;
    }
    entry.lastUsedMs = clock.nowMs();
    if (entry.service.spec.kind === "notFound") return refuse(notFound(entry));
    engine.connections.delete(waiting);
    goOn(entry.service);
  };
  look();
}

/**
 * Passes bytes to an address outside of the mesh. It is dialled at once, so that whoever speaks first may. TLS that
 * names a service of the mesh, whose address is none of ours to know, goes to that service: what answers must still
 * prove to the client that it bears the name.
 */
function passExternal(deps: OutboundDeps, stream: ByteStream, external: Service, port: number): void {
  const { engine, transport, detections, detectMs } = deps;
  const open = { drain() {}, destroy: () => stream.destroy(undefined, true) };
  engine.connections.add(open);
  const over = () => void engine.connections.delete(open);
  let early: EarlyBytes | undefined;
  let connected: { readonly way: OpaqueWay; readonly upstream: ByteStream } | undefined;
  const drop = () => {
    over();
    cancel();
    if (connected === undefined) return;
    const { way, upstream } = connected;
    connected = undefined;
    upstream.user = IGNORING;
    upstream.destroy(undefined, true);
    letGo(way);
  };
  const first = new FirstBytes<Detected>({
    stream,
    wheel: transport.wheel,
    connections: engine.connections,
    timeoutMs: detectMs,
    decide: decideTls,
    onGone: drop,
    onDecided: (detected, b, length, ended) => {
      const said = new EarlyBytes(Buffer.from(b.subarray(0, length)), ended);
      early = said;
      if (detected !== undefined) detections.found(detected, external.authority);
      if (detected?.kind === "tls" && isMeshName(detected.serverName)) {
        drop();
        passByServerName(deps, stream, `${detected.serverName}:${port}`, external, said);
      } else if (connected === undefined) said.hold(stream, drop);
      else spliceOpaque(deps, stream, connected.way, connected.upstream, said, over);
    },
  });
  const cancel = connectOpaque(
    deps,
    external,
    (way, upstream) => {
      if (early !== undefined) {
        spliceOpaque(deps, stream, way, upstream, early, over);
        return;
      }
      connected = { way, upstream };
      // The server is the one to speak, or has gone: there is nothing more to be found out.
      const joined = () => {
        first.giveUp();
        return upstream.user;
      };
      upstream.user = {
        onRead: (buffer, length) => joined().onRead(buffer, length),
        onEnd: () => joined().onEnd(),
        onDrain() {},
        onClose: (error) => joined().onClose(error),
      };
    },
    (error) => {
      engine.log.debug("outbound.opaque.failed", { authority: external.authority, error: error?.message });
      stream.destroy(undefined, true);
    },
  );
  stream.user = first;
  stream.resume();
}

/** To the service of that name, where it is one; else where it was to go. */
function passByServerName(
  deps: OutboundDeps,
  stream: ByteStream,
  authority: string,
  external: Service,
  early: EarlyBytes,
): void {
  early.hold(stream, () => {});
  withService(deps, stream, authority, (service) => {
    if (service !== undefined) passOpaque(deps, stream, service.spec.kind === "service" ? service : external, early);
  });
}

function isMeshName(serverName: string): boolean {
  return serverName.endsWith(`.svc.${CLUSTER_DOMAIN}`) || serverName.endsWith(`.svc.${CLUSTERSET_DOMAIN}`);
}

/** Outside of the mesh only a server name is of interest; all else is not kept waiting. */
function decideTls(b: Buffer, length: number): Detected | undefined {
  if (b[0] !== HANDSHAKE_RECORD) return OPAQUE_PROTOCOL;
  const detection = detectProtocol(b, length);
  return detection.kind === "needMore" ? undefined : detection;
}
