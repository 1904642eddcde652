import { createHash } from "node:crypto";
import { connect as connectSocket, type Socket } from "node:net";
import {
  connect,
  createSecureContext,
  createServer,
  type SecureContext,
  type Server,
  type TLSSocket,
  type TlsOptions,
} from "node:tls";
import type { MeshError } from "../core/errors.ts";
import { type AdoptPlain, divertingServer } from "./diverting-server.ts";
import { descriptorOf } from "./net-stream.ts";
import { SessionCache } from "./session-cache.ts";
import { connectError, connectTimeout, handshakeError, listenError } from "./stream-error.ts";
import { type TimerWheel, WheelTimer } from "./timer-wheel.ts";
import type {
  CancelConnect,
  ConnectTlsOptions,
  Listener,
  ListenTcpOptions,
  ListenTlsOptions,
  SocketAddress,
  TlsPeer,
  VerifyPeer,
} from "./transport.ts";

const BACKLOG = 4_096;
const MAX_CHAIN = 10;
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** Makes a stream of a socket whose handshake is done. Called within the handshake's last read. */
export type Adopt<T> = (socket: TLSSocket, raw: Socket | undefined, peer: TlsPeer<T>) => void;

export function addressText(address: SocketAddress): string {
  return "path" in address ? address.path : `${address.host}:${address.port}`;
}

/** The TLS side of both adapters: Node does the handshake, then `adopt` takes over. */
export class TlsHandshakes {
  readonly #cache = new SessionCache();
  readonly #contexts = new WeakMap<TlsOptions, SecureContext>();
  readonly #wheel: TimerWheel;

  constructor(wheel: TimerWheel) {
    this.#wheel = wheel;
  }

