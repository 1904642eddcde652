import type { TLSSocket, TlsOptions } from "node:tls";
import type { MeshError } from "../core/errors.ts";
import type { ByteStream, ByteStreamUser } from "./byte-stream.ts";
import type { AcceptedSocket } from "./original-destination.ts";
import type { TimerWheel } from "./timer-wheel.ts";

/** Where to listen or dial: TCP, or a unix socket. */
export type SocketAddress = { readonly host: string; readonly port: number } | { readonly path: string };

export type ListenTcpOptions = SocketAddress & {
  /** 4096 by default. */
  readonly backlog?: number;
  /** Connections over this are closed at once; unlimited by default. */
  readonly maxConnections?: number;
  /** Called with the descriptor of the listening socket before `listen…` resolves; what it throws is rejected with. */
  readonly prepare?: (descriptor: number) => void;
};

/** Keys, certificates, CAs and versions of one side. One object per generation: contexts are cached by identity. */
export type TlsSettings = TlsOptions;

/**
 * Judges the peer after every handshake, resumed ones included; what it returns is the stream's `verified`.
 * `chain` is the DER of what the peer sent, leaf first, remembered from the full handshake where the session is
 * resumed (the socket has no longer all of it, so judge the chain, not the socket's certificates). @throws MeshError to refuse the connection
 */
export type VerifyPeer<T> = (chain: readonly Buffer[], socket: TLSSocket) => T;

export interface TlsPeer<T> {
  readonly verified: T;
  /** Negotiated ALPN protocol; "" where there is none. */
  readonly alpn: string;
  /** SNI; "" where there is none. */
  readonly servername: string;
  readonly resumed: boolean;
}

export type ListenTlsOptions<T> = ListenTcpOptions & {
  /** Asked for each connection, so that a rotated certificate counts from the next one on. */
  readonly settings: () => TlsSettings;
  readonly alpn: readonly string[];
  /** 10 s by default. */
  readonly handshakeTimeoutMs?: number;
  readonly verify: VerifyPeer<T>;
  /** A handshake that failed, or a peer that `verify` refused. */
  readonly onRefused?: (error: MeshError, remoteAddress: string) => void;
  readonly diversion?: Diversion;
};

/** Connections that come in at a TLS listener because they were redirected there, and may be for somebody else. */
export interface Diversion {
  /** Whether first bytes are looked at; asked for each connection. Others are TLS as always. */
  concerns(socket: AcceptedSocket): boolean;
  /**
   * What a connection is for by all that came so far, `"listener"` being TLS as always; undefined: not to be told yet.
   * `over`: no more comes in time, so it must be told.
   */
  judge(socket: AcceptedSocket, first: Buffer, over: boolean): "listener" | "other" | undefined;
  /** Takes one that is for somebody else; `first` and the end, if `ended`, are not said again. */
  onStream(stream: ByteStream, first: Buffer, ended: boolean): ByteStreamUser;
  readonly timeoutMs: number;
}

export type ConnectTcpOptions = SocketAddress & {
  readonly timeoutMs: number;
  readonly localAddress?: string;
};

export type ConnectTlsOptions<T> = ConnectTcpOptions & {
  /** SNI. */
  readonly servername: string;
  readonly settings: TlsSettings;
  readonly alpn: readonly string[];
  /** Sessions are resumed under equal keys only: name all that the peer's acceptance depends on. */
  readonly sessionKey: string;
  readonly verify: VerifyPeer<T>;
};

export interface Listener {
  /** 0 for a unix socket. */
  readonly port: number;
  /** Open connections that came in here. */
  readonly connections: number;
  /** Stops accepting; connections live on. */
  close(): Promise<void>;
}

/** Gives up connecting; neither callback runs afterwards. Nothing once connected. */
export type CancelConnect = () => void;

/** Opens and accepts byte streams. */
export interface Transport {
  readonly adapter: "handle" | "net";
  /** For deadlines of connections: one coarse timer for all. */
  readonly wheel: TimerWheel;
  /**
   * Room of 80 KiB to lay out what is written next: `write(transport.scratch, 0, n)` needs no copy. It may be
   * another buffer after each write, so take it anew for each message and keep nothing in it.
   */
  readonly scratch: Buffer;
  /** Bytes `start` to `end` of a buffer that `onRead` was called with, to be copied from before it returns. */
  viewOf(buffer: Buffer, start: number, end: number): Buffer;
  /** @throws MeshError PORT_IN_USE */
  listenTcp(options: ListenTcpOptions, onStream: (stream: ByteStream) => ByteStreamUser): Promise<Listener>;
  /** `onStream` runs after handshake and `verify`. @throws MeshError PORT_IN_USE */
  listenTls<T>(
    options: ListenTlsOptions<T>,
    onStream: (stream: ByteStream, peer: TlsPeer<T>) => ByteStreamUser,
  ): Promise<Listener>;
  /** Exactly one of the callbacks runs, later. Failure is PROXY_CONNECT_FAILED; `cause.code` is the errno. */
  connectTcp(
    options: ConnectTcpOptions,
    onConnect: (stream: ByteStream) => ByteStreamUser,
    onFailure: (error: MeshError) => void,
  ): CancelConnect;
  /**
   * As `connectTcp`, then a handshake and `verify`. Failure is PROXY_CONNECT_FAILED before, TLS_HANDSHAKE (or
   * what `verify` threw) from the handshake on. `timeoutMs` spans both.
   */
  connectTls<T>(
    options: ConnectTlsOptions<T>,
    onConnect: (stream: ByteStream, peer: TlsPeer<T>) => ByteStreamUser,
    onFailure: (error: MeshError) => void,
  ): CancelConnect;
}
