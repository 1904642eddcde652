import type { ByteStream } from "../../transport/byte-stream.ts";
import { Http2Connection } from "./connection.ts";
import type { Http2Engine } from "./engine.ts";
import { CLIENT_PREFACE, NO_ERROR, PROTOCOL_ERROR } from "./frames.ts";
import { HPACK_TOO_LARGE } from "./hpack/decoder.ts";
import { SETTINGS_ENABLE_PUSH, SETTINGS_MAX_HEADER_LIST_SIZE } from "./settings.ts";
import type { Stream } from "./stream.ts";

/** Streams that are begun before the server has said how many it takes (RFC 9113 section 6.5.2 recommends no less). */
const FIRST_STREAMS = 100;
/** However many the server would take: what one connection's loss takes with it is bounded. */
const MAX_STREAMS = 1_000;
const LAST_ID = 0x3fff_ffff;

/** A way that many connections share, such as a gateway, and whether new ones can be made there. */
export interface Http2Path {
  readonly breaker: { readonly state: string };
}

/** The pool that a connection is in, as far as the connection needs it. */
export interface Http2Owner {
  /** A stream has closed, or the server takes more: there may be room. */
  roomy(): void;
  gone(connection: Http2ClientConnection): void;
}

/** One HTTP/2 connection to an endpoint or app, shared by many requests. */
export class Http2ClientConnection extends Http2Connection {
  /** Called once, when the connection is over. */
  onGone: () => void = () => {};
  /** Streams begun so far. */
  uses = 0;
  protected readonly countsResets = false;
  /** What it goes through, shared with other connections; undefined: nothing. */
  readonly path: Http2Path | undefined;
  readonly #owner: Http2Owner;
  readonly #madeMs: number;
  #nextId = 1;
  #untilSettled: (() => void)[] = [];

  constructor(stream: ByteStream, engine: Http2Engine, owner: Http2Owner, path?: Http2Path) {
    super(stream, engine);
    this.path = path;
    this.#owner = owner;
    this.#madeMs = engine.base.clock.nowMs();
    stream.user = this;
    this.writeBytes(CLIENT_PREFACE);
    this.greet([SETTINGS_ENABLE_PUSH, 0, SETTINGS_MAX_HEADER_LIST_SIZE, engine.limits.maxListBytes]);
  }

  /** How many streams may be begun now. */
  get room(): number {
    if (this.draining || this.over) return 0;
    return Math.max(
      0,
      (this.settled ? Math.min(this.peer.maxStreams, MAX_STREAMS) : FIRST_STREAMS) - this.streams.size,
    );
  }

  /** Older than it may become, by its engine or by `maxAgeMs` (0: no limit). */
  tooOld(maxAgeMs: number): boolean {
    const ageMs = this.engine.base.clock.nowMs() - this.#madeMs;
    return ageMs >= this.engine.limits.maxAgeMs || (maxAgeMs > 0 && ageMs >= maxAgeMs);
  }

  /** Begins a stream. Only where there is room. */
  open(stream: Stream): void {
    const id = this.#nextId;
    this.#nextId += 2;
    this.uses++;
    stream.begin(this, id, this.initialWindow);
    this.streams.set(id, stream);
    if (this.streams.size === 1) this.rearm();
    if (id >= LAST_ID) this.retire();
  }

  /** Whether the server takes extended CONNECTs (RFC 8441); undefined: `later` is called once it has said. */
  takesConnect(later: () => void): boolean | undefined {
    if (this.settled) return this.peer.enableConnect;
    this.#untilSettled.push(later);
    return undefined;
  }

  /** Takes no new streams, and closes after the last one. */
  retire(): void {
    this.draining = true;
    if (this.streams.size === 0) this.fail(NO_ERROR);
  }

  protected override onHeaderBlock(id: number, end: boolean, b: Buffer, from: number, to: number): void {
    if (this.isIdle(id)) {
      this.fail(PROTOCOL_ERROR);
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined || stream.receivedEnd) {
      this.onLateBlock(id, b, from, to);
      return;
    }
    const { fields } = this.engine;
    if (!this.decode(b, from, to, fields)) return;
    if (this.listBytes === HPACK_TOO_LARGE) {
      this.malformed(stream);
      return;
    }
    if (end) stream.receivedEnd = true;
    stream.user.onHeaders(stream, fields, end);
    if (end) this.closeIfDone(stream, id);
  }

  protected override isIdle(id: number): boolean {
    return id % 2 === 0 || id >= this.#nextId;
  }

  protected override lastPeerId(): number {
    return 0;
  }

  protected override idleMs(): number {
    return this.engine.limits.idleMs;
  }

  protected override onGoaway(lastId: number): void {
    this.draining = true;
    this.lose(lastId);
    if (this.streams.size === 0) this.fail(NO_ERROR);
  }

  protected override onSettled(): void {
    const later = this.#untilSettled;
    this.#untilSettled = [];
    for (const each of later) each();
    this.#owner.roomy();
  }

  protected override onPong(): void {}

  protected override onStreamClosed(): void {
    if (this.over) return;
    if (this.draining && this.streams.size === 0) this.fail(NO_ERROR);
    else this.#owner.roomy();
  }

  protected override onOver(): void {
    this.#owner.gone(this);
    this.onGone();
    this.onGone = () => {};
    const later = this.#untilSettled;
    this.#untilSettled = [];
    for (const each of later) each();
  }
}
