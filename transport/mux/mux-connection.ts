// Many byte streams over one. What is sent is gathered (mux-sender.ts), so that one write, one TLS record and one read at
// the other end serve many requests; what is read is parsed in place.
import { errorText, MeshError } from "../../core/errors.ts";
import type { ByteStream, ByteStreamUser } from "../byte-stream.ts";
import { closedError, refusedError } from "../stream-error.ts";
import { WheelTimer } from "../timer-wheel.ts";
import {
  BLOCKED,
  DATA,
  END,
  GOAWAY,
  HEADER_BYTES,
  idAt,
  MAX_ID,
  MAX_PAYLOAD,
  OPEN,
  PING,
  PONG,
  RESET,
  RESET_BROKEN,
  RESET_REFUSED,
  valueAt,
  WINDOW,
} from "./frame.ts";
import type { MuxContext, MuxEnd } from "./mux-context.ts";
import { MuxSender } from "./mux-sender.ts";
import { type Carrier, MuxStream } from "./mux-stream.ts";
import { SilenceWatch } from "./silence-watch.ts";

/** Silent intervals until a connection counts as dead. */
const MAX_SILENCE = 3;

/** Whose connection it is. */
export interface MuxOwner {
  /**
   * The peer has opened a stream: who uses it. Undefined refuses it; without the method all are refused, which is what
   * the side that dialled does.
   */
  onStream?(stream: ByteStream): ByteStreamUser | undefined;
  /** A stream has ended, or the connection takes no new ones from now on. */
  onChange(): void;
  /** Counts what comes after something was said. */
  readonly answers?: { count: number };
  /** Whether nothing comes any more although something was said; see MuxLimits. Only told to who dialled. */
  onStall?(stalled: boolean): void;
  /** The connection is no more; its streams are told next. Once. */
  onGone(reason: MuxEnd): void;
}

/** A multiplexed connection: the user of `stream`, which it reads, writes and closes alone. */
export class MuxConnection implements ByteStreamUser, Carrier {
  readonly context: MuxContext;
  readonly stream: ByteStream;
  readonly sender: MuxSender;
  readonly #owner: MuxOwner;
  readonly #dialled: boolean;
  readonly #streams = new Map<number, MuxStream>();
  readonly #timer = new WheelTimer(() => this.#tick());
  readonly #watch: SilenceWatch;
  /** The newest stream, opened by whichever side dialled. */
  #lastId = 0;
  /** No new streams: one side has said so. */
  #closing = false;
  #ended = false;
  /** The connection below has been ended by this side. */
  #finished = false;

  /** The beginning of a header that came without its end. */
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  /** The frame whose payload is under way. */
  #current: MuxStream | undefined = undefined;
  #left = 0;
  #endsAfter = false;

  #heard = true;
  #silence = 0;
  #idleMs = 0;
  #strikes = 0;

