import type { Socket } from "node:net";
import { constants } from "node:os";
import type { TLSSocket } from "node:tls";
import { errorText } from "../core/errors.ts";
import type { ByteStream, ByteStreamUser } from "./byte-stream.ts";
import { type ShutdownRequest, type SocketHandle, type StreamHandle, UV_EOF } from "./handle-binding.ts";
import { type HandleIo, LEAST_READ_BYTES, READ_BYTES, type StreamCount } from "./handle-io.ts";
import { NOWHERE, nameOf, type SocketName } from "./handle-name.ts";
import { PASSED_ON_BYTES, type Sender, SLOT_BYTES, type Slot } from "./outbox.ts";
import { callbackError, closedError, overflowError, systemError } from "./stream-error.ts";

/** Under TLS a write always completes later; up to this much may wait before the source is told to stop. */
const TLS_WINDOW_BYTES = 65_536;
/** Reads below this many bytes, so many in a row, end a bulk flow: its buffer goes back. */
const BULK_FLOOR_BYTES = 16_384;
const BULK_PATIENCE = 16;
const FIRST_WAITING_BYTES = 4_096;
/** Up to so many a loop costs less than the view that a copy needs. */
const LOOP_BYTES = 192;

/** Of `readStart` on a TLS handle, which reads since its handshake. */
const ALREADY_READING = -constants.errno.EALREADY;

const ECONNRESET = -constants.errno.ECONNRESET;

/** Never written to: most streams hold nothing ever. */
const NONE_HELD: Buffer[] = [];

/** Until the owner of a new stream has said who uses it. */
const NO_USER: ByteStreamUser = { onRead() {}, onEnd() {}, onDrain() {}, onClose() {} };

/** `onread` of every handle. */
function onRead(this: StreamHandle): Buffer | undefined {
  return this.stream?.received();
}

/** After the close of every handle. */
function onClosed(this: StreamHandle): void {
  this.stream?.gone();
}

function onShutDown(this: ShutdownRequest): void {
  this.stream?.shutDown();
}

/** How a TLS stream is closed: Node's socket owns the handle, we only took over reading and writing. */
export interface TlsOwner {
  readonly socket: TLSSocket;
  /** The TCP socket below it. */
  readonly raw: Socket | undefined;
}

/**
 * A byte stream on a libuv handle, without Node's streams. Small writes wait in the outbox for the end of the turn, but
 * for those under TLS, which never complete at once. The kernel is tried first; what it does not take is in one write in
 * flight, and everything after it is gathered and written at once when that completes.
 */
export class HandleStream implements ByteStream, Sender {
  user: ByteStreamUser = NO_USER;
  maxReadBytes = READ_BYTES;
  closed = false;
  /** Of the bulk flow, as HandleIo wants to see it. */
  bulk: Buffer | undefined = undefined;
  bulkTaken = false;
  readonly #io: HandleIo;
  readonly #handle: StreamHandle;
  readonly #tls: TlsOwner | undefined;
  readonly #count: StreamCount | undefined;
  #bulkQuiet = 0;
  /** How much of the shared buffer the next read may fill. */
  #readBytes = READ_BYTES;
  /** The bulk buffer of another stream that our write in flight reads from. */
  #borrowed: Buffer | undefined = undefined;
  #inFlightBytes = 0;
  /** Of the outbox; never while a write is in flight. */
  #slot: Slot | undefined = undefined;
  #waiting: Buffer | undefined = undefined;
  #waitingBytes = 0;
  #owesDrain = false;
  #paused = false;
  /** Bytes that TLS had decrypted already when the stream was paused. */
  #held: Buffer[] = NONE_HELD;
  #heldEnd = false;
  #replaying = false;
  #readEnded = false;
  #ending = false;
  #shutDown = false;
  #error: Error | undefined = undefined;
  #remote: SocketName | undefined = undefined;
  #local: SocketName | undefined = undefined;

  constructor(io: HandleIo, handle: StreamHandle, tls?: TlsOwner, count?: StreamCount) {
    this.#io = io;
    this.#handle = handle;
    this.#tls = tls;
    this.#count = count;
    handle.stream = this;
    handle.onread = onRead;
    handle.useUserBuffer(io.readBuffer);
  }

