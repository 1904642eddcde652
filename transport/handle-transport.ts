import { lookup } from "node:dns/promises";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { EventClock } from "../core/clock.ts";
import type { MeshError } from "../core/errors.ts";
import type { ByteStream, ByteStreamUser } from "./byte-stream.ts";
import type { HandleBinding, PipeHandle, SocketHandle, StreamHandle } from "./handle-binding.ts";
import { bind, type DialContext, HandleDial } from "./handle-dial.ts";
import { HandleIo, type StreamCount } from "./handle-io.ts";
import { HandleStream } from "./handle-stream.ts";
import { type AdapterOptions, NetTransport, userOf } from "./net-transport.ts";
import { closedError, listenError, systemError } from "./stream-error.ts";
import type { TimerWheel } from "./timer-wheel.ts";
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
const INHERITS_NO_DELAY = process.platform === "linux";

/** The adapter on libuv handles. */
export class HandleTransport implements Transport {
  readonly adapter = "handle";
  readonly wheel: TimerWheel;
  readonly #options: AdapterOptions;
  readonly #io: HandleIo;
  readonly #dialing: DialContext;
  readonly #handshakes: TlsHandshakes;
  /** For a TLS socket whose handle cannot be taken over. */
  readonly #fallback: NetTransport;

  /** `clock` stands still during each read. */
  constructor(binding: HandleBinding, options: AdapterOptions, clock: EventClock) {
    this.#options = options;
    this.wheel = options.wheel;
    this.#io = new HandleIo(binding, options, clock);
    this.#dialing = { io: this.#io, wheel: options.wheel, log: options.log };
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
    // What is accepted inherits this from what listens: a system call less for each connection.
    if (!unix) (server as SocketHandle).setNoDelay(true);
    const limit = options.maxConnections ?? Number.POSITIVE_INFINITY;
    const count: StreamCount = { connections: 0 };
    server.onconnection = (status: number, handle: StreamHandle | undefined) => {
      if (status !== 0 || handle === undefined) {
        this.#options.log.warn("accept_failed", { reason: errorCode(status) });
        return;
      }
      if (count.connections >= limit) {
        handle.close();
        return;
      }
      count.connections++;
      if (!unix && !INHERITS_NO_DELAY) (handle as SocketHandle).setNoDelay(true);
      this.#begin(new HandleStream(this.#io, handle, undefined, count), onStream);
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
        return count.connections;
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
    const dial = new HandleDial(this.#dialing, options, onConnect, onFailure);
    dial.start();
    return () => dial.cancel();
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

  #begin(stream: HandleStream, onStream: (stream: ByteStream) => ByteStreamUser, early?: readonly Buffer[]): void {
    const user = userOf(stream, onStream, this.#options.log);
    if (user !== undefined) stream.start(user, early);
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
    this.#begin(stream, onStream, early);
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
