import type { Socket } from "node:net";
import { errorText } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { ByteStream, ByteStreamUser } from "./byte-stream.ts";
import { callbackError, closedError, overflowError } from "./stream-error.ts";

const NO_USER: ByteStreamUser = { onRead() {}, onEnd() {}, onDrain() {}, onClose() {} };

/** A byte stream on a plain socket: the fallback, by documented interfaces only. */
export class NetStream implements ByteStream {
  user: ByteStreamUser = NO_USER;
  maxReadBytes = 65_536;
  closed = false;
  readonly #socket: Socket;
  readonly #log: Log;
  readonly #maxPendingBytes: number;
  #owesDrain = false;
  #paused = false;
  #ending = false;
  #error: Error | undefined = undefined;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;

  constructor(socket: Socket, log: Log, maxPendingBytes: number) {
    this.#socket = socket;
    this.#log = log;
    this.#maxPendingBytes = maxPendingBytes;
    this.remoteAddress = socket.remoteAddress ?? "";
    this.remotePort = socket.remotePort ?? 0;
    this.localAddress = socket.localAddress ?? "";
    this.localPort = socket.localPort ?? 0;
    socket.on("error", (error) => this.#gone(closedError(error)));
    socket.on("end", () => this.#call(() => this.user.onEnd()));
    socket.on("drain", () => this.#drained());
    socket.once("close", () => this.#onClose());
  }

  /** Starts reading by events; without, the socket's `onread` calls `received`. */
  start(user: ByteStreamUser, byEvents: boolean): void {
    this.user = user;
    if (this.closed) return;
    if (byEvents) this.#socket.on("data", (chunk: Buffer) => this.received(chunk, chunk.length));
    if (this.#paused) this.#socket.pause();
    else this.#socket.resume();
  }

  received(buffer: Buffer, length: number): void {
    if (this.closed) return;
    try {
      this.user.onRead(buffer, length);
    } catch (error) {
      this.#failed(error);
    }
  }

  get descriptor(): number {
    return this.closed ? -1 : descriptorOf(this.#socket);
  }

  get pendingBytes(): number {
    return this.closed ? 0 : this.#socket.writableLength;
  }

  write(buffer: Buffer, start: number, end: number): boolean {
    if (this.closed || this.#ending || end <= start) return true;
    if (this.#socket.writableLength > this.#maxPendingBytes) {
      this.destroy(overflowError(this.#maxPendingBytes));
      return true;
    }
    const more = this.#socket.write(Buffer.from(buffer.subarray(start, end)));
    if (!more) this.#owesDrain = true;
    return more;
  }

  pause(): void {
    this.#paused = true;
    if (!this.closed) this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (!this.closed) this.#socket.resume();
  }

  end(): void {
    if (this.#ending || this.closed) return;
    this.#ending = true;
    this.#socket.end();
  }

  destroy(error?: Error, reset = false): void {
    if (this.closed) return;
    this.#gone(error);
    if (reset && canReset(this.#socket)) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  #gone(error: Error | undefined): void {
    if (this.closed) return;
    this.closed = true;
    this.#error = error;
  }

  #drained(): void {
    if (!this.#owesDrain) return;
    this.#owesDrain = false;
    this.#call(() => this.user.onDrain());
  }

  #call(run: () => void): void {
    if (this.closed) return;
    try {
      run();
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    this.#log.error("stream_user_failed", { error: errorText(error) });
    this.destroy(callbackError(error), true);
  }

  #onClose(): void {
    this.closed = true;
    try {
      this.user.onClose(this.#error);
    } catch (error) {
      this.#log.error("stream_user_failed", { error: errorText(error) });
    }
  }
}

/** Of the file below a socket or server; negative where Node does not say. */
export function descriptorOf(owner: object): number {
  const handle: unknown = Reflect.get(owner, "_handle");
  const fd: unknown = handle instanceof Object ? Reflect.get(handle, "fd") : undefined;
  return typeof fd === "number" ? fd : -1;
}

/** Node resets TCP sockets only, and throws for others. */
function canReset(socket: Socket): boolean {
  return !("encrypted" in socket) && socket.remoteFamily !== undefined;
}
