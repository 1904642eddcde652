// The exchange that is under way on a client's connection. The request is laid out once in a held buffer, as the next
// hop shall see it, and written from there for each try; bodies pass through without a copy.
import type { ByteStream } from "../../transport/byte-stream.ts";
import type { ClientConnection, Exchange, Framing, TryFailure } from "./client-connection.ts";
import type { Engine, Refusal, RequestHandler, ServedRequest } from "./engine.ts";
import { DELETE, GET, HEAD, type Head, MALFORMED, OPTIONS, PUT, TRACE } from "./head.ts";
import { goesAsItCame, type Persistence, writeResponseHead } from "./head-writer.ts";
import { HeldRequest } from "./held-request.ts";
import { MALFORMED_CHUNKS, refusalText } from "./refusal.ts";
import { RequestBody } from "./request-body.ts";
import { splice } from "./splice.ts";
import { writeUpgrade } from "./upgrade.ts";

const IDEMPOTENT = (1 << GET) | (1 << HEAD) | (1 << OPTIONS) | (1 << PUT) | (1 << DELETE) | (1 << TRACE);

/** The connection of a client, as far as the exchange on it needs it. */
export interface ClientSide {
  readonly stream: ByteStream;
  /** Closed, a tunnel, or answered for the last time. */
  readonly gone: boolean;
  /** More of the request is to come. */
  readonly receiving: boolean;
  /** It ends after this exchange. */
  closing: boolean;
  /** Writes to the client. False: it is behind, and what is still to come must wait. */
  say(b: Buffer, start: number, end: number): boolean;
  /** Holds the client back. */
  pause(): void;
  resume(): void;
  /** Sets the deadline: for the client to go on taking or sending, or the endpoint to go on taking. */
  watch(): void;
  /** The exchange is over, its last byte written. */
  next(): void;
  /** The stream is somebody else's; returns what the client has sent early. */
  leave(): Buffer;
  again(): void;
  forget(): void;
  destroy(): void;
}

/** Reused from one request of the connection to the next. */
export class ServedExchange<S> implements Exchange, ServedRequest<S> {
  readonly stream: ByteStream;
  /** The handler's. */
  readonly state: S;
  method = 0;
  minor = 1;
  upgradeAsked = false;
  /** When the head of the request was complete. */
  startMs = 0;
  /** The request can be sent again as it is held. */
  replayable = false;
  readonly #client: ClientSide;
  readonly #engine: Engine;
  readonly #handler: RequestHandler<S>;
  readonly #body = new RequestBody();
  readonly #held: HeldRequest;
  #upstream: ClientConnection | undefined = undefined;
  #responded = false;
  #status = 0;

  constructor(client: ClientSide, engine: Engine, handler: RequestHandler<S>, state: S) {
    this.stream = client.stream;
    this.state = state;
    this.#client = client;
    this.#engine = engine;
    this.#handler = handler;
    this.#held = new HeldRequest(engine.held);
  }

  get idempotent(): boolean {
    return ((IDEMPOTENT >>> this.method) & 1) === 1;
  }

  get requestDone(): boolean {
    return this.#body.done;
  }

  get held(): Buffer {
    return this.#held.bytes;
  }

  get heldLength(): number {
    return this.#held.length;
  }

  get headLength(): number {
    return this.#held.headLength;
  }

  get closed(): boolean {
    return this.#client.gone || this.stream.closed;
  }

  /** The answer has begun. */
  get responded(): boolean {
    return this.#responded;
  }

  /** Somebody is there to take the request. */
  get attached(): boolean {
    return this.#upstream !== undefined;
  }

  again(): void {
    this.#client.again();
  }

  forget(): void {
    this.#client.forget();
  }

  // --- the request

  /** Of a head that could not be read there is only this. */
  beginUnread(): void {
    this.method = 0;
    this.minor = 1;
    this.upgradeAsked = false;
    this.#body.none();
    this.replayable = false;
    this.#responded = false;
    this.#status = 0;
    this.startMs = this.#engine.clock.nowMs();
  }

