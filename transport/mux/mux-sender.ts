import type { ByteStream } from "../byte-stream.ts";
import { BLOCKED, DATA, END, HEADER_BYTES, MAX_PAYLOAD, putHeader, RESET, WINDOW } from "./frame.ts";
import type { Flushed, MuxContext } from "./mux-context.ts";
import type { FrameSender, MuxStream } from "./mux-stream.ts";
import type { SilenceWatch } from "./silence-watch.ts";

/** How much of one stream's backlog goes out before the next one's turn. */
const QUANTUM_BYTES = 16_384;

/** Whose frames are sent. */
interface SenderOwner {
  /** The peer reads so little that not even control frames find room. */
  onBacklog(): void;
  /** All that was gathered has been written, and those who waited for room were asked. */
  onFlushed(): void;
}

/**
 * The sending half of a multiplexed connection: frames are gathered in one buffer and written once per turn of the event
 * loop. Data leaves room for the control frames that must not wait, and streams with more than fits send by turns.
 */
export class MuxSender implements FrameSender, Flushed {
  readonly #context: MuxContext;
  readonly #stream: ByteStream;
  readonly #owner: SenderOwner;
  readonly #watch: SilenceWatch;
  /** What is gathered, and how much. */
  #out: Buffer | undefined = undefined;
  #outBytes = 0;
  /** The connection below takes no more for now. */
  #blocked = false;
  #flushDue = false;
  /** Streams with bytes and credit that wait for room. */
  #queue: MuxStream[] = [];
  #pumping = false;
  #over = false;

  constructor(context: MuxContext, stream: ByteStream, owner: SenderOwner, watch: SilenceWatch) {
    this.#context = context;
    this.#stream = stream;
    this.#owner = owner;
    this.#watch = watch;
  }

  /** Whether something is gathered that was not written yet. */
  get waits(): boolean {
    return this.#outBytes > 0;
  }

  sendData(stream: MuxStream, buffer: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && stream.credit > 0 && !this.#over) {
      let room = this.#context.gatheredBytes - this.#outBytes - HEADER_BYTES;
      // A small remainder is not worth cutting a frame for.
      if (room < end - at && room < QUANTUM_BYTES && this.#outBytes > 0 && !this.#blocked) {
        this.#write();
        continue;
      }
      room = Math.min(room, end - at, stream.credit, MAX_PAYLOAD);
      if (room <= 0) return at;
      const out = this.#gather();
      const from = putHeader(out, this.#outBytes, stream.id, DATA, room);
      buffer.copy(out, from, at, at + room);
      this.#outBytes = from + room;
      stream.credit -= room;
      at += room;
    }
    stream.answered = true;
    this.#watch.said();
    return at;
  }

  sayBlocked(stream: MuxStream): void {
    if (stream.saidBlocked) return;
    stream.saidBlocked = true;
    this.control(stream.id, BLOCKED, 0);
  }

  sendEnd(stream: MuxStream): void {
    stream.answered = true;
    this.control(stream.id, END, 0);
  }

  sendWindow(stream: MuxStream, bytes: number): void {
    this.control(stream.id, WINDOW, bytes);
  }

  sendReset(stream: MuxStream, how: number): void {
    this.control(stream.id, RESET, how);
  }

  waitForRoom(stream: MuxStream): void {
    if (stream.queued || stream.credit === 0) return;
    stream.queued = true;
    this.#queue.push(stream);
  }

  /** A frame that is all header; nothing once it is over. */
  control(id: number, type: number, value: number): void {
    if (this.#over) return;
    const out = this.#gather();
    if (this.#outBytes + HEADER_BYTES > out.length) {
      if (this.#blocked) {
        this.#owner.onBacklog();
        return;
      }
      this.#write();
      this.control(id, type, value);
      return;
    }
    this.#outBytes = putHeader(out, this.#outBytes, id, type, value);
  }

  flushSoon(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    this.#context.flushSoon(this);
  }

  /** Writes what is gathered; the end of a turn. */
  flush(): void {
    this.#flushDue = false;
    if (!this.#blocked) this.#goOn();
  }

  /** The connection below takes more again. */
  drained(): void {
    this.#blocked = false;
    this.#goOn();
  }

  /** `stream` has got credit. */
  credited(stream: MuxStream): void {
    this.waitForRoom(stream);
    if (!this.#blocked) this.#pump();
  }

  /** Nothing more is sent; what is gathered is dropped. */
  stop(): void {
    this.#over = true;
    if (this.#out !== undefined) this.#context.giveBuffer(this.#out);
    this.#out = undefined;
    this.#outBytes = 0;
    this.#queue = [];
  }

  #goOn(): void {
    if (this.#over) return;
    this.#write();
    this.#pump();
    this.#owner.onFlushed();
  }

  /** The gathering buffer, which goes out at the end of this turn. */
  #gather(): Buffer {
    this.flushSoon();
    this.#out ??= this.#context.takeBuffer();
    return this.#out;
  }

  #write(): void {
    const out = this.#out;
    const bytes = this.#outBytes;
    if (out === undefined || bytes === 0) return;
    this.#out = undefined;
    this.#outBytes = 0;
    if (!this.#stream.write(out, 0, bytes)) this.#blocked = true;
    this.#context.giveBuffer(out);
  }

  /** Lets the streams that wait for room send by turns. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#queue.length > 0 && !this.#over) {
      if (this.#blocked && this.#context.gatheredBytes - this.#outBytes <= HEADER_BYTES) break;
      const stream = this.#queue.shift() as MuxStream;
      stream.queued = false;
      if (stream.sendWaiting(QUANTUM_BYTES)) this.waitForRoom(stream);
    }
    this.#pumping = false;
  }
}
