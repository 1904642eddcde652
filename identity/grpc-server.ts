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
  type StatusObject,
  status,
} from "@grpc/grpc-js";
import type { Clock } from "../core/clock.ts";
import { asMeshError, errorText, hasCode, MeshError } from "../core/errors.ts";
import type { Identity, TrustDomain } from "../core/identity.ts";
import type { Log } from "../core/log.ts";
import { parseCertificate } from "./certificate.ts";
import { ConnectionGate, type GateLimits, type GateRefusal } from "./connection-gate.ts";
import { MAX_MESSAGE_BYTES } from "./grpc-frames.ts";
import { grpcStatusOf } from "./grpc-status.ts";
import { leafIdentity, trustDomainOf } from "./svid-rules.ts";
import type { SvidSource } from "./svid-source.ts";
import type { TrustStore } from "./trust-store.ts";
import { PeerVerifier, serverContextOptions } from "./workload-tls.ts";

/** A call as a service gets it, for asking who makes it. */
export interface CallOfPeer {
  getAuthContext(): { sslPeerCertificate?: PeerCertificate };
  /** "address:port". */
  getPeer(): string;
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
  readonly maxMessageBytes: number;
}

/** What a workload has to hear of its root's end, and to take up another SVID, before it is cut off. */
const OWN_GRACE_MS = 3_000;

const LIMITS: GrpcLimits = {
  maxConnections: 4_096,
  maxAnonymous: 512,
  anonymousMs: 30_000,
  handshakeMs: 5_000,
  maxStreamsPerConnection: 1_000,
  maxMessageBytes: MAX_MESSAGE_BYTES,
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
  /** For a port that strangers reach; none without. */
  readonly gate?: {
    readonly limits: GateLimits;
    readonly onRefused: (reason: GateRefusal) => void;
    /** Bytes that a message took on the wire. */
    readonly sizeOf: (message: unknown) => number;
  };
  /**
   * What a caller is told whose certificate is of a trust domain that is not known here; whether it is its own nobody has
   * proved. Without, or where it is undefined, the connection is dropped.
   */
  readonly strangers?: (trustDomain: TrustDomain) => MeshError | undefined;
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
  const gate =
    options.gate &&
    new ConnectionGate(options.gate.limits, options.clock, (reason, address) => {
      options.gate?.onRefused(reason);
      log.warn("grpc.connection.refused", { reason, address });
    });
  const peers = new ConnectedPeers(new PeerVerifier(options.clock), options, gate);
  const grpc = new Server({
    interceptors: [
      admission(peers, new Set(options.anonymousMethods ?? []), (call, message) =>
        gate?.message(call.getPeer(), options.gate?.sizeOf(message) ?? 0),
      ),
    ],
    "grpc.max_receive_message_length": limits.maxMessageBytes,
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
    if (gate?.opened(socket) === false) return;
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
    peers.reverify(trustDomainOf(source.svid.identity));
  };
  const stops = [source.onChange(refresh), trust.onChange(refresh)];
  try {
    await listening(tls, host, port);
  } catch (error) {
    for (const stop of stops) stop();
    gate?.close();
    grpc.forceShutdown();
    throw error;
  }
  const bound = (tls.address() as AddressInfo).port;
  return {
    port: bound,
    async close(graceMs) {
      for (const stop of stops) stop();
      gate?.close();
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
function admission(
  peers: ConnectedPeers,
  open: ReadonlySet<string>,
  onMessage: (call: CallOfPeer, message: unknown) => void,
): ServerInterceptor {
  const anonymous: StatusObject = {
    code: status.UNAUTHENTICATED,
    details: "Cannot call this without a certificate.",
    metadata: new Metadata(),
  };
  return (method, call) => {
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        if (open.has(method.path) || peers.peerOf(call) !== undefined) {
          next(metadata);
          return;
        }
        const told = peers.toldTo(call);
        call.sendStatus(told === undefined ? anonymous : grpcStatusOf(told));
      })
      .withOnReceiveMessage((message, next) => {
        onMessage(call, message);
        next(message);
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
  readonly #gate: ConnectionGate | undefined;
  readonly #strangers: NonNullable<GrpcServerOptions["strangers"]>;
  /** By address and port, what callers of unknown trust domains are told. */
  readonly #told = new Map<string, MeshError>();
  /** Undefined: no certificate. */
  readonly #sockets = new Map<TLSSocket, Identity | undefined>();
  /** By leaf: what grpc-js tells of a call's connection is the certificate that its handshake proved. */
  readonly #leaves = new Map<string, { identity: Identity; connections: number }>();
  readonly #clock: Clock;
  #anonymous = 0;

  constructor(verifier: PeerVerifier, options: GrpcServerOptions, gate: ConnectionGate | undefined) {
    this.#verifier = verifier;
    this.#trust = options.trust;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#gate = gate;
    this.#strangers = options.strangers ?? (() => undefined);
  }

  toldTo(call: CallOfPeer): MeshError | undefined {
    return this.#told.get(call.getPeer());
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
    if (identity instanceof MeshError) {
      const told = anonymousAllowed && hasCode(identity, "TRUST_DOMAIN_UNKNOWN") ? this.#strangerAt(socket) : undefined;
      if (told === undefined) return false;
      const key = `${socket.remoteAddress}:${socket.remotePort}`;
      this.#told.set(key, told);
      socket.once("close", () => this.#told.delete(key));
      return this.#admitAnonymous(socket, limits);
    }
    if (this.#gate?.proven(socket, identity) === false) return false;
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
  /** Of this trust domain: they hear over these very connections that their root is going, and get another SVID. */
  reverify(own: TrustDomain): void {
    for (const [socket, identity] of this.#sockets) {
      if (identity === undefined || !(this.#verify(socket) instanceof MeshError)) continue;
      if (trustDomainOf(identity) !== own) socket.destroy();
      else this.#clock.after(OWN_GRACE_MS, () => socket.destroy());
    }
  }

  #admitAnonymous(socket: TLSSocket, limits: GrpcLimits): boolean {
    if (this.#anonymous >= limits.maxAnonymous) return false;
    this.#anonymous++;
    this.#gate?.anonymous(socket);
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

  #verify(socket: TLSSocket): Identity | MeshError {
    try {
      return this.#verifier.verify(socket, this.#trust.bundles);
    } catch (error) {
      const known = asMeshError(error, "CERTIFICATE_INVALID", "verify the caller");
      this.#log.warn("grpc.peer.refused", { code: known.code, error: known.message, address: socket.remoteAddress });
      return known;
    }
  }

  #strangerAt(socket: TLSSocket): MeshError | undefined {
    try {
      return this.#strangers(trustDomainOf(leafIdentity(parseCertificate(socket.getPeerCertificate().raw))));
    } catch {
      return undefined;
    }
  }
}
