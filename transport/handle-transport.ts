import { lookup } from "node:dns/promises";
import { isIP, isIPv6, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { EventClock } from "../core/clock.ts";
import type { MeshError } from "../core/errors.ts";
import type { ByteStream, ByteStreamUser } from "./byte-stream.ts";
import type { ConnectRequest, HandleBinding, PipeHandle, SocketHandle, StreamHandle } from "./handle-binding.ts";
import { HandleIo } from "./handle-io.ts";
import { HandleStream } from "./handle-stream.ts";
import { type AdapterOptions, begin, NetTransport } from "./net-transport.ts";
import { closedError, connectError, connectTimeout, listenError, systemError } from "./stream-error.ts";
import { type TimerWheel, WheelTimer } from "./timer-wheel.ts";
import { addressText, TlsHandshakes } from "./tls-handshake.ts";
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

const BACKLOG = 4_096;

/** The adapter on libuv handles. */
export class HandleTransport implements Transport {
  readonly adapter = "handle";
  readonly wheel: TimerWheel;
  readonly #options: AdapterOptions;
  readonly #io: HandleIo;
  readonly #handshakes: TlsHandshakes;
  /** For a TLS socket whose handle cannot be taken over. */
  readonly #fallback: NetTransport;

  /** `clock` stands still during each read. */
  constructor(binding: HandleBinding, options: AdapterOptions, clock: EventClock) {
    this.#options = options;
    this.wheel = options.wheel;
    this.#io = new HandleIo(binding, options.log, options.maxPendingBytes, clock);
    this.#handshakes = new TlsHandshakes(options.wheel);
    this.#fallback = new NetTransport(options);
  }

  get scratch(): Buffer {
    return this.#io.scratch;
  }

  viewOf(buffer: Buffer, start: number, end: number): Buffer {
    const io = this.#io;
    return buffer === io.readBuffer ? io.readViews.range(start, end) : buffer.subarray(start, end);
  }

  async listenTcp(options: ListenTcpOptions, onStream: (stream: ByteStream) => ByteStreamUser): Promise<Listener> {
    const { tcp, pipe } = this.#io.binding;
    const unix = "path" in options;
    const server = unix ? new pipe.Pipe(pipe.constants.SERVER) : new tcp.TCP(tcp.constants.SERVER);
    const check = (status: number) => {
      if (status === 0) return;
      server.close();
      throw listenError(addressText(options), systemError(status));
    };
    if (unix) check((server as PipeHandle).bind(options.path));
    else check(bind(server as SocketHandle, (await lookup(options.host)).address, options.port));
    const limit = options.maxConnections ?? Number.POSITIVE_INFINITY;
    let connections = 0;
    server.onconnection = (status: number, handle: StreamHandle | undefined) => {
      if (status !== 0 || handle === undefined) {
        this.#options.log.warn("accept_failed", { reason: errorCode(status) });
        return;
      }
      if (connections >= limit) {
        handle.close();
        return;
      }
      connections++;
      this.#begin(handle, unix, onStream, () => connections--);
    };
    check(server.listen(options.backlog ?? BACKLOG));
    try {
      options.prepare?.(server.fd ?? -1);
    } catch (error) {
      server.close();
      throw error;
    }
    const bound: { port?: number } = {};
    if (!unix) (server as SocketHandle).getsockname(bound);
    let closing: Promise<void> | undefined;
    return {
      port: bound.port ?? 0,
      get connections() {
        return connections;
      },
      close: () => {
        closing ??= new Promise<void>((resolve) => server.close(resolve));
        return closing;
      },
    };
  }

  listenTls<T>(
    options: ListenTlsOptions<T>,
    onStream: (stream: ByteStream, peer: TlsPeer<T>) => ByteStreamUser,
  ): Promise<Listener> {
    return this.#handshakes.listen(
      options,
      (socket, raw, peer) => this.#takeOver(socket, raw, (stream) => onStream(stream, peer)),
      (socket, onPlain) => this.#fallback.adopt(socket, onPlain),
    );
  }

  connectTcp(
    options: ConnectTcpOptions,
    onConnect: (stream: ByteStream) => ByteStreamUser,
    onFailure: (error: MeshError) => void,
  ): CancelConnect {
    const { tcp, pipe } = this.#io.binding;
    const unix = "path" in options;
    const handle = unix ? new pipe.Pipe(pipe.constants.SOCKET) : new tcp.TCP(tcp.constants.SOCKET);
    let settled = false;
    const fail = (error: MeshError) => {
      if (settled) return;
      settled = true;
      this.wheel.disarm(timer);
      handle.close();
      onFailure(error);
    };
    const timer = new WheelTimer(() => fail(connectTimeout(addressText(options), options.timeoutMs)));
    this.wheel.arm(timer, options.timeoutMs);
    const request: ConnectRequest = unix ? new pipe.PipeConnectWrap() : new tcp.TCPConnectWrap();
    request.oncomplete = (status) => {
      if (settled) return;
      if (status < 0) {
        fail(connectError(addressText(options), systemError(status)));
        return;
      }
      settled = true;
      this.wheel.disarm(timer);
      this.#begin(handle, unix, onConnect);
    };
    const dial = (address: string) => {
      if (settled) return;
      const status = unix
        ? (handle as PipeHandle).connect(request, options.path)
        : dialTcp(handle as SocketHandle, request, address, options.port, options.localAddress);
      if (status !== 0) process.nextTick(() => fail(connectError(addressText(options), systemError(status))));
    };
    if (unix || isIP(options.host) !== 0) dial(unix ? "" : options.host);
    else
      lookup(options.host).then(
        ({ address }) => dial(address),
        (error: unknown) => fail(connectError(addressText(options), error)),
      );
    return () => {
      if (settled) return;
      settled = true;
      this.wheel.disarm(timer);
      handle.close();
    };
  }

  connectTls<T>(
    options: ConnectTlsOptions<T>,
    onConnect: (stream: ByteStream, peer: TlsPeer<T>) => ByteStreamUser,
    onFailure: (error: MeshError) => void,
  ): CancelConnect {
    return this.#handshakes.connect(
      options,
      (socket, raw, peer) => this.#takeOver(socket, raw, (stream) => onConnect(stream, peer)),
      onFailure,
    );
  }

  #begin(
    handle: StreamHandle,
    unix: boolean,
    onStream: (stream: ByteStream) => ByteStreamUser,
    onGone?: () => void,
  ): void {
    if (!unix) (handle as SocketHandle).setNoDelay(true);
    const stream = new HandleStream(this.#io, handle, undefined, onGone);
    begin(stream, onStream, this.#options.log, (user, made) => made.start(user, []));
  }

  /** From here on Node's socket neither reads nor writes: it owns the handle and closes it. */
  #takeOver(socket: TLSSocket, raw: Socket | undefined, onStream: (stream: ByteStream) => ByteStreamUser): void {
    const handle: unknown = Reflect.get(socket, "_handle");
    if (!isStreamHandle(handle)) {
      this.#fallback.adopt(socket, onStream);
      return;
    }
    const early: Buffer[] = [];
    for (let chunk: unknown = socket.read(); chunk instanceof Buffer; chunk = socket.read()) early.push(chunk);
    const stream = new HandleStream(this.#io, handle, { socket, raw });
    socket.on("error", (error) => stream.destroy(closedError(error)));
    socket.on("close", () => stream.destroy());
    begin(stream, onStream, this.#options.log, (user, made) => made.start(user, early));
  }
}

function isStreamHandle(handle: unknown): handle is StreamHandle {
  return (
    handle instanceof Object &&
    ["useUserBuffer", "writeBuffer", "readStart", "readStop", "shutdown"].every(
      (name) => typeof Reflect.get(handle, name) === "function",
    )
  );
}

function errorCode(status: number): string {
  return systemError(status).message;
}

function bind(handle: SocketHandle, address: string, port: number): number {
  return isIPv6(address) ? handle.bind6(address, port, 0) : handle.bind(address, port);
}

function dialTcp(handle: SocketHandle, request: ConnectRequest, address: string, port: number, from?: string): number {
  const bound = from === undefined ? 0 : bind(handle, from, 0);
  if (bound !== 0) return bound;
  // Of an address only: a search for the colon costs a hundredth of the pattern of isIPv6.
  return address.includes(":") ? handle.connect6(request, address, port) : handle.connect(request, address, port);
}
