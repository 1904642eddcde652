import { type Identity, identityParts, type TrustDomain } from "../../core/identity.ts";
import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import { MuxConnection } from "../../transport/mux/mux-connection.ts";
import { WheelTimer } from "../../transport/timer-wheel.ts";
import type { Listener } from "../../transport/transport.ts";
import { ServerConnection } from "../http1/server-connection.ts";
import { splice } from "../http1/splice.ts";
import { createHttp2Engine, type Http2Engine } from "../http2/engine.ts";
import { Exchanges, Http2ServerConnection } from "../http2/server-connection.ts";
import type { MeshTls } from "../mesh-tls.ts";
import { countMux } from "../observe/metrics.ts";
import { HTTP1, HTTP2, MESH_ALPN, MUX_HTTP1, OPAQUE, PREFACE_BYTES, type Preface, readPreface } from "../preface.ts";
import { type Http2InboundDeps, Http2InboundHandler } from "./http2-handler.ts";
import { addedFields, authorityOf, InboundHandler, type InboundState } from "./inbound-handler.ts";
import { divertPlain, type PlainDeps } from "./plain.ts";

export interface InboundListenerDeps extends Http2InboundDeps {
  readonly tls: MeshTls;
  readonly host: string;
  readonly port: number;
  /** From the end of the handshake to the end of the preface. */
  readonly prefaceMs: number;
  /** For the first state of control, where the answer depends on it. */
  readonly stateMs: number;
  /** Where connections to the app's own ports are redirected here. */
  readonly intercepted?: PlainDeps;
}

const MAX_EARLY_BYTES = 131_072;

export interface InboundListener extends Listener {
  /** Takes a connection of a neighbour in this process, which shows its chain. @throws MeshError to refuse it */
  accept(stream: ByteStream, chain: readonly Buffer[]): ByteStreamUser;
}

/** Accepts mTLS from other proxies and passes what they are let to the app. @throws MeshError PORT_IN_USE */
export async function listenInbound(deps: InboundListenerDeps): Promise<InboundListener> {
  const { transport, tls, engine, intercepted } = deps;
  const handler = new InboundHandler(deps);
  const http2 = createHttp2Engine(engine, deps.floods, (error) => {
    deps.metrics.counter("http2_connections_failed_total", `direction="inbound",error="${error}"`).value++;
  });
  const listener = await transport.listenTls(
    {
      host: deps.host,
      port: deps.port,
      maxConnections: engine.limits.maxConnections,
      ...(intercepted === undefined ? {} : interceptOptions(deps, intercepted, handler, http2)),
      settings: () => tls.server(),
      alpn: [MESH_ALPN],
      verify: (chain, socket) => tls.verify(chain, socket),
      onRefused: (error, remoteAddress) => {
        deps.metrics.counter("inbound_tls_refused_total", `code="${error.code}"`).value++;
        engine.log.debug("inbound.handshake.refused", { code: error.code, error: error.message, remoteAddress });
      },
    },
    (stream, peer) => new Greeting(stream, peer.verified, deps, handler, http2),
  );
  return Object.assign(listener, {
    accept: (stream: ByteStream, chain: readonly Buffer[]) =>
      new Greeting(stream, tls.verifyNeighbour(chain), deps, handler, http2),
  });
}

function interceptOptions(deps: Http2InboundDeps, intercepted: PlainDeps, handler: InboundHandler, http2: Http2Engine) {
  return {
    diversion: divertPlain(deps, intercepted, handler, http2),
    prepare: (descriptor: number) => intercepted.interception.originals.prepare(descriptor),
  };
}

/** A connection until its preface is read and judged. */
class Greeting implements ByteStreamUser {
  readonly #stream: ByteStream;
  readonly #peer: Identity;
  readonly #trustDomain: TrustDomain;
  readonly #deps: InboundListenerDeps;
  readonly #handler: InboundHandler;
  readonly #http2: Http2Engine;
  readonly #timer: WheelTimer;
  #early: Buffer = Buffer.alloc(0);
  #preface: Preface | undefined;
  #stopWaiting: (() => void) | undefined;
  #ended = false;

