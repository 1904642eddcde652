// One client's HTTP/1.1 connection and the exchange that is under way on it. The request is laid out once in a held
// buffer, as the next hop shall see it, and written from there for each try; bodies pass through without a copy.
import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import { WheelTimer } from "../../transport/timer-wheel.ts";
import { createChunkState, resetChunkState, scanChunks } from "./chunks.ts";
import type { ClientConnection, Exchange, Framing, TryFailure } from "./client-connection.ts";
import type { Engine, Refusal, RequestHandler, ServedRequest } from "./engine.ts";
import { DELETE, GET, HEAD, type Head, INCOMPLETE, MALFORMED, OPTIONS, PUT, parseRequestHead, TRACE } from "./head.ts";
import { MAX_WRITTEN_HEAD, type Persistence, put, writeRequestHead, writeResponseHead } from "./head-writer.ts";
import { PartialHead } from "./partial-head.ts";
import { refusalText } from "./refusal.ts";
import { splice } from "./splice.ts";

const IDEMPOTENT = (1 << GET) | (1 << HEAD) | (1 << OPTIONS) | (1 << PUT) | (1 << DELETE) | (1 << TRACE);
const LINGER_MS = 1_000;
const MAX_LINGER_BYTES = 1_048_576;
const NOTHING = Buffer.alloc(0);

/**
 * `idle`: between requests. `head`: part of one is here. `routing`: the handler waits. `body`: more of the request is
 * to come. `wait`: the request is complete, its answer is not. `linger`: answered for the last time; what still comes
 * is thrown away, so that no reset overtakes the answer. `gone`: closed, or a tunnel.
 */
type Phase = "idle" | "head" | "routing" | "body" | "wait" | "linger" | "gone";

export class ServerConnection<S> implements ByteStreamUser, Exchange, ServedRequest<S> {
  readonly stream: ByteStream;
  /** The handler's. */
  readonly state: S;
  /** Called once, when the connection is closed. */
  onGone: () => void = () => {};
  method = 0;
  minor = 1;
  upgradeAsked = false;
  requestDone = false;
  /** When the head of the request was complete. */
  startMs = 0;
  /** The request can be sent again as it is held. */
  replayable = false;
  /** Where the held request's added fields end, before its empty line; for a field that changes from try to try. */
  headLength = 0;
  held: Buffer = NOTHING;
  readonly #engine: Engine;
  readonly #handler: RequestHandler<S>;
  readonly #partial = new PartialHead();
  readonly #chunks = createChunkState();
  readonly #timer: WheelTimer;
  #phase: Phase = "idle";
  #heldLength = 0;
  #upstream: ClientConnection | undefined;
  #chunked = false;
  #left = 0;
  #closing = false;
  #responded = false;
  #status = 0;
  #lingered = 0;
  #pumping = false;
  /** This side holds the client back, so its silence means nothing. */
  #holding = false;

  constructor(stream: ByteStream, engine: Engine, handler: RequestHandler<S>, state: S) {
    this.stream = stream;
    this.state = state;
    this.#engine = engine;
    this.#handler = handler;
    this.#timer = new WheelTimer(() => this.#expired());
    engine.connections.add(this);
    this.#arm(engine.limits.idleMs);
  }

  get idempotent(): boolean {
    return ((IDEMPOTENT >>> this.method) & 1) === 1;
  }

  get closed(): boolean {
    return this.#phase === "gone" || this.stream.closed;
  }

  // --- reading the request

  onRead(b: Buffer, length: number): void {
    switch (this.#phase) {
      case "idle":
      case "head":
        this.#takeHead(b, length);
        return;
      case "body":
        this.#takeBody(b, length);
        return;
      case "routing":
      case "wait":
        // The next request came early. It waits, and so does the client.
        this.#partial.hold(b, 0, length);
        this.#pause();
        return;
      case "linger":
        this.#lingered += length;
        if (this.#lingered > MAX_LINGER_BYTES) this.destroy();
        return;
      case "gone":
        return;
      default:
        this.#phase satisfies never;
    }
  }

  #takeHead(read: Buffer, length: number): void {
    if (this.#partial.empty) {
      this.#parse(read, length);
      return;
    }
    const verdict = this.#partial.append(read, 0, length);
    if (verdict === INCOMPLETE) return;
    if (verdict < 0) {
      this.#refuseHead(verdict);
      return;
    }
    const b = this.#partial.take();
    this.#parse(b, b.length);
  }

