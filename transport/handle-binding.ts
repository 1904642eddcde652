import { createRequire } from "node:module";

/** What of Node's undocumented stream handles is used here; found equal on Node 20, 22, 24 and 26. */
export interface StreamHandle {
  onread: ((this: StreamHandle) => Buffer | undefined) | undefined;
  /** Ours: whose handle it is. */
  stream?: { received(): Buffer | undefined; gone(): void };
  readStart(): number;
  readStop(): number;
  /** Every read lands in `buffer`, until `onread` returns another. */
  useUserBuffer(buffer: Buffer): void;
  /** Tries to write at once; `streamState[lastWriteWasAsync]` tells whether libuv keeps request and view. */
  writeBuffer(request: WriteRequest, view: Buffer): number;
  shutdown(request: ShutdownRequest): number;
  close(done?: (this: StreamHandle) => void): void;
  /** Of the file; negative where there is none. */
  readonly fd?: number;
}

interface AddressOut {
  address?: string;
  port?: number;
}

export interface SocketHandle extends StreamHandle {
  bind(address: string, port: number): number;
  bind6(address: string, port: number, flags: number): number;
  listen(backlog: number): number;
  onconnection: (status: number, client: SocketHandle | undefined) => void;
  connect(request: ConnectRequest, address: string, port: number): number;
  connect6(request: ConnectRequest, address: string, port: number): number;
  getsockname(out: AddressOut): number;
  getpeername(out: AddressOut): number;
  setNoDelay(on: boolean): number;
  /** Closes with RST. */
  reset(done?: (this: StreamHandle) => void): number;
}

export interface PipeHandle extends StreamHandle {
  bind(path: string): number;
  listen(backlog: number): number;
  onconnection: (status: number, client: PipeHandle | undefined) => void;
  connect(request: ConnectRequest, path: string): number;
}

export interface WriteRequest {
  oncomplete: ((this: WriteRequest, status: number) => void) | undefined;
  /** Ours: keep alive what libuv works on. */
  stream?: { written(status: number): void };
  view?: Buffer;
}

export interface ShutdownRequest {
  oncomplete: ((this: ShutdownRequest, status: number) => void) | undefined;
  /** Ours. */
  stream?: { shutDown(): void };
}

export interface ConnectRequest {
  oncomplete: ((this: ConnectRequest, status: number) => void) | undefined;
  /** Ours. */
  dial?: { connected(status: number): void };
}

interface TcpBinding {
  TCP: new (type: number) => SocketHandle;
  TCPConnectWrap: new () => ConnectRequest;
  constants: { SOCKET: number; SERVER: number };
}

interface PipeBinding {
  Pipe: new (type: number) => PipeHandle;
  PipeConnectWrap: new () => ConnectRequest;
  constants: { SOCKET: number; SERVER: number };
}

interface StreamBinding {
  WriteWrap: new () => WriteRequest;
  ShutdownWrap: new () => ShutdownRequest;
  streamBaseState: Int32Array;
  kReadBytesOrError: number;
  kLastWriteWasAsync: number;
}

export interface HandleBinding {
  readonly tcp: TcpBinding;
  readonly pipe: PipeBinding;
  readonly stream: StreamBinding;
}

/** @throws Error where this Node has no such bindings */
export function loadHandleBinding(): HandleBinding {
  const inner: object = createRequire(import.meta.url)("node:process");
  if (!("binding" in inner) || typeof inner.binding !== "function") throw new Error("process.binding is missing");
  const binding = (name: string): unknown => Reflect.apply(inner.binding as () => unknown, inner, [name]);
  const found = {
    tcp: binding("tcp_wrap") as TcpBinding,
    pipe: binding("pipe_wrap") as PipeBinding,
    stream: binding("stream_wrap") as StreamBinding,
  };
  const { WriteWrap, ShutdownWrap, streamBaseState, kReadBytesOrError, kLastWriteWasAsync } = found.stream;
  const whole =
    typeof found.tcp.TCP === "function" &&
    typeof found.pipe.Pipe === "function" &&
    typeof WriteWrap === "function" &&
    typeof ShutdownWrap === "function" &&
    streamBaseState !== undefined &&
    typeof kReadBytesOrError === "number" &&
    typeof kLastWriteWasAsync === "number";
  if (!whole) throw new Error("Node's stream bindings have another shape");
  return found;
}

/** libuv's end of file. */
export const UV_EOF = -4095;