  /** `adoptPlain` makes a stream of a socket that `options.diversion` finds to be for somebody else. */
  async listen<T>(options: ListenTlsOptions<T>, adopt: Adopt<T>, adoptPlain: AdoptPlain): Promise<Listener> {
    let settings = options.settings();
    const server = createServer({
      ...settings,
      ALPNProtocols: [...options.alpn],
      handshakeTimeout: options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
      allowHalfOpen: true,
      noDelay: true,
    });
    if (options.maxConnections !== undefined) server.maxConnections = options.maxConnections;
    // Before tls.Server's own listener, which takes the context for this connection.
    server.prependListener("connection", () => {
      const current = options.settings();
      if (current === settings) return;
      settings = current;
      server.setSecureContext(current);
    });
    const refused = (error: unknown, socket: TLSSocket) => {
      options.onRefused?.(handshakeError("the client", error), socket.remoteAddress ?? "");
    };
    server.on("tlsClientError", (error, socket) => {
      refused(error, socket);
      // Node reports a handshake that took too long, but leaves its connection open.
      socket.destroy();
    });
    server.on("secureConnection", (socket) => {
      let peer: TlsPeer<T>;
      try {
        peer = peerOf(socket, this.#clientChain(socket), options.verify, socket.servername);
      } catch (error) {
        refused(error, socket);
        socket.on("error", () => {});
        socket.destroy();
        return;
      }
      adopt(socket, rawOf(socket), peer);
    });
    const { diversion } = options;
    if (diversion === undefined) return await listenServer(server, options);
    return await listenServer(divertingServer(server, diversion, options, this.#wheel, adoptPlain), options);
  }

  connect<T>(options: ConnectTlsOptions<T>, adopt: Adopt<T>, onFailure: (error: MeshError) => void): CancelConnect {
    const target = addressText(options);
    const raw = connectSocket({
      ...("path" in options ? { path: options.path } : { host: options.host, port: options.port }),
      ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
      allowHalfOpen: true,
      noDelay: true,
      autoSelectFamily: false,
    });
    let socket: TLSSocket | undefined;
    let settled = false;
    const settle = (error?: MeshError) => {
      if (settled) return;
      settled = true;
      this.#wheel.drop(timer);
      if (error === undefined) return;
      socket?.destroy();
      raw.destroy();
      onFailure(error);
    };
    const timer = new WheelTimer(() => settle(connectTimeout(target, options.timeoutMs)));
    this.#wheel.arm(timer, options.timeoutMs);
    raw.on("error", (error) =>
      settle(socket === undefined ? connectError(target, error) : handshakeError(target, error)),
    );
    raw.once("connect", () => {
      if (settled) return;
      const known = this.#cache.sessions.get(options.sessionKey);
      const handshaking = this.#handshake(options, raw, known?.session);
      socket = handshaking;
      const failed = (error: unknown) => {
        this.#cache.sessions.delete(options.sessionKey);
        settle(handshakeError(target, error));
      };
      handshaking.on("error", failed);
      handshaking.once("close", () => failed(new Error("the peer closed the connection")));
      handshaking.once("secureConnect", () => {
        if (settled) return;
        let peer: TlsPeer<T>;
        try {
          const chain = handshaking.isSessionReused() ? (known?.chain ?? []) : sentChain(handshaking);
          peer = peerOf(handshaking, chain, options.verify, options.servername);
          // Tickets come from here on; one of a peer that was refused is not kept.
          handshaking.on("session", (session) => this.#cache.sessions.set(options.sessionKey, { session, chain }));
        } catch (error) {
          failed(error);
          return;
        }
        settle();
        adopt(handshaking, raw, peer);
      });
    });
    return () => {
      if (settled) return;
      settled = true;
      this.#wheel.drop(timer);
      socket?.destroy();
      raw.destroy();
    };
  }

  #handshake<T>(options: ConnectTlsOptions<T>, raw: Socket, session: Buffer | undefined): TLSSocket {
    const { settings, servername, alpn } = options;
    return connect({
      socket: raw,
      servername,
      secureContext: this.#context(settings),
      rejectUnauthorized: settings.rejectUnauthorized ?? true,
      // The identity is in the URI SAN; `verify` checks it.
      checkServerIdentity: () => undefined,
      ALPNProtocols: [...alpn],
      ...(session === undefined ? {} : { session }),
    });
  }

  #context(settings: TlsOptions): SecureContext {
    const known = this.#contexts.get(settings);
    if (known !== undefined) return known;
    const context = createSecureContext(settings);
    this.#contexts.set(settings, context);
    return context;
  }

  /** A resumed session carries the client's leaf only. */
  #clientChain(socket: TLSSocket): readonly Buffer[] {
    const chain = sentChain(socket);
    const leaf = chain[0];
    if (leaf === undefined) return chain;
    const fingerprint = createHash("sha256").update(leaf).digest("base64");
    if (socket.isSessionReused()) return this.#cache.chains.get(fingerprint) ?? chain;
    this.#cache.chains.set(fingerprint, chain);
    return chain;
  }
}

function peerOf<T>(
  socket: TLSSocket,
  chain: readonly Buffer[],
  verify: VerifyPeer<T>,
  servername: string | false | null | undefined,
): TlsPeer<T> {
  return {
    verified: verify(chain, socket),
    alpn: typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : "",
    servername: typeof servername === "string" ? servername : "",
    resumed: socket.isSessionReused(),
  };
}

/** DER of the chain that the peer sent. To be asked once: on a client Node takes the leaf out of OpenSSL's chain. */
function sentChain(socket: TLSSocket): readonly Buffer[] {
  const chain: Buffer[] = [];
  let certificate = socket.getPeerX509Certificate();
  while (certificate !== undefined && chain.length < MAX_CHAIN) {
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  return chain;
}

/** The TCP socket that a server's TLS socket wraps; undefined where Node no longer says. */
function rawOf(socket: TLSSocket): Socket | undefined {
  const parent: unknown = Reflect.get(socket, "_parent");
  return parent instanceof Object && "resetAndDestroy" in parent ? (parent as Socket) : undefined;
}

/** Resolves once `server` listens. @throws MeshError PORT_IN_USE */
export function listenServer(server: Server | import("node:net").Server, address: ListenTcpOptions): Promise<Listener> {
  const where = "path" in address ? { path: address.path } : { host: address.host, port: address.port };
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(listenError(addressText(address), error)));
    server.listen({ ...where, backlog: address.backlog ?? BACKLOG }, () => {
      server.removeAllListeners("error");
      server.on("error", () => {});
      try {
        address.prepare?.(descriptorOf(server));
      } catch (error) {
        server.close();
        reject(error);
        return;
      }
      const bound = server.address();
      let connections = 0;
      server.on("connection", (socket: Socket) => {
        connections++;
        socket.once("close", () => connections--);
      });
      resolve({
        port: typeof bound === "object" && bound !== null ? bound.port : 0,
        get connections() {
          return connections;
        },
        close: () => closeServer(server),
      });
    });
  });
}

function closeServer(server: Server | import("node:net").Server): Promise<void> {
  // `close` waits for connections, which live on: what counts is that no more are accepted.
  if (server.listening) server.close();
  return Promise.resolve();
}