  #parse(b: Buffer, end: number): void {
    const head = this.#engine.requestHead;
    const headEnd = parseRequestHead(head, b, 0, end);
    if (headEnd > 0) {
      this.#begin(head, b, headEnd, end);
      return;
    }
    if (headEnd !== INCOMPLETE) {
      this.#refuseHead(headEnd);
      return;
    }
    const verdict = this.#partial.append(b, 0, end);
    if (verdict < 0 && verdict !== INCOMPLETE) {
      this.#refuseHead(verdict);
      return;
    }
    if (this.#phase !== "head") this.#arm(this.#engine.limits.headMs);
    this.#phase = "head";
  }

  #refuseHead(verdict: number): void {
    const status = verdict === MALFORMED ? 400 : 431;
    this.#reset();
    this.#closing = true;
    this.startMs = this.#engine.clock.nowMs();
    const message = verdict === MALFORMED ? "the request breaks HTTP's framing rules" : "the head is too large";
    this.#answer({ status, code: "PROXY_BAD_REQUEST", message: `Cannot read the request: ${message}.` });
  }

  #begin(head: Head, b: Buffer, headEnd: number, end: number): void {
    this.#disarm();
    this.#reset();
    this.method = head.method;
    this.minor = head.minor;
    this.upgradeAsked = head.upgrade;
    this.startMs = this.#engine.clock.nowMs();
    this.#closing = head.close;
    this.#chunked = head.chunked;
    this.#left = Math.max(head.contentLength, 0);
    this.requestDone = !this.#chunked && this.#left === 0;
    const verdict = this.#handler.route(this, head, b);
    if (verdict === "wait") {
      this.#phase = "routing";
      this.#partial.hold(b, 0, end);
      this.#pause();
      return;
    }
    if (verdict === "tunnel") {
      this.#phase = "gone";
      this.#handler.tunnel(this, Buffer.from(b.subarray(headEnd, end)));
      return;
    }
    if (verdict !== "routed") {
      // Whoever sends what cannot be read may mean its next bytes otherwise than we would read them.
      if (verdict.status === 400) this.#closing = true;
      if (this.requestDone && headEnd < end) this.#partial.hold(b, headEnd, end);
      this.#answer(verdict);
      return;
    }
    this.held = this.#engine.held.take(
      headEnd <= 4_096 && end - headEnd <= 2_048 ? 0 : MAX_WRITTEN_HEAD + end - headEnd,
    );
    this.headLength = writeRequestHead(head, b, this.held, 0, this.#engine.rewrite);
    this.#heldLength = this.headLength;
    this.replayable = true;
    const stop = this.#scan(b, headEnd, end);
    if (stop === MALFORMED) {
      this.#badBody();
      return;
    }
    if (stop > headEnd) {
      this.#hold(b, headEnd, stop);
      this.#handler.bytes(this, true, stop - headEnd);
    }
    this.#phase = this.requestDone ? "wait" : "body";
    if (stop < end) {
      this.#partial.hold(b, stop, end);
      this.#pause();
    }
    if (!this.requestDone) this.#arm(this.#engine.limits.bodyMs);
    this.#handler.dispatch(this);
  }

  forget(): void {
    this.#engine.connections.delete(this);
    this.onGone();
    this.onGone = () => {};
  }

  #reset(): void {
    this.method = 0;
    this.minor = 1;
    this.upgradeAsked = false;
    this.requestDone = true;
    this.replayable = false;
    this.#responded = false;
    this.#status = 0;
    resetChunkState(this.#chunks);
  }

  /** Where the request ends in `b[from, end)`, or `end`; MALFORMED for bad chunks. */
  #scan(b: Buffer, from: number, end: number): number {
    if (this.requestDone) return from;
    if (this.#chunked) {
      const stop = scanChunks(this.#chunks, b, from, end);
      if (stop === MALFORMED) return MALFORMED;
      if (stop >= 0) this.requestDone = true;
      return stop >= 0 ? stop : end;
    }
    const take = Math.min(this.#left, end - from);
    this.#left -= take;
    if (this.#left === 0) this.requestDone = true;
    return from + take;
  }

  #hold(b: Buffer, from: number, end: number): void {
    const need = this.#heldLength + end - from;
    if (need > this.held.length) {
      const grown = this.#engine.held.take(Math.max(need, 2 * this.held.length));
      this.held.copy(grown, 0, 0, this.#heldLength);
      this.#engine.held.give(this.held);
      this.held = grown;
    }
    this.#heldLength = put(this.held, this.#heldLength, b, from, end);
  }

  #takeBody(b: Buffer, end: number): void {
    const stop = this.#scan(b, 0, end);
    if (stop === MALFORMED) {
      this.#badBody();
      return;
    }
    this.#handler.bytes(this, true, stop);
    const upstream = this.#upstream;
    const room = this.headLength + this.#engine.limits.maxHeldBytes;
    if (upstream === undefined) {
      // Between tries: what has come must be kept, and no more is asked for than may be.
      if (!this.#responded) this.#hold(b, 0, stop);
      if (this.#heldLength > room) this.#pause();
    } else {
      if (this.replayable && this.#heldLength + stop <= room) this.#hold(b, 0, stop);
      else this.replayable = false;
      if (!upstream.stream.write(b, 0, stop)) this.#pause();
    }
    if (this.requestDone) {
      this.#phase = "wait";
      this.#disarm();
    } else this.#arm(this.#engine.limits.bodyMs);
    if (stop < end) {
      this.#partial.hold(b, stop, end);
      this.#pause();
    }
  }

  #badBody(): void {
    this.requestDone = false;
    const upstream = this.#upstream;
    this.#upstream = undefined;
    if (upstream === undefined) this.#handler.cancel(this);
    else upstream.drop();
    if (this.#responded) {
      this.#over(0);
      this.destroy();
    } else
      this.fail({
        status: 400,
        code: "PROXY_BAD_REQUEST",
        message: "Cannot read the request: its chunks are malformed.",
      });
  }

  // --- sending it

  /** Sends what is held on `connection`, and the rest of the body as it comes. */
  attach(connection: ClientConnection): void {
    this.#upstream = connection;
    connection.begin(this);
    const flowing = connection.stream.write(this.held, 0, this.#heldLength);
    if (this.#phase === "body") {
      if (this.#heldLength > this.headLength + this.#engine.limits.maxHeldBytes) this.replayable = false;
      if (flowing) this.#resume();
      else this.#pause();
    }
  }

  /** Routes the request that was made to wait. */
  again(): void {
    if (this.#phase !== "routing") return;
    this.#phase = "idle";
    this.#pump();
  }

  onUpstreamDrain(): void {
    if (this.#phase === "body") this.#resume();
  }

  // --- the answer

  onInformational(head: Head, b: Buffer): void {
    if (this.minor === 0) return;
    const scratch = this.#engine.transport.scratch;
    const o = writeResponseHead(head, b, scratch, 0, "keep", false);
    this.stream.write(scratch, 0, o);
  }

  rejects(_connection: ClientConnection, head: Head, b: Buffer): boolean {
    return this.#handler.rejects(this, head, b);
  }

  onHead(head: Head, b: Buffer, headEnd: number, bodyEnd: number, framing: Framing, done: boolean): void {
    this.#responded = true;
    this.#status = head.status;
    this.#handler.answered(this, head.status);
    // An answer that overtakes its request leaves bytes of the request behind: no other can follow.
    if (framing === "close" || !this.requestDone || this.#engine.draining) this.#closing = true;
    const how: Persistence = this.#closing ? "close" : this.minor === 0 ? "keep10" : "keep";
    const scratch = this.#engine.transport.scratch;
    let o = writeResponseHead(head, b, scratch, 0, how, this.#handler.trusted(this));
    const upstream = this.#upstream;
    this.replayable = false;
    this.#release();
    const together = o + bodyEnd - headEnd <= scratch.length;
    if (together) o = put(scratch, o, b, headEnd, bodyEnd);
    let flowing = this.stream.write(scratch, 0, o);
    if (!together) flowing = this.stream.write(b, headEnd, bodyEnd) && flowing;
    if (bodyEnd > headEnd) this.#handler.bytes(this, false, bodyEnd - headEnd);
    if (!flowing && !done) upstream?.stream.pause();
  }

  onBody(b: Buffer, start: number, end: number): void {
    this.#handler.bytes(this, false, end - start);
    if (!this.stream.write(b, start, end)) this.#upstream?.stream.pause();
  }

  onDone(): void {
    this.#upstream = undefined;
    this.#over(this.#status);
    this.#next();
  }

  onFailed(connection: ClientConnection, failure: TryFailure): void {
    this.#upstream = undefined;
    if (this.#phase === "gone") return;
    if (this.#responded) {
      // The client must see that the answer is cut short.
      this.#over(0);
      this.destroy();
    } else this.#handler.failed(this, failure, connection);
  }

  onUpgraded(connection: ClientConnection, head: Head, b: Buffer, headEnd: number, end: number): void {
    this.#upstream = undefined;
    const scratch = this.#engine.transport.scratch;
    const o = put(
      scratch,
      writeResponseHead(head, b, scratch, 0, "upgrade", false),
      b,
      headEnd,
      Math.min(end, headEnd + 8_192),
    );
    this.#handler.answered(this, 101);
    this.stream.write(scratch, 0, o);
    if (end > headEnd + 8_192) this.stream.write(b, headEnd + 8_192, end);
    this.#release();
    this.#disarm();
    this.#phase = "gone";
    const early = this.#partial.take();
    if (early.length > 0) connection.stream.write(early, 0, early.length);
    splice(this.stream, connection.stream, {
      onBytes: (fromFirst, count) => this.#handler.bytes(this, fromFirst, count),
      onDone: () => {
        this.forget();
        this.#handler.finished(this, 101);
      },
    });
  }

  /** Answers the request in the endpoint's place. */
  fail(refusal: Refusal): void {
    if (this.#phase === "gone" || this.#responded) return;
    this.#answer(refusal);
  }

  #answer(refusal: Refusal): void {
    if (!this.requestDone || this.#engine.draining) this.#closing = true;
    const text = refusalText(refusal, this.method === HEAD, this.#closing);
    this.#responded = true;
    this.stream.write(text, 0, text.length);
    this.#over(refusal.status);
    this.#next();
  }

  #over(status: number): void {
    this.#release();
    this.#handler.finished(this, status);
  }

  #release(): void {
    if (this.held.length === 0) return;
    this.#engine.held.give(this.held);
    this.held = NOTHING;
    this.#heldLength = 0;
    this.headLength = 0;
  }

  // --- between requests, and the end

  #next(): void {
    if (this.stream.closed) return;
    if (this.#closing) {
      this.#linger();
      return;
    }
    this.#phase = "idle";
    if (this.#partial.empty) {
      this.#arm(this.#engine.limits.idleMs);
      this.#resume();
      if (this.#engine.draining) this.drain();
    } else this.#pump();
  }

  /** Takes up what came early; a loop, so that many refused requests in a row do not nest. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#phase === "idle" && !this.#partial.empty) {
      const b = this.#partial.take();
      this.#parse(b, b.length);
    }
    this.#pumping = false;
    if (this.#phase === "idle" || this.#phase === "head") this.#resume();
  }

  #linger(): void {
    this.#phase = "linger";
    this.#partial.take();
    this.#arm(LINGER_MS);
    this.stream.end();
    this.#resume();
  }

  /** Closes once nothing is under way. */
  drain(): void {
    if (this.#phase !== "idle") return;
    this.#closing = true;
    this.#linger();
  }

  destroy(): void {
    if (!this.stream.closed) this.stream.destroy(undefined, true);
  }

  #pause(): void {
    this.#holding = true;
    this.stream.pause();
  }

  #resume(): void {
    this.#holding = false;
    this.stream.resume();
  }

  #arm(afterMs: number): void {
    this.#engine.transport.wheel.arm(this.#timer, afterMs);
  }

  #disarm(): void {
    this.#engine.transport.wheel.disarm(this.#timer);
  }

  #expired(): void {
    switch (this.#phase) {
      case "head":
        this.#reset();
        this.#closing = true;
        this.startMs = this.#engine.clock.nowMs();
        this.#answer({
          status: 408,
          code: "PROXY_TIMEOUT",
          message: "Cannot read the request: its head did not arrive in time.",
        });
        return;
      case "body":
        if (this.#holding) {
          this.#arm(this.#engine.limits.bodyMs);
          return;
        }
        this.#upstream?.drop();
        this.#upstream = undefined;
        this.#handler.cancel(this);
        if (this.#responded) {
          this.#over(0);
          this.destroy();
        } else
          this.fail({
            status: 408,
            code: "PROXY_TIMEOUT",
            message: "Cannot read the request: its body did not arrive in time.",
          });
        return;
      case "idle":
      case "linger":
        this.stream.destroy();
        return;
      case "routing":
      case "wait":
      case "gone":
        return;
      default:
        this.#phase satisfies never;
    }
  }

  onEnd(): void {
    switch (this.#phase) {
      case "wait":
      case "routing":
        // A client may send its last request and close its half at once.
        this.#closing = true;
        return;
      case "idle":
        this.stream.end();
        return;
      case "head":
      case "body":
      case "linger":
        this.stream.destroy();
        return;
      case "gone":
        return;
      default:
        this.#phase satisfies never;
    }
  }

  onDrain(): void {
    this.#upstream?.stream.resume();
  }

  onClose(): void {
    const phase = this.#phase;
    this.#phase = "gone";
    this.#disarm();
    this.forget();
    const upstream = this.#upstream;
    this.#upstream = undefined;
    upstream?.drop();
    if (phase !== "wait" && phase !== "body") return;
    if (upstream === undefined) this.#handler.cancel(this);
    if (this.held.length > 0 || upstream !== undefined) this.#over(0);
  }
}