  constructor(
    stream: ByteStream,
    peer: Identity,
    deps: InboundListenerDeps,
    handler: InboundHandler,
    http2: Http2Engine,
  ) {
    this.#stream = stream;
    this.#peer = peer;
    this.#trustDomain = identityParts(peer).trustDomain;
    this.#deps = deps;
    this.#handler = handler;
    this.#http2 = http2;
    this.#timer = new WheelTimer(() => this.#expired());
    deps.engine.connections.add(this);
    deps.transport.wheel.arm(this.#timer, deps.prefaceMs);
  }

  onRead(buffer: Buffer, length: number): void {
    this.#early = Buffer.concat([this.#early, buffer.subarray(0, length)]);
    if (this.#preface !== undefined) {
      if (this.#early.length > MAX_EARLY_BYTES) this.#stream.pause();
      return;
    }
    if (this.#early.length < PREFACE_BYTES) return;
    this.#preface = readPreface(this.#early);
    if (this.#preface === undefined) {
      this.#deps.engine.log.debug("inbound.preface.invalid", { identity: this.#peer });
      this.#stream.destroy(undefined, true);
      return;
    }
    this.#early = this.#early.subarray(PREFACE_BYTES);
    if (!this.#deps.admission.undecided(this.#trustDomain, this.#preface.port)) {
      this.#judge(this.#preface);
      return;
    }
    const { wheel } = this.#deps.transport;
    wheel.arm(this.#timer, this.#deps.stateMs);
    this.#stopWaiting = this.#deps.admission.wait(() => this.#expired());
  }

  #expired(): void {
    this.#stopWaiting?.();
    this.#stopWaiting = undefined;
    if (this.#preface === undefined || this.#stream.closed) this.#stream.destroy();
    else this.#judge(this.#preface);
  }

  #judge(preface: Preface): void {
    const { admission, engine, metrics, transport } = this.#deps;
    transport.wheel.drop(this.#timer);
    engine.connections.delete(this);
    const { port, protocol } = preface;
    const peer = this.#peer;
    const allowed = admission.allows(this.#trustDomain, port);
    const row = metrics.row({
      direction: "inbound",
      authority: authorityOf(admission.serviceOf(port), port),
      peer,
      cluster: this.#trustDomain,
    });
    if (!allowed) engine.log.info("inbound.denied", { identity: peer, port });
    if (!allowed && protocol === OPAQUE) {
      metrics.denied(row);
      this.#stream.destroy(undefined, true);
      return;
    }
    switch (protocol) {
      case HTTP1:
        this.#passOn(this.#serveHttp(this.#stream, port, row, addedFields(peer)));
        return;
      case MUX_HTTP1:
        this.#passOn(this.#serveMux(port, row));
        return;
      case HTTP2:
        this.#passOn(this.#serveHttp2(port, row));
        return;
      case OPAQUE:
        metrics.opened(row);
        this.#serveOpaque(port, row);
        return;
      default:
        protocol satisfies never;
    }
  }

  #serveHttp2(port: number, row: number): ByteStreamUser {
    const peer = { identity: this.#peer, trustDomain: this.#trustDomain, port, row };
    const handler = new Http2InboundHandler(this.#deps, this.#http2, peer);
    const connection = new Http2ServerConnection(this.#stream, new Exchanges(this.#http2, handler));
    const { metrics } = this.#deps;
    metrics.opened(row);
    connection.onGone = () => metrics.closed(row);
    return connection;
  }

  /** The stream goes on with `user`, which is given what came already. */
  #passOn(user: ByteStreamUser): void {
    this.#stream.user = user;
    this.#stream.resume();
    if (this.#early.length > 0) user.onRead(this.#early, this.#early.length);
    if (this.#ended) user.onEnd();
  }

  #serveHttp(stream: ByteStream, port: number, row: number, added: readonly Buffer[]): ByteStreamUser {
    const { engine, metrics } = this.#deps;
    const state: InboundState = {
      peer: this.#peer,
      port,
      row,
      trustDomain: this.#trustDomain,
      added,
      gate: undefined,
      dialing: undefined,
      retried: false,
      fresh: false,
    };
    const connection = new ServerConnection(stream, engine, this.#handler, state);
    metrics.opened(row);
    connection.onGone = () => metrics.closed(row);
    return connection;
  }

  #serveMux(port: number, row: number): ByteStreamUser {
    const { engine, metrics, mux } = this.#deps;
    const { connections, limits } = engine;
    const added = addedFields(this.#peer);
    const connection = new MuxConnection(mux, this.#stream, false, {
      onStream: (stream) =>
        connections.size < limits.maxConnections ? this.#serveHttp(stream, port, row, added) : undefined,
      onChange() {},
      onGone: (reason) => {
        connections.delete(connection);
        countMux(metrics, "inbound", reason);
      },
    });
    connections.add(connection);
    countMux(metrics, "inbound", undefined);
    return connection;
  }

  #serveOpaque(port: number, row: number): void {
    const { transport, apps, connectMs, metrics, engine, admission } = this.#deps;
    const stream = this.#stream;
    const tunnel = {
      drain() {},
      destroy: () => stream.destroy(undefined, true),
    };
    engine.connections.add(tunnel);
    const stop = admission.onChange(() => {
      if (!admission.allows(this.#trustDomain, port)) tunnel.destroy();
    });
    const over = () => {
      stop();
      engine.connections.delete(tunnel);
      metrics.closed(row);
    };
    const cancel = transport.connectTcp(
      { ...apps.of(port), timeoutMs: connectMs },
      (app) => {
        if (this.#early.length > 0) app.write(this.#early, 0, this.#early.length);
        if (this.#ended) app.end();
        splice(stream, app, { onBytes: (fromPeer, count) => metrics.bytes(row, fromPeer, count), onDone: over });
        return app.user;
      },
      () => stream.destroy(undefined, true),
    );
    this.onClose = () => {
      cancel();
      over();
    };
  }

  onEnd(): void {
    this.#ended = true;
    if (this.#preface === undefined) this.#stream.destroy();
  }

  onDrain(): void {}

  onClose = (): void => {
    this.#deps.transport.wheel.drop(this.#timer);
    this.#stopWaiting?.();
    this.#deps.engine.connections.delete(this);
  };

  /** A connection that was not used yet is not waited for. */
  drain(): void {
    this.#stream.destroy();
  }

  destroy(): void {
    this.#stream.destroy(undefined, true);
  }
}