  /** Starts reading; `early` is what arrived before the stream was made. */
  start(user: ByteStreamUser, early: readonly Buffer[] = NONE_HELD): void {
    this.user = user;
    if (this.closed) return;
    if (early.length > 0) {
      for (const chunk of early) this.#hold(chunk);
      this.#replay();
    }
    if (!this.#paused && !this.closed) this.#readOn();
  }

  get pendingBytes(): number {
    return this.#inFlightBytes + this.#waitingBytes + (this.#slot?.length ?? 0);
  }

  get remoteAddress(): string {
    return this.#remoteName().address;
  }

  get remotePort(): number {
    return this.#remoteName().port;
  }

  get localAddress(): string {
    return this.#localName().address;
  }

  get localPort(): number {
    return this.#localName().port;
  }

  get descriptor(): number {
    return this.closed ? -1 : (this.#handle.fd ?? -1);
  }

  write(buffer: Buffer, start: number, end: number): boolean {
    if (this.closed || this.#ending || end <= start) return true;
    if (this.#inFlightBytes > 0) return this.#wait(buffer, start, end);
    if (this.#tls !== undefined) this.#send(this.#view(buffer, start, end), 0);
    else {
      if (this.#put(buffer, start, end)) return true;
      // What did not fit may have sent what waited, and the kernel have taken no more.
      if (this.#inFlightBytes > 0) return this.#wait(buffer, start, end);
      this.#sendPlain(buffer, start, end);
    }
    return this.#report();
  }

  /** Sends what waits for the end of the turn. */
  flush(): void {
    const slot = this.#slot;
    if (slot === undefined) return;
    this.#slot = undefined;
    this.#send(slot.view(), 0);
    if (this.#inFlightBytes > 0) slot.giveAway();
    slot.length = 0;
  }

  pause(): void {
    if (this.#paused || this.closed) return;
    this.#paused = true;
    this.#handle.readStop();
  }

  resume(): void {
    if (!this.#paused || this.closed) return;
    this.#paused = false;
    if (this.#held.length === 0 && !this.#heldEnd) {
      this.#readOn();
    } else if (!this.#replaying) {
      this.#replaying = true;
      process.nextTick(() => {
        this.#replaying = false;
        if (this.#paused || this.closed) return;
        this.#replay();
        if (!this.#paused && !this.closed) this.#readOn();
      });
    }
  }

  end(): void {
    if (this.#ending || this.closed) return;
    this.flush();
    if (this.closed) return;
    this.#ending = true;
    if (this.#inFlightBytes === 0) this.#shutdown();
  }

  destroy(error?: Error, reset = false): void {
    this.flush();
    if (this.closed) return;
    this.closed = true;
    this.#error = error;
    this.#waiting = undefined;
    this.#waitingBytes = 0;
    this.#held = NONE_HELD;
    const tls = this.#tls;
    if (tls !== undefined) {
      if (reset && tls.raw !== undefined && !tls.raw.destroyed) tls.raw.resetAndDestroy();
      tls.socket.destroy();
      setImmediate(() => this.gone());
      return;
    }
    const handle = this.#handle as SocketHandle;
    // libuv refuses the reset of a stream that is shutting down, and has none for unix sockets.
    if (!reset || handle.reset === undefined || handle.reset(onClosed) !== 0) handle.close(onClosed);
  }

  /** The handle has read, as the binding's state says. What is returned is where the next read goes. */
  received(): Buffer | undefined {
    if (this.closed) return undefined;
    const n = this.#io.state[this.#io.nread] ?? 0;
    if (n > 0) {
      const buffer = this.bulk ?? this.#io.readBuffer;
      if (this.#paused || this.#held.length > 0) {
        this.#hold(Buffer.from(buffer.subarray(0, n)));
        return undefined;
      }
      return this.bulk === undefined ? this.#receivedShared(n) : this.#receivedBulk(this.bulk, n);
    }
    if (n === UV_EOF) {
      if (!this.#ending && this.#isDead()) this.destroy(closedError(systemError(ECONNRESET)));
      else if (this.#paused || this.#held.length > 0) this.#heldEnd = true;
      else this.#end();
    } else if (n < 0) {
      this.destroy(closedError(systemError(n)));
    }
    return undefined;
  }

  /** The write in flight has completed. */
  written(status: number): void {
    this.#inFlightBytes = 0;
    if (this.#borrowed !== undefined) {
      this.#io.returnBulk(this.#borrowed);
      this.#borrowed = undefined;
    }
    if (this.closed) return;
    if (status < 0) {
      this.destroy(closedError(systemError(status)));
      return;
    }
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      const length = this.#waitingBytes;
      this.#waiting = undefined;
      this.#waitingBytes = 0;
      this.#send(waiting.subarray(0, length), 0);
      if (this.closed || this.#inFlightBytes > 0) return;
    }
    if (this.#ending) this.#shutdown();
    if (!this.#owesDrain || this.closed) return;
    this.#owesDrain = false;
    try {
      this.user.onDrain();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** The FIN is on its way. */
  shutDown(): void {
    this.#shutDown = true;
    this.#closeIfDone();
  }

  /** The handle is closed. */
  gone(): void {
    if (this.bulk !== undefined && !this.bulkTaken) this.#io.returnBulk(this.bulk);
    this.bulk = undefined;
    if (this.#count !== undefined) this.#count.connections--;
    try {
      this.user.onClose(this.#error);
    } catch (error) {
      this.#io.log.error("stream_user_failed", { error: errorText(error) });
    }
  }

  /**
   * Where a reset came together with the last bytes libuv reports an end, as if the peer could still read. The kernel
   * knows no peer any more then; after an orderly end in one direction it does.
   */
  #isDead(): boolean {
    const handle = this.#handle as SocketHandle;
    return this.#tls === undefined && handle.getpeername !== undefined && handle.getpeername({}) !== 0;
  }

  #readOn(): void {
    const status = this.#handle.readStart();
    if (status < 0 && status !== ALREADY_READING) this.destroy(closedError(systemError(status)));
  }

  #receivedShared(n: number): Buffer | undefined {
    this.#deliver(this.#io.readBuffer, n);
    if (n < LEAST_READ_BYTES || this.closed || this.#tls !== undefined) return undefined;
    if (this.maxReadBytes > READ_BYTES) {
      if (n < this.#readBytes) return undefined;
      // The kernel had more than fits: a bulk flow, which reads into a buffer of its own from now on.
      this.#readBytes = READ_BYTES;
      this.#bulkQuiet = 0;
      this.bulk = this.#io.takeBulk();
      return this.bulk;
    }
    // What is read for someone who does not take it lies here, of each stalled peer: for those it is read by less.
    const before = this.#readBytes;
    if (this.#paused) this.#readBytes = Math.max(LEAST_READ_BYTES, before >> 1);
    else if (n === before) this.#readBytes = Math.min(READ_BYTES, before << 1);
    return this.#readBytes === before ? undefined : this.#io.readBufferOf(this.#readBytes);
  }

  #receivedBulk(buffer: Buffer, n: number): Buffer | undefined {
    const io = this.#io;
    const outer = io.bulkReader;
    io.bulkReader = this;
    this.bulkTaken = false;
    this.#deliver(buffer, n);
    io.bulkReader = outer;
    this.#bulkQuiet = n < BULK_FLOOR_BYTES ? this.#bulkQuiet + 1 : 0;
    if (this.#bulkQuiet < BULK_PATIENCE && !this.closed) {
      if (!this.bulkTaken) return undefined;
      this.bulkTaken = false;
      this.bulk = io.takeBulk();
      return this.bulk;
    }
    if (!this.bulkTaken) io.returnBulk(buffer);
    this.bulk = undefined;
    return io.readBuffer;
  }

  #deliver(buffer: Buffer, n: number): void {
    const { clock } = this.#io;
    clock.begin();
    try {
      this.user.onRead(buffer, n);
    } catch (error) {
      this.#failed(error);
    }
    clock.end();
  }

  #end(): void {
    if (this.#readEnded) return;
    this.#readEnded = true;
    this.#heldEnd = false;
    try {
      this.user.onEnd();
    } catch (error) {
      this.#failed(error);
    }
    this.#closeIfDone();
  }

  #hold(chunk: Buffer): void {
    if (this.#held === NONE_HELD) this.#held = [];
    this.#held.push(chunk);
  }

  #replay(): void {
    while (this.#held.length > 0 && !this.#paused && !this.closed) {
      const chunk = this.#held[0];
      if (chunk !== undefined) this.#deliver(chunk, chunk.length);
      this.#held.shift();
    }
    if (this.#heldEnd && !this.#paused && !this.closed) this.#end();
  }

  #view(buffer: Buffer, start: number, end: number): Buffer {
    const io = this.#io;
    if (buffer === io.readBuffer) return io.readViews.range(start, end);
    if (start === 0 && buffer === io.scratch) return io.scratchViews.range(0, end);
    return start === 0 && end === buffer.length ? buffer : buffer.subarray(start, end);
  }

  /** Puts the bytes into the outbox. False: there are too many, or it does not want them; what waited is sent. */
  #put(buffer: Buffer, start: number, end: number): boolean {
    const length = end - start;
    if (length > SLOT_BYTES) {
      this.flush();
      return false;
    }
    let slot = this.#slot;
    if (slot === undefined) {
      slot = this.#io.outbox.take(this);
      if (slot === undefined) return false;
      this.#slot = slot;
    } else if (slot.length + length > SLOT_BYTES) {
      this.flush();
      return false;
    }
    const { bytes, length: at } = slot;
    if (start === 0 && length <= PASSED_ON_BYTES && at === 0 && buffer === this.#io.readBuffer)
      slot.begin(this.#io.readWords, length);
    else if (length <= LOOP_BYTES) for (let i = 0; i < length; i++) bytes[at + i] = buffer[start + i] as number;
    else bytes.set(this.#view(buffer, start, end), at);
    slot.length = at + length;
    return true;
  }

  #sendPlain(buffer: Buffer, start: number, end: number): void {
    const io = this.#io;
    const length = end - start;
    if (start === 0 && buffer === io.scratch) {
      this.#send(io.scratchViews.range(0, length), length);
      return;
    }
    const reader = io.bulkReader;
    if (reader !== undefined && buffer === reader.bulk && !reader.bulkTaken) {
      this.#send(this.#view(buffer, start, end), 0);
      if (this.#inFlightBytes > 0) {
        reader.bulkTaken = true;
        this.#borrowed = buffer;
      }
      return;
    }
    if (length > io.scratch.length) {
      this.#send(Buffer.from(this.#view(buffer, start, end)), 0);
      return;
    }
    io.scratch.set(this.#view(buffer, start, end), 0);
    this.#send(io.scratchViews.range(0, length), length);
  }

  /** Hands `view` to the kernel, as far as it takes it. libuv may keep `scratchLength` bytes of the scratch. */
  #send(view: Buffer, scratchLength: number): void {
    const io = this.#io;
    const { request } = io;
    const status = this.#handle.writeBuffer(request, view);
    if (status !== 0) {
      this.destroy(closedError(systemError(status)));
      return;
    }
    if (io.state[io.lastAsync] === 0) return;
    request.stream = this;
    request.view = view;
    this.#inFlightBytes = view.length;
    io.giveRequest(scratchLength);
  }

  #wait(buffer: Buffer, start: number, end: number): boolean {
    const length = end - start;
    if (this.pendingBytes > this.#io.maxPendingBytes) {
      this.destroy(overflowError(this.#io.maxPendingBytes));
      return true;
    }
    const used = this.#waitingBytes;
    const known = this.#waiting;
    let waiting = known;
    if (waiting === undefined || used + length > waiting.length) {
      const room = Math.max(FIRST_WAITING_BYTES, used + length, 2 * (known?.length ?? 0));
      waiting = Buffer.allocUnsafe(room);
      if (known !== undefined) known.copy(waiting, 0, 0, used);
      this.#waiting = waiting;
    }
    buffer.copy(waiting, used, start, end);
    this.#waitingBytes = used + length;
    return this.#report();
  }

  #report(): boolean {
    const window = this.#tls === undefined ? 0 : TLS_WINDOW_BYTES;
    if (this.pendingBytes <= window || this.closed) return true;
    this.#owesDrain = true;
    return false;
  }

  #shutdown(): void {
    if (this.#readEnded && this.#tls === undefined) {
      // Nothing is left to be read, so the close sends the FIN: one system call less.
      this.destroy();
      return;
    }
    const request = new this.#io.binding.stream.ShutdownWrap();
    request.oncomplete = onShutDown;
    request.stream = this;
    const status = this.#handle.shutdown(request);
    // 1: done at once, and `oncomplete` is not called.
    if (status === 1) this.shutDown();
    else if (status < 0) this.destroy(closedError(systemError(status)));
  }

  #closeIfDone(): void {
    if (this.#readEnded && this.#shutDown) this.destroy();
  }

  #failed(error: unknown): void {
    this.#io.log.error("stream_user_failed", { error: errorText(error) });
    this.destroy(callbackError(error), true);
  }

  #remoteName(): SocketName {
    this.#remote ??= this.closed ? NOWHERE : nameOf(this.#handle, this.#tls?.socket, "getpeername");
    return this.#remote;
  }

  #localName(): SocketName {
    this.#local ??= this.closed ? NOWHERE : nameOf(this.#handle, this.#tls?.socket, "getsockname");
    return this.#local;
  }
}
