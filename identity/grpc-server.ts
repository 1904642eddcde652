import { constants } from "node:crypto";
import type { AddressInfo, Socket } from "node:net";
import {
  createServer,
  type PeerCertificate,
  type SecureContextOptions,
  type TLSSocket,
  type Server as TlsServer,
} from "node:tls";
import {
  Metadata,
  ResponderBuilder,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  ServerListenerBuilder,
  status,
} from "@grpc/grpc-js";
import type { Clock } from "../core/clock.ts";
import { asMeshError, errorText, MeshError } from "../core/errors.ts";
import type { Identity } from "../core/identity.ts";
import type { Log } from "../core/log.ts";
import { MAX_MESSAGE_BYTES } from "./grpc-channel.ts";
import type { SvidSource } from "./svid-source.ts";
import type { TrustStore } from "./trust-store.ts";
import { PeerVerifier, serverContextOptions } from "./workload-tls.ts";

/** A call as a service gets it, for asking who makes it. */
export interface CallOfPeer {
  getAuthContext(): { sslPeerCertificate?: PeerCertificate };
}

/** Who makes `call`; undefined for a caller without a certificate (only `anonymousMethods` see such). */
export type PeerOf = (call: CallOfPeer) => Identity | undefined;

export interface GrpcLimits {
  readonly maxConnections: number;
  /** Of these, how many may be without a certificate. */
  readonly maxAnonymous: number;
  /** How long one of those may last. */
  readonly anonymousMs: number;
  readonly handshakeMs: number;
  readonly maxStreamsPerConnection: number;
}

const LIMITS: GrpcLimits = {
  maxConnections: 4_096,
  maxAnonymous: 512,
  anonymousMs: 30_000,
  handshakeMs: 5_000,
  maxStreamsPerConnection: 1_000,
};

export interface GrpcServerOptions {
  readonly host: string;
  /** 0 for any. */
  readonly port: number;
  readonly source: SvidSource;
  readonly trust: TrustStore;
  readonly clock: Clock;
  readonly log: Log;
  /** Adds the services. */
  readonly services: (server: Server, peerOf: PeerOf) => void;
  /** Full paths, "/package.Service/Method", open to callers without a certificate. Default: none. */
  readonly anonymousMethods?: readonly string[];
  /** Shows the own root behind the chain, so that a joiner can pin its fingerprint. */
  readonly presentRoot?: boolean;
  readonly limits?: Partial<GrpcLimits>;
}

export interface GrpcListener {
  readonly port: number;
  /** Takes no more calls, lets those under way end for `graceMs`, then drops the rest. */
  close(graceMs: number): Promise<void>;
}

/**
 * gRPC over TLS 1.3 under the SVID of the moment. A caller's certificate is verified against its own trust domain
 * at each handshake and again whenever trust changes: who is no longer believed is cut off. Sessions are not resumed.
 * @throws MeshError PORT_IN_USE
 */
