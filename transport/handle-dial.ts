import { lookup } from "node:dns/promises";
import { isIP, isIPv6 } from "node:net";
import type { MeshError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { ByteStream, ByteStreamUser } from "./byte-stream.ts";
import type { ConnectRequest, PipeHandle, SocketHandle } from "./handle-binding.ts";
import type { HandleIo } from "./handle-io.ts";
import { HandleStream } from "./handle-stream.ts";
import { userOf } from "./net-transport.ts";
import { connectError, connectTimeout, systemError } from "./stream-error.ts";
import { Deadline, type TimerWheel } from "./timer-wheel.ts";
import { addressText } from "./tls-handshake.ts";
import type { ConnectTcpOptions } from "./transport.ts";

/** What all dials of a transport share. */
export interface DialContext {
  readonly io: HandleIo;
  readonly wheel: TimerWheel;
  readonly log: Log;
}

/** `oncomplete` of every connect. */
function onConnected(this: ConnectRequest, status: number): void {
  this.dial?.connected(status);
}

/** One connection that is being opened: its own deadline, so that a dial costs no closures. */
export class HandleDial extends Deadline {
  readonly #context: DialContext;
  readonly #options: ConnectTcpOptions;
  readonly #onConnect: (stream: ByteStream) => ByteStreamUser;
  readonly #onFailure: (error: MeshError) => void;
  readonly #handle: SocketHandle | PipeHandle;
  #settled = false;

  constructor(
    context: DialContext,
    options: ConnectTcpOptions,
    onConnect: (stream: ByteStream) => ByteStreamUser,
    onFailure: (error: MeshError) => void,
  ) {
    super();
    this.#context = context;
    this.#options = options;
    this.#onConnect = onConnect;
    this.#onFailure = onFailure;
    const { tcp, pipe } = context.io.binding;
    this.#handle = "path" in options ? new pipe.Pipe(pipe.constants.SOCKET) : new tcp.TCP(tcp.constants.SOCKET);
  }

  start(): void {
    const options = this.#options;
    this.#context.wheel.arm(this, options.timeoutMs);
    if ("path" in options || isAddress(options.host)) {
      this.#dial("path" in options ? "" : options.host);
      return;
    }
    lookup(options.host).then(
      ({ address }) => this.#dial(address),
      (error: unknown) => this.#fail(connectError(addressText(options), error)),
    );
  }

  cancel(): void {
    if (this.#settle()) this.#handle.close();
  }

  /** Not in time. */
  run(): void {
    this.#fail(connectTimeout(addressText(this.#options), this.#options.timeoutMs));
  }

  connected(status: number): void {
    if (this.#settled) return;
    if (status < 0) {
      this.#fail(connectError(addressText(this.#options), systemError(status)));
      return;
    }
    this.#settle();
    const { io, log } = this.#context;
    if (!("path" in this.#options)) (this.#handle as SocketHandle).setNoDelay(true);
    const stream = new HandleStream(io, this.#handle);
    const user = userOf(stream, this.#onConnect, log);
    if (user !== undefined) stream.start(user);
  }

  #dial(address: string): void {
    if (this.#settled) return;
    const options = this.#options;
    const { tcp, pipe } = this.#context.io.binding;
    const unix = "path" in options;
    const request: ConnectRequest = unix ? new pipe.PipeConnectWrap() : new tcp.TCPConnectWrap();
    request.oncomplete = onConnected;
    request.dial = this;
    const status = unix
      ? (this.#handle as PipeHandle).connect(request, options.path)
      : dialTcp(this.#handle as SocketHandle, request, address, options.port, options.localAddress);
    if (status !== 0) {
      process.nextTick(() => this.#fail(connectError(addressText(options), systemError(status))));
    } else if (!unix) {
      // Nothing is read before it is connected. Begun then only, it costs libuv two system calls for epoll, not none.
      this.#handle.readStart();
    }
  }

  #fail(error: MeshError): void {
    if (!this.#settle()) return;
    this.#handle.close();
    this.#onFailure(error);
  }

  /** False where it was settled before. */
  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#context.wheel.drop(this);
    return true;
  }
}

/** Whether `host` needs no look-up. Most are dotted quads: for these the patterns of isIP are a waste. */
function isAddress(host: string): boolean {
  let dots = 0;
  for (let i = 0; i < host.length; i++) {
    const letter = host.charCodeAt(i);
    if (letter === DOT) dots++;
    else if (letter < ZERO || letter > NINE) return isIP(host) !== 0;
  }
  return dots === 3;
}

const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

export function bind(handle: SocketHandle, address: string, port: number): number {
  return isIPv6(address) ? handle.bind6(address, port, 0) : handle.bind(address, port);
}

function dialTcp(handle: SocketHandle, request: ConnectRequest, address: string, port: number, from?: string): number {
  const bound = from === undefined ? 0 : bind(handle, from, 0);
  if (bound !== 0) return bound;
  // Of an address only: a search for the colon costs a hundredth of the pattern of isIPv6.
  return address.includes(":") ? handle.connect6(request, address, port) : handle.connect(request, address, port);
}