  /** @param dialled whether this side opens the streams */
  constructor(context: MuxContext, stream: ByteStream, dialled: boolean, owner: MuxOwner) {
    this.context = context;
    this.stream = stream;
    this.#dialled = dialled;
    this.#owner = owner;
    // Who asks to be told of silence has another way; anybody else waits.
    const stallMs = dialled && owner.onStall !== undefined ? context.limits.stallMs : 0;
    this.#watch = new SilenceWatch(context.wheel, stallMs, this, owner.answers);
    this.sender = new MuxSender(context, stream, this, this.#watch);
    context.connections++;
    stream.user = this;
    context.wheel.arm(this.#timer, context.limits.pingMs);
  }

  get mayRefuse(): boolean {
    return !this.#dialled;
  }

  /** Open streams. */
  get streams(): number {
    return this.#streams.size;
  }

  /** It takes no new streams and closes after the last one. */
  get draining(): boolean {
    return this.#closing || this.#ended;
  }

  /** Nothing comes although something was said. */
  get stalled(): boolean {
    return this.#watch.stalled;
  }

  /** Whether a stream can be opened. */
  get open(): boolean {
    const { streams } = this.context.limits;
    return !this.draining && !this.stalled && this.#streams.size < streams && this.#lastId < MAX_ID;
  }

  /** A new stream; the caller becomes its user. @throws MeshError STREAM_CLOSED where `open` is false */
  openStream(): ByteStream {
    if (!this.open || !this.#dialled) throw closedError(new Error("no stream can be opened on it"));
    const stream = this.#add(++this.#lastId);
    this.sender.control(stream.id, OPEN, 0);
    return stream;
  }

  #add(id: number): MuxStream {
    const stream = new MuxStream(this, id);
    this.#streams.set(id, stream);
    this.context.streams++;
    this.#idleMs = 0;
    return stream;
  }

  /** Takes no new streams and closes after the last one. The side that accepted tells the other one so. */
  drain(): void {
    if (this.#closing || this.#ended) return;
    this.#closing = true;
    if (!this.#dialled) this.sender.control(this.#lastId, GOAWAY, 0);
    this.#owner.onChange();
    if (this.#streams.size === 0) this.#finish();
  }

  /** Drops the connection and all of its streams. */
  destroy(): void {
    this.#end("cut", new Error("this side closed it"), true);
  }

  forget(stream: MuxStream): void {
    if (!this.#streams.delete(stream.id)) return;
    this.context.streams--;
    if (this.#ended) return;
    this.#owner.onChange();
    if (this.#closing && this.#streams.size === 0) this.#finish();
  }

  onDrain(): void {
    this.sender.drained();
  }

  onBacklog(): void {
    this.#end("backlog", violation("it does not read what it must be told"), true);
  }

  onFlushed(): void {
    if (!this.#closing || this.#finished || this.#streams.size > 0 || this.sender.waits) return;
    this.#finished = true;
    this.sender.stop();
    this.stream.end();
    this.context.wheel.arm(this.#timer, this.context.limits.lingerMs);
  }

  // --- reading

  onRead(b: Buffer, length: number): void {
    this.#heard = true;
    this.#watch.heard();
    let at = 0;
    if (this.#left > 0) at = this.#payload(b, 0, length);
    else if (this.#headerBytes > 0) {
      const take = Math.min(HEADER_BYTES - this.#headerBytes, length);
      b.copy(this.#header, this.#headerBytes, 0, take);
      this.#headerBytes += take;
      if (this.#headerBytes < HEADER_BYTES) return;
      this.#headerBytes = 0;
      at = this.#frame(this.#header, 0, b, take, length);
    }
    while (length - at >= HEADER_BYTES && !this.#ended) at = this.#frame(b, at, b, at + HEADER_BYTES, length);
    if (at < length && !this.#ended) {
      b.copy(this.#header, 0, at, length);
      this.#headerBytes = length - at;
    }
  }

  /** Takes the frame with the header at `h[at]` and a payload that begins at `b[from]`; returns the index after it. */
  #frame(h: Buffer, at: number, b: Buffer, from: number, length: number): number {
    const id = idAt(h, at);
    const value = valueAt(h, at);
    const type = h[at + 4] as number;
    if (type > END) {
      this.#takeControl(id, type, value);
      return from;
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      // What was on its way when the stream ended here is skipped.
      if (!this.#wasOpen(id)) return from;
    } else {
      if (stream.ended) {
        this.#badFrame(type, id, value);
        return from;
      }
      if (value > stream.allowed) {
        this.#end("window", violation(`it sent ${value} bytes where ${stream.allowed} were allowed`), true);
        return from;
      }
      stream.allowed -= value;
    }
    if (value > MAX_PAYLOAD) {
      this.#badFrame(type, id, value);
      return from;
    }
    this.#current = stream;
    this.#left = value;
    this.#endsAfter = type === END;
    if (value === 0 && type === DATA) this.#strike();
    return this.#payload(b, from, length);
  }

  #payload(b: Buffer, from: number, length: number): number {
    const take = Math.min(this.#left, length - from);
    const stream = this.#current;
    this.#left -= take;
    if (take > 0) stream?.received(b, from, from + take);
    if (this.#left > 0) return from + take;
    this.#current = undefined;
    if (this.#endsAfter) stream?.receivedEnd();
    return from + take;
  }

  #takeControl(id: number, type: number, value: number): void {
    switch (type) {
      case OPEN:
        this.#takeOpen(id, value);
        return;
      case RESET:
        this.#takeReset(id, value);
        return;
      case WINDOW:
        this.#takeWindow(id, value);
        return;
      case BLOCKED: {
        const stream = this.#streams.get(id);
        if (stream === undefined) this.#wasOpen(id);
        else if (!stream.wanted()) this.#strike();
        return;
      }
      case PING:
        if (id !== 0) this.#badFrame(type, id, value);
        else if (this.#strike()) this.sender.control(0, PONG, value);
        return;
      case PONG:
        if (id !== 0) this.#badFrame(type, id, value);
        else this.#strike();
        return;
      case GOAWAY:
        this.#takeGoaway(id, value);
        return;
      default:
        this.#badFrame(type, id, value);
    }
  }

  #takeOpen(id: number, value: number): void {
    if (this.#dialled || id !== this.#lastId + 1 || value !== 0) {
      this.#badFrame(OPEN, id, value);
      return;
    }
    if (this.#closing) {
      // It crossed our GOAWAY, which says that it was not taken up.
      this.#strike();
      this.#lastId = id;
      return;
    }
    this.#lastId = id;
    if (this.#streams.size >= this.context.limits.streams) {
      if (this.#strike()) this.sender.control(id, RESET, RESET_REFUSED);
      return;
    }
    const stream = this.#add(id);
    let user: ByteStreamUser | undefined;
    try {
      user = this.#owner.onStream?.(stream);
    } catch (error) {
      this.context.log.error("stream_user_failed", { error: errorText(error) });
    }
    if (user !== undefined) {
      stream.user = user;
      return;
    }
    stream.lost(closedError(new Error("the stream was refused")));
    this.sender.control(id, RESET, RESET_REFUSED);
    this.forget(stream);
  }

  #takeReset(id: number, how: number): void {
    const stream = this.#streams.get(id);
    if (how > RESET_REFUSED || (how === RESET_REFUSED && !this.#dialled)) {
      this.#badFrame(RESET, id, how);
      return;
    }
    if (stream === undefined) {
      if (this.#wasOpen(id)) this.#strike();
      return;
    }
    // Opened, and taken back before anything was said to it: work for nothing, if there is much of it.
    if (!stream.answered && !this.#dialled) this.#strike();
    if (how !== RESET_BROKEN) {
      stream.closedByPeer(how === RESET_REFUSED ? refusedError() : undefined);
      return;
    }
    stream.lost(closedError(new Error("the other side reset the stream")));
    this.forget(stream);
    stream.tellClosed();
  }

  #takeWindow(id: number, value: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      this.#wasOpen(id);
      return;
    }
    if (value === 0 || stream.credit + value > this.context.limits.maxWindowBytes) {
      this.#end("credit", violation(`it gave credit for ${stream.credit + value} bytes`), true);
      return;
    }
    stream.credit += value;
    stream.saidBlocked = false;
    if (stream.pendingBytes === 0) return;
    this.sender.credited(stream);
  }

  #takeGoaway(id: number, value: number): void {
    if (!this.#dialled || id > this.#lastId || value !== 0) {
      this.#badFrame(GOAWAY, id, value);
      return;
    }
    this.#closing = true;
    this.#owner.onChange();
    const refused = [...this.#streams.values()].filter((stream) => stream.id > id);
    for (const stream of refused) stream.lost(refusedError());
    for (const stream of refused) this.forget(stream);
    for (const stream of refused) stream.tellClosed();
    if (this.#streams.size === 0) this.#finish();
  }

  /** Whether `id` names a stream that was; a peer that names another breaks the protocol. */
  #wasOpen(id: number): boolean {
    if (id > 0 && id <= this.#lastId) return true;
    this.#badFrame(DATA, id, 0);
    return false;
  }

  #badFrame(type: number, id: number, value: number): void {
    this.#end("bad_frame", violation(`frame of type ${type} with id ${id} and value ${value}`), true);
  }

  /** Counts a frame that serves nothing; false: it was one too many. */
  #strike(): boolean {
    this.#strikes++;
    if (this.#strikes <= this.context.limits.strikes) return true;
    this.#end("flood", violation("too many frames that serve nothing"), true);
    return false;
  }

  // --- life and death

  /** Every `pingMs`. */
  #tick(): void {
    if (this.#ended) return;
    const { pingMs, idleMs, lingerMs, strikesPerSecond } = this.context.limits;
    this.#strikes = Math.max(0, this.#strikes - (strikesPerSecond * pingMs) / 1_000);
    this.context.wheel.arm(this.#timer, pingMs);
    if (this.#finished) {
      this.#end("done", undefined, false);
      return;
    }
    if (this.#streams.size === 0) {
      this.#idleMs += pingMs;
      // Whoever dialled goes first, or a stream that it opens might cross our end.
      if (this.#idleMs >= (this.#dialled ? idleMs : 2 * idleMs + lingerMs)) {
        this.drain();
        return;
      }
    }
    this.#silence = this.#heard ? 0 : this.#silence + 1;
    this.#heard = false;
    if (this.#silence >= MAX_SILENCE) {
      this.#end("silent", new Error(`no sign of life for ${MAX_SILENCE * pingMs} ms`), true);
      return;
    }
    if (this.#silence > 0) this.sender.control(0, PING, this.#silence);
  }

  onQuiet(): void {
    this.sender.control(0, PING, 0);
  }

  onSilence(stalled: boolean): void {
    if (this.#ended) return;
    this.context.log.debug(stalled ? "mux.stalled" : "mux.heard", { streams: this.#streams.size });
    // Whoever tries elsewhere at once must not come back to it.
    this.#owner.onStall?.(stalled);
    if (stalled) for (const stream of [...this.#streams.values()]) stream.stall();
  }

  /** No stream is left, and none will come. */
  #finish(): void {
    this.#closing = true;
    this.sender.flushSoon();
  }

  onEnd(): void {
    if (this.#streams.size > 0) {
      this.#end("lost", new Error("the other side ended the connection"), false);
      return;
    }
    this.#closing = true;
    this.#finished = true;
    this.sender.stop();
    this.#owner.onChange();
    this.stream.end();
  }

  onClose(error: Error | undefined): void {
    this.#end(this.#finished ? "done" : "lost", error ?? new Error("the connection is closed"), false);
  }

  #end(reason: MuxEnd, cause: Error | undefined, reset: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    const { context } = this;
    context.connections--;
    context.wheel.drop(this.#timer);
    this.sender.stop();
    this.#watch.stop();
    const lost = [...this.#streams.values()];
    this.#streams.clear();
    context.streams -= lost.length;
    if (reason !== "done" && reason !== "cut") {
      context.log.debug("mux.ended", { reason, streams: lost.length, error: cause?.message });
    }
    // First all are closed, then they are told: whoever tries again at once must not be given one of them.
    const error = closedError(cause ?? new Error("the connection is closed"));
    for (const stream of lost) stream.lost(error);
    if (!this.stream.closed) this.stream.destroy(cause, reset);
    this.#owner.onGone(reason);
    if (lost.length > 0)
      queueMicrotask(() => {
        for (const stream of lost) stream.tellClosed();
      });
  }
}

function violation(what: string): MeshError {
  return new MeshError("PROTOCOL_VIOLATION", `Cannot go on with a multiplexed connection: ${what}.`);
}
