import { connect, createServer, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { errorText, type MeshError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { ByteStream, ByteStreamUser } from "./byte-stream.ts";
import { NetStream } from "./net-stream.ts";
import { connectError, connectTimeout } from "./stream-error.ts";
import { type TimerWheel, WheelTimer } from "./timer-wheel.ts";
import { addressText, listenServer, TlsHandshakes } from "./tls-handshake.ts";
import type {
  CancelConnect,
  ConnectTcpOptions,
  ConnectTlsOptions,
  Listener,
  ListenTcpOptions,
  ListenTlsOptions,
  TlsPeer,
  Transport,
} from "./transport.ts";

export interface AdapterOptions {
  readonly wheel: TimerWheel;
  readonly log: Log;
  readonly maxPendingBytes: number;
  readonly loneWritesAtOnce: boolean;
}

const SCRATCH_BYTES = 81_920;
const READ_BYTES = 65_536;

/** The adapter on plain sockets. */
export class NetTransport implements Transport {
  readonly adapter = "net";
  readonly wheel: TimerWheel;
  readonly scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  readonly #readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);
  readonly #options: AdapterOptions;
  readonly #handshakes: TlsHandshakes;

  constructor(options: AdapterOptions) {
    this.#options = options;
    this.wheel = options.wheel;
    this.#handshakes = new TlsHandshakes(options.wheel);
  }

  viewOf(buffer: Buffer, start: number, end: number): Buffer {
    return buffer.subarray(start, end);
  }

  listenTcp(options: ListenTcpOptions, onStream: (stream: ByteStream) => ByteStreamUser): Promise<Listener> {
    const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
    if (options.maxConnections !== undefined) server.maxConnections = options.maxConnections;
    server.on("connection", (socket) => this.adopt(socket, onStream));
    return listenServer(server, options);
  }

  listenTls<T>(
    options: ListenTlsOptions<T>,
    onStream: (stream: ByteStream, peer: TlsPeer<T>) => ByteStreamUser,
  ): Promise<Listener> {
    return this.#handshakes.listen(
      options,
      (socket, _raw, peer) => this.adopt(socket, (stream) => onStream(stream, peer)),
      (socket, onPlain) => this.adopt(socket, onPlain),
    );
  }

  connectTcp(
    options: ConnectTcpOptions,
    onConnect: (stream: ByteStream) => ByteStreamUser,
    onFailure: (error: MeshError) => void,
  ): CancelConnect {
    const target = addressText(options);
    let stream: NetStream | undefined;
    const onread = {
      buffer: this.#readBuffer,
      callback: (length: number, buffer: Uint8Array) => {
        stream?.received(buffer as Buffer, length);
        return true;
      },
    };
    const socket = connect({
      ...("path" in options ? { path: options.path } : { host: options.host, port: options.port }),
      ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
      allowHalfOpen: true,
      noDelay: true,
      autoSelectFamily: false,
      onread,
    });
    let settled = false;
    const fail = (error: MeshError) => {
      if (settled) return;
      settled = true;
      this.wheel.drop(timer);
      socket.destroy();
      onFailure(error);
    };
    const timer = new WheelTimer(() => fail(connectTimeout(target, options.timeoutMs)));
    this.wheel.arm(timer, options.timeoutMs);
    socket.on("error", (error) => fail(connectError(target, error)));
    socket.once("connect", () => {
      if (settled) return;
      settled = true;
      this.wheel.drop(timer);
      stream = new NetStream(socket, this.#options.log, this.#options.maxPendingBytes);
      const user = userOf(stream, onConnect, this.#options.log);
      if (user !== undefined) stream.start(user, false);
    });
    return () => {
      if (settled) return;
      settled = true;
      this.wheel.drop(timer);
      socket.destroy();
    };
  }

  connectTls<T>(
    options: ConnectTlsOptions<T>,
    onConnect: (stream: ByteStream, peer: TlsPeer<T>) => ByteStreamUser,
    onFailure: (error: MeshError) => void,
  ): CancelConnect {
    return this.#handshakes.connect(
      options,
      (socket, _raw, peer) => this.adopt(socket, (stream) => onConnect(stream, peer)),
      onFailure,
    );
  }

  /** Makes a stream of an open socket. */
  adopt(socket: Socket | TLSSocket, onStream: (stream: ByteStream) => ByteStreamUser): void {
    const stream = new NetStream(socket, this.#options.log, this.#options.maxPendingBytes);
    const user = userOf(stream, onStream, this.#options.log);
    if (user !== undefined) stream.start(user, true);
  }
}

/** Whom the owner of the new `stream` names as its user; if that throws, the stream goes, and there is none. */
export function userOf(
  stream: ByteStream,
  onStream: (stream: ByteStream) => ByteStreamUser,
  log: Log,
): ByteStreamUser | undefined {
  try {
    return onStream(stream);
  } catch (error) {
    log.error("stream_user_failed", { error: errorText(error) });
    stream.destroy(undefined, true);
    return undefined;
  }
}