export async function listenGrpc(options: GrpcServerOptions): Promise<GrpcListener> {
  const { host, port, source, trust, log } = options;
  const limits = { ...LIMITS, ...options.limits };
  const peers = new ConnectedPeers(new PeerVerifier(options.clock), trust, log);
  const grpc = new Server({
    interceptors: [admission(peers, new Set(options.anonymousMethods ?? []))],
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_concurrent_streams": limits.maxStreamsPerConnection,
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
  });
  options.services(grpc, peers.peerOf);
  // TLS ends here, not in grpc-js: there contexts and verification cannot follow trust.
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const context = (): SecureContextOptions => ({
    ...serverContextOptions(source.svid, trust.bundles, options.presentRoot),
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
  const anonymous = (options.anonymousMethods ?? []).length > 0;
  const tls = createServer({
    ...context(),
    requestCert: true,
    rejectUnauthorized: !anonymous,
    ALPNProtocols: ["h2"],
    handshakeTimeout: limits.handshakeMs,
    noDelay: true,
  });
  tls.maxConnections = limits.maxConnections;
  const open = new Set<Socket>();
  tls.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  tls.on("tlsClientError", (error, socket) => {
    log.debug("grpc.handshake.failed", { error: errorText(error) });
    // Node does not do so itself when it was the time that ran out.
    socket.destroy();
  });
  tls.on("secureConnection", (socket) => {
    socket.on("error", (error) => log.debug("grpc.connection.failed", { error: errorText(error) }));
    if (socket.alpnProtocol !== "h2" || !peers.admit(socket, anonymous, limits)) socket.destroy();
    else injector.injectConnection(socket);
  });
  const refresh = () => {
    try {
      tls.setSecureContext(context());
    } catch (error) {
      log.error("grpc.context.failed", { error: errorText(error) });
    }
    peers.reverify();
  };
  const stops = [source.onChange(refresh), trust.onChange(refresh)];
  try {
    await listening(tls, host, port);
  } catch (error) {
    for (const stop of stops) stop();
    grpc.forceShutdown();
    throw error;
  }
  const bound = (tls.address() as AddressInfo).port;
  return {
    port: bound,
    async close(graceMs) {
      for (const stop of stops) stop();
      const closed = new Promise<void>((resolve) => tls.close(() => resolve()));
      const cancel = options.clock.after(graceMs, () => {
        grpc.forceShutdown();
        for (const socket of open) socket.destroy();
      });
      await new Promise<void>((resolve) => grpc.tryShutdown(() => resolve()));
      cancel();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

function listening(server: TlsServer, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        new MeshError(
          "PORT_IN_USE",
          `Cannot listen on ${host}:${port}: ${errorText(error)}. Free it or choose another.`,
          { cause: error },
        ),
      ),
    );
    server.listen({ host, port }, resolve);
  });
}

/** Refuses calls of callers without a certificate, except for `open` methods. */
function admission(peers: ConnectedPeers, open: ReadonlySet<string>): ServerInterceptor {
  return (method, call) => {
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        if (open.has(method.path) || peers.peerOf(call) !== undefined) next(metadata);
        else
          call.sendStatus({
            code: status.UNAUTHENTICATED,
            details: "Cannot call this without a certificate.",
            metadata: new Metadata(),
          });
      })
      .build();
    return new ServerInterceptingCall(call, new ResponderBuilder().withStart((next) => next(listener)).build());
  };
}

/** The connections that are open and who is behind each. */
class ConnectedPeers {
  readonly #verifier: PeerVerifier;
  readonly #trust: TrustStore;
  readonly #log: Log;
  /** Undefined: no certificate. */
  readonly #sockets = new Map<TLSSocket, Identity | undefined>();
  /** By leaf: what grpc-js tells of a call's connection is the certificate that its handshake proved. */
  readonly #leaves = new Map<string, { identity: Identity; connections: number }>();
  #anonymous = 0;

  constructor(verifier: PeerVerifier, trust: TrustStore, log: Log) {
    this.#verifier = verifier;
    this.#trust = trust;
    this.#log = log;
  }

  readonly peerOf: PeerOf = (call) => {
    const leaf = call.getAuthContext().sslPeerCertificate;
    return leaf === undefined ? undefined : this.#leaves.get(leaf.fingerprint256)?.identity;
  };

  /** False where the peer is refused. */
  admit(socket: TLSSocket, anonymousAllowed: boolean, limits: GrpcLimits): boolean {
    const { fingerprint256: leaf }: Partial<PeerCertificate> = socket.getPeerCertificate();
    if (leaf === undefined) return anonymousAllowed && this.#admitAnonymous(socket, limits);
    const identity = this.#verify(socket);
    if (identity === undefined) return false;
    const entry = this.#leaves.get(leaf) ?? { identity, connections: 0 };
    entry.connections++;
    this.#leaves.set(leaf, entry);
    this.#sockets.set(socket, identity);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      if (--entry.connections === 0) this.#leaves.delete(leaf);
    });
    return true;
  }

  /** Cuts off whom trust no longer covers. */
  reverify(): void {
    for (const [socket, identity] of this.#sockets) {
      if (identity !== undefined && this.#verify(socket) === undefined) socket.destroy();
    }
  }

  #admitAnonymous(socket: TLSSocket, limits: GrpcLimits): boolean {
    if (this.#anonymous >= limits.maxAnonymous) return false;
    this.#anonymous++;
    this.#sockets.set(socket, undefined);
    const timer = setTimeout(() => socket.destroy(), limits.anonymousMs);
    timer.unref();
    socket.once("close", () => {
      clearTimeout(timer);
      this.#sockets.delete(socket);
      this.#anonymous--;
    });
    return true;
  }

  #verify(socket: TLSSocket): Identity | undefined {
    try {
      return this.#verifier.verify(socket, this.#trust.bundles);
    } catch (error) {
      const { code, message } = asMeshError(error, "CERTIFICATE_INVALID", "verify the caller");
      this.#log.warn("grpc.peer.refused", { code, error: message, address: socket.remoteAddress });
      return undefined;
    }
  }
}
