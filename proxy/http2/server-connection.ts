import type { ByteStream } from "../../transport/byte-stream.ts";
import { Http2Connection } from "./connection.ts";
import type { Http2Engine } from "./engine.ts";
import { Exchange } from "./exchange.ts";
import {
  CLIENT_PREFACE,
  ENHANCE_YOUR_CALM,
  MAX_STREAM_ID,
  NO_ERROR,
  PROTOCOL_ERROR,
  REFUSED_STREAM,
  STREAM_CLOSED,
} from "./frames.ts";
import type { StreamHandler } from "./handler.ts";
import { HPACK_TOO_LARGE } from "./hpack/decoder.ts";
import { PING_DATA } from "./session.ts";
import {
  SETTINGS_ENABLE_CONNECT_PROTOCOL,
  SETTINGS_MAX_CONCURRENT_STREAMS,
  SETTINGS_MAX_HEADER_LIST_SIZE,
} from "./settings.ts";

/** Requests that are kept to be used again, per connection's handler. */
const MAX_FREE = 1_024;

/** The requests of one handler, reused. */
export class Exchanges<S> {
  readonly engine: Http2Engine;
  readonly #handler: StreamHandler<S>;
  readonly #free: Exchange<S>[] = [];

  constructor(engine: Http2Engine, handler: StreamHandler<S>) {
    this.engine = engine;
    this.#handler = handler;
  }

  take(): Exchange<S> {
    return this.#free.pop() ?? new Exchange(this.engine, this.#handler, this);
  }

  /** Takes back one that is over, or was not begun. */
  give(exchange: Exchange<S>): void {
    if (this.#free.length < MAX_FREE) this.#free.push(exchange);
  }
}

/** One client's HTTP/2 connection. */
export class Http2ServerConnection<S> extends Http2Connection {
  /** Called once, when the connection is over. */
  onGone: () => void = () => {};
  protected readonly countsResets = true;
  readonly #exchanges: Exchanges<S>;
  #prefaceLeft = CLIENT_PREFACE.length;
  #lastId = 0;
  /** Streams above are refused: what GOAWAY has said last. */
  #maxId = MAX_STREAM_ID;

  constructor(stream: ByteStream, exchanges: Exchanges<S>) {
    super(stream, exchanges.engine);
    this.#exchanges = exchanges;
    const { base, limits } = exchanges.engine;
    base.connections.add(this);
    this.greet([
      SETTINGS_MAX_CONCURRENT_STREAMS,
      limits.maxStreams,
      SETTINGS_MAX_HEADER_LIST_SIZE,
      limits.maxListBytes,
      SETTINGS_ENABLE_CONNECT_PROTOCOL,
      1,
    ]);
    if (base.draining) this.drain();
  }

  protected override skipPreface(b: Buffer, length: number): number {
    let at = 0;
    while (this.#prefaceLeft > 0 && at < length) {
      if (b[at] !== CLIENT_PREFACE[CLIENT_PREFACE.length - this.#prefaceLeft]) {
        this.fail(PROTOCOL_ERROR);
        return length;
      }
      at++;
      this.#prefaceLeft--;
    }
    return at;
  }

  protected override onHeaderBlock(id: number, end: boolean, b: Buffer, from: number, to: number): void {
    const known = this.streams.get(id);
    if (known !== undefined) {
      const { fields } = this.engine;
      if (!this.decode(b, from, to, fields)) return;
      if (known.receivedEnd) {
        this.malformed(known, STREAM_CLOSED);
        return;
      }
      if (this.listBytes === HPACK_TOO_LARGE || !end) {
        this.malformed(known);
        return;
      }
      known.receivedEnd = true;
      known.user.onHeaders(known, fields, end);
      this.closeIfDone(known, id);
      return;
    }
    if (id <= this.#lastId) {
      this.onLateBlock(id, b, from, to);
      return;
    }
    if (id % 2 === 0) {
      this.fail(PROTOCOL_ERROR);
      return;
    }
    this.#lastId = id;
    this.#accept(id, end, b, from, to);
  }

  #accept(id: number, end: boolean, b: Buffer, from: number, to: number): void {
    if (this.streams.size >= this.engine.limits.maxStreams || id > this.#maxId) {
      if (!this.decode(b, from, to, this.engine.fields)) return;
      this.refuse(id, REFUSED_STREAM);
      // One of the app's own clients forgets the limit at times, but not again and again.
      if (!this.guard.reset()) this.fail(ENHANCE_YOUR_CALM);
      return;
    }
    const exchange = this.#exchanges.take();
    if (!this.decode(b, from, to, exchange.fields)) {
      this.#exchanges.give(exchange);
      return;
    }
    const { down } = exchange;
    down.begin(this, id, this.initialWindow);
    down.receivedEnd = end;
    this.streams.set(id, down);
    if (this.streams.size === 1) this.rearm();
    if (!exchange.begin(this.listBytes === HPACK_TOO_LARGE)) this.malformed(down);
  }

  protected override isIdle(id: number): boolean {
    return id % 2 === 0 || id > this.#lastId;
  }

  protected override lastPeerId(): number {
    return this.#lastId;
  }

  protected override idleMs(): number {
    return this.engine.base.limits.idleMs;
  }

  protected override onGoaway(): void {
    // The client begins no more streams; it closes when it is done, or the time for idling is over.
  }

  protected override onSettled(): void {}

  protected override onPong(): void {
    if (this.draining && this.#maxId === MAX_STREAM_ID && !this.over) this.#refuseNew();
  }

  protected override onStreamClosed(): void {
    if (this.draining && this.#maxId !== MAX_STREAM_ID && this.streams.size === 0 && !this.over) this.end();
  }

  protected override onOver(): void {
    this.engine.base.connections.delete(this);
    this.onGone();
    this.onGone = () => {};
  }

  /**
   * Lets what is under way end, in the two steps of RFC 9113 section 6.8: streams that were begun before the client
   * has heard of it are served.
   */
  drain(): void {
    if (this.draining || this.over) return;
    this.draining = true;
    this.writeGoaway(MAX_STREAM_ID, NO_ERROR);
    this.writePing(false, PING_DATA, 0);
    this.#stopDraining = this.engine.base.clock.after(DRAIN_PING_MS, () => {
      if (!this.over && this.#maxId === MAX_STREAM_ID) this.#refuseNew();
    });
  }

  #stopDraining: (() => void) | undefined = undefined;

  #refuseNew(): void {
    this.#stopDraining?.();
    this.#maxId = this.#lastId;
    this.writeGoaway(this.#lastId, NO_ERROR);
    this.onStreamClosed();
  }
}

/** For the answer to the ping that tells whether the client has heard that we are going. */
const DRAIN_PING_MS = 1_000;