  /** The next request, whose head was just parsed. */
  begin(head: Head): void {
    this.method = head.method;
    this.minor = head.minor;
    this.upgradeAsked = head.upgrade;
    this.replayable = false;
    this.#responded = false;
    this.#status = 0;
    this.startMs = this.#engine.clock.nowMs();
    this.#body.begin(head);
  }

  /**
   * Lays out the request, which the handler has routed, and takes of its body what came with the head. Returns where the
   * request ends in `b[headEnd, end)`, or `end`; MALFORMED where it is over for its bad chunks.
   */
  lay(head: Head, b: Buffer, headEnd: number, end: number): number {
    this.#held.begin(head, b, this.#engine.rewrite, headEnd, end - headEnd);
    this.replayable = true;
    const stop = this.#body.scan(b, headEnd, end);
    if (stop === MALFORMED) {
      this.abandonBody(MALFORMED_CHUNKS);
      return MALFORMED;
    }
    if (stop > headEnd) {
      this.#held.append(b, headEnd, stop);
      this.#handler.bytes(this, true, stop - headEnd);
    }
    return stop;
  }

  /** More of its body has come; returns as `lay`. */
  takeBody(b: Buffer, end: number): number {
    const stop = this.#body.scan(b, 0, end);
    if (stop === MALFORMED) {
      this.abandonBody(MALFORMED_CHUNKS);
      return MALFORMED;
    }
    this.#handler.bytes(this, true, stop);
    const held = this.#held;
    const upstream = this.#upstream;
    const room = held.headLength + this.#engine.limits.maxHeldBytes;
    if (upstream === undefined) {
      // Between tries: what has come must be kept, and no more is asked for than may be.
      if (!this.#responded) held.append(b, 0, stop);
      if (held.length > room) this.#client.pause();
    } else {
      if (this.replayable && held.length + stop <= room) held.append(b, 0, stop);
      else this.replayable = false;
      if (!upstream.stream.write(b, 0, stop)) this.#client.pause();
    }
    return stop;
  }

  /** The rest of the request is not to be had: whoever has the start of it must not take that for the whole. */
  abandonBody(refusal: Refusal): void {
    this.#handler.cancel(this);
    this.abort(refusal);
  }

  dropTry(): void {
    const upstream = this.#upstream;
    this.#upstream = undefined;
    upstream?.drop();
  }

  abort(refusal: Refusal): void {
    this.dropTry();
    if (this.#client.gone) return;
    if (this.#responded) this.breakOff();
    else this.fail(refusal);
  }

  /** The client must see that the answer is cut short. */
  breakOff(): void {
    this.#over(0);
    this.#client.destroy();
  }

  // --- sending it

  /** Sends what is held on `connection`, and the rest of the body as it comes. */
  attach(connection: ClientConnection): void {
    this.#upstream = connection;
    connection.begin(this);
    const { bytes, length, headLength } = this.#held;
    const flowing = connection.stream.write(bytes, 0, length);
    if (this.#client.receiving) {
      if (length > headLength + this.#engine.limits.maxHeldBytes) this.replayable = false;
      if (flowing) this.#client.resume();
      else this.#client.pause();
      this.#client.watch();
    }
  }

  onUpstreamDrain(): void {
    if (!this.#client.receiving) return;
    this.#client.resume();
    this.#client.watch();
  }

  // --- the answer

  /** Holds the answer back until the client has caught up. */
  #holdAnswer(): void {
    this.#upstream?.stream.pause();
    this.#client.watch();
  }

  /** The client has caught up. */
  goOn(): void {
    this.#upstream?.stream.resume();
  }

  onInformational(head: Head, b: Buffer): void {
    if (this.minor === 0) return;
    const scratch = this.#engine.transport.scratch;
    const o = writeResponseHead(head, b, scratch, 0, "keep", false);
    if (!this.#client.say(scratch, 0, o)) this.#holdAnswer();
  }

  rejects(_connection: ClientConnection, head: Head, b: Buffer): boolean {
    return this.#handler.rejects(this, head, b);
  }

  onHead(head: Head, b: Buffer, headEnd: number, bodyEnd: number, framing: Framing, done: boolean): void {
    this.#responded = true;
    this.#status = head.status;
    this.#handler.answered(this, head.status);
    // An answer that overtakes its request leaves bytes of the request behind: no other can follow.
    if (framing === "close" || !this.#body.done || this.#engine.draining) this.#client.closing = true;
    const how: Persistence = this.#client.closing ? "close" : this.minor === 0 ? "keep10" : "keep";
    const lines = this.#handler.amend(this, head, b);
    const ours = this.#handler.trusted(this);
    this.replayable = false;
    this.#held.release();
    const flowing = goesAsItCame(head, how, ours, lines)
      ? this.#client.say(b, head.start, bodyEnd)
      : this.#sayHead(head, b, headEnd, bodyEnd, how, ours, lines);
    if (bodyEnd > headEnd) this.#handler.bytes(this, false, bodyEnd - headEnd);
    if (!flowing && !done) this.#holdAnswer();
  }

  #sayHead(
    head: Head,
    b: Buffer,
    headEnd: number,
    bodyEnd: number,
    how: Persistence,
    ours: boolean,
    lines: Buffer,
  ): boolean {
    const { transport } = this.#engine;
    const { scratch } = transport;
    let o = writeResponseHead(head, b, scratch, 0, how, ours, lines);
    const together = o + bodyEnd - headEnd <= scratch.length;
    if (together && bodyEnd > headEnd) {
      scratch.set(transport.viewOf(b, headEnd, bodyEnd), o);
      o += bodyEnd - headEnd;
    }
    const flowing = this.#client.say(scratch, 0, o);
    return together ? flowing : this.#client.say(b, headEnd, bodyEnd) && flowing;
  }

  onBody(b: Buffer, start: number, end: number): void {
    this.#handler.bytes(this, false, end - start);
    if (!this.#client.say(b, start, end)) this.#holdAnswer();
  }

  onDone(): void {
    this.#upstream = undefined;
    this.#over(this.#status);
    this.#client.next();
  }

  onFailed(connection: ClientConnection, failure: TryFailure): void {
    this.#upstream = undefined;
    if (this.#client.gone) return;
    if (this.#responded) this.breakOff();
    else this.#handler.failed(this, failure, connection);
  }

  onUpgraded(connection: ClientConnection, head: Head, b: Buffer, headEnd: number, end: number): void {
    this.#upstream = undefined;
    this.#handler.answered(this, 101);
    writeUpgrade(this.stream, this.#engine.transport.scratch, head, b, headEnd, end);
    this.#held.release();
    const early = this.#client.leave();
    if (early.length > 0) connection.stream.write(early, 0, early.length);
    splice(this.stream, connection.stream, {
      onBytes: (fromFirst, count) => this.#handler.bytes(this, fromFirst, count),
      onDone: () => {
        this.#client.forget();
        this.#handler.finished(this, 101);
      },
    });
  }

  /** Answers the request in the endpoint's place. */
  fail(refusal: Refusal): void {
    if (this.#client.gone || this.#responded) return;
    this.answer(refusal);
  }

  /** The same for a request that nobody was asked to take. */
  answer(refusal: Refusal): void {
    if (!this.#body.done || this.#engine.draining) this.#client.closing = true;
    const text = refusalText(refusal, this.method === HEAD, this.#client.closing);
    this.#responded = true;
    this.#client.say(text, 0, text.length);
    this.#over(refusal.status);
    this.#client.next();
  }

  #over(status: number): void {
    this.#held.release();
    this.#handler.finished(this, status);
  }

  /** The client has not taken its answer for too long. */
  stalled(): void {
    this.dropTry();
    this.#handler.cancel(this);
    this.breakOff();
  }

  /** The client's connection is closed; `underWay`: in the midst of the exchange. */
  lost(underWay: boolean): void {
    const upstream = this.#upstream;
    this.dropTry();
    if (!underWay) return;
    if (upstream === undefined) this.#handler.cancel(this);
    if (!this.#held.empty || upstream !== undefined) this.#over(0);
  }
}
