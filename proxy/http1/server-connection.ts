// One client's HTTP/1.1 connection and the exchange that is under way on it. The request is laid out once in a held
// buffer, as the next hop shall see it, and written from there for each try; bodies pass through without a copy.
import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import { WheelTimer } from "../../transport/timer-wheel.ts";
import type { ClientConnection, Exchange, Framing, TryFailure } from "./client-connection.ts";
import type { Engine, Refusal, RequestHandler, ServedRequest, Verdict } from "./engine.ts";
import {
  CONNECT,
  DELETE,
  GET,
  HEAD,
  type Head,
  INCOMPLETE,
  MALFORMED,
  OPTIONS,
  PUT,
  parseRequestHead,
  TRACE,
} from "./head.ts";
import { type Persistence, writeResponseHead } from "./head-writer.ts";
import { HeldRequest } from "./held-request.ts";
import { linger } from "./linger.ts";
import { PartialHead } from "./partial-head.ts";
import {
  BODY_ON_CONNECT,
  BODY_STALLED,
  BODY_TOO_SLOW,
  HEAD_MALFORMED,
  HEAD_TOO_LARGE,
  HEAD_TOO_SLOW,
  MALFORMED_CHUNKS,
  refusalText,
} from "./refusal.ts";
import { RequestBody } from "./request-body.ts";
import { splice } from "./splice.ts";
import { writeUpgrade } from "./upgrade.ts";

const IDEMPOTENT = (1 << GET) | (1 << HEAD) | (1 << OPTIONS) | (1 << PUT) | (1 << DELETE) | (1 << TRACE);

/**
 * `idle`: between requests. `head`: part of one is here. `routing`: the handler waits. `body`: more of the request is
 * to come. `wait`: the request is complete, its answer is not. `flush`: answered, and the next request waits until the
 * client has taken the answer. `gone`: closed, a tunnel, or answered for the last time.
 */
type Phase = "idle" | "head" | "routing" | "body" | "wait" | "flush" | "gone";

export class ServerConnection<S> implements ByteStreamUser, Exchange, ServedRequest<S> {
  readonly stream: ByteStream;
  /** The handler's. */
  readonly state: S;
  /** Called once, when the connection is closed. */
  onGone: () => void = () => {};
  method = 0;
  minor = 1;
  upgradeAsked = false;
  /** When the head of the request was complete. */
  startMs = 0;
  /** The request can be sent again as it is held. */
  replayable = false;
  readonly #engine: Engine;
  readonly #handler: RequestHandler<S>;
  readonly #partial: PartialHead;
  readonly #body = new RequestBody();
  readonly #held: HeldRequest;
  readonly #timer: WheelTimer;
  #phase: Phase = "idle";
  #upstream: ClientConnection | undefined;
  /** The connection ends after this exchange. */
  #closing = false;
  /** The client sends no more. */
  #ended = false;
  #responded = false;
  #status = 0;
  #pumping = false;
  #wasPutOff = false;
  /** This side holds the client back, so its silence means nothing. */
  #holding = false;
  /** The client is behind with taking its answer. */
  #behind = false;
  /** By so much when last looked at. */
  #unsentBytes = 0;

  constructor(stream: ByteStream, engine: Engine, handler: RequestHandler<S>, state: S) {
    this.stream = stream;
    this.state = state;
    this.#engine = engine;
    this.#handler = handler;
    this.#partial = new PartialHead(engine.limits.maxHeadBytes);
    this.#held = new HeldRequest(engine.held);
    this.#timer = new WheelTimer(() => this.#expired());
    engine.connections.add(this);
    this.#arm(engine.limits.idleMs);
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
      case "flush":
        // The next request came early. It waits, and so does the client.
        this.#partial.hold(b, 0, length);
        this.#pause();
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
    this.#parseHeld();
  }

  #parseHeld(): void {
    const b = this.#partial.take();
    this.#parse(b, b.length);
    this.#partial.forget();
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
    this.#reset();
    this.#closing = true;
    this.startMs = this.#engine.clock.nowMs();
    this.#answer(verdict === MALFORMED ? HEAD_MALFORMED : HEAD_TOO_LARGE);
  }

  #begin(head: Head, b: Buffer, headEnd: number, end: number): void {
    this.#disarm();
    this.#reset();
    this.method = head.method;
    this.minor = head.minor;
    this.upgradeAsked = head.upgrade;
    this.startMs = this.#engine.clock.nowMs();
    this.#closing = head.close;
    this.#body.begin(head);
    const verdict = this.#putOff() ? "wait" : this.#route(head, b);
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
      if (this.#body.done && headEnd < end) this.#partial.hold(b, headEnd, end);
      this.#answer(verdict);
      return;
    }
    this.#held.begin(head, b, this.#engine.rewrite, headEnd, end - headEnd);
    this.replayable = true;
    const stop = this.#body.scan(b, headEnd, end);
    if (stop === MALFORMED) {
      this.#abandonBody(MALFORMED_CHUNKS);
      return;
    }
    if (stop > headEnd) {
      this.#held.append(b, headEnd, stop);
      this.#handler.bytes(this, true, stop - headEnd);
    }
    this.#phase = this.#body.done ? "wait" : "body";
    if (stop < end) {
      this.#partial.hold(b, stop, end);
      this.#pause();
    } else if (this.#ended) this.#closing = true;
    if (!this.#body.done) {
      if (this.#ended) {
        this.#breakOff();
        return;
      }
      this.#watch();
    }
    this.#handler.dispatch(this);
  }

  #route(head: Head, b: Buffer): Verdict {
    return head.method === CONNECT && !this.#body.done ? BODY_ON_CONNECT : this.#handler.route(this, head, b);
  }

  /** Whether the request must wait for a later turn, in which it is read again. */
  #putOff(): boolean {
    const { turns } = this.#engine;
    if (turns === undefined) return false;
    if (this.#wasPutOff || turns.take()) {
      this.#wasPutOff = false;
      return false;
    }
    this.#wasPutOff = true;
    turns.later(() => this.again());
    return true;
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
    this.#body.none();
    this.replayable = false;
    this.#responded = false;
    this.#status = 0;
  }

  #takeBody(b: Buffer, end: number): void {
    const stop = this.#body.scan(b, 0, end);
    if (stop === MALFORMED) {
      this.#abandonBody(MALFORMED_CHUNKS);
      return;
    }
    this.#handler.bytes(this, true, stop);
    const held = this.#held;
    const upstream = this.#upstream;
    const room = held.headLength + this.#engine.limits.maxHeldBytes;
    if (upstream === undefined) {
      // Between tries: what has come must be kept, and no more is asked for than may be.
      if (!this.#responded) held.append(b, 0, stop);
      if (held.length > room) this.#pause();
    } else {
      if (this.replayable && held.length + stop <= room) held.append(b, 0, stop);
      else this.replayable = false;
      if (!upstream.stream.write(b, 0, stop)) this.#pause();
    }
    if (this.#body.done) this.#phase = "wait";
    this.#watch();
    if (stop < end) {
      this.#partial.hold(b, stop, end);
      this.#pause();
    }
  }

  /** The rest of the request is not to be had: whoever has the start of it must not take that for the whole. */
  #abandonBody(refusal: Refusal): void {
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
    if (this.#phase === "gone") return;
    if (this.#responded) this.#breakOff();
    else this.fail(refusal);
  }

  /** The client must see that the answer is cut short. */
  #breakOff(): void {
    this.#over(0);
    this.destroy();
  }

  // --- sending it

  /** Sends what is held on `connection`, and the rest of the body as it comes. */
  attach(connection: ClientConnection): void {
    this.#upstream = connection;
    connection.begin(this);
    const { bytes, length, headLength } = this.#held;
    const flowing = connection.stream.write(bytes, 0, length);
    if (this.#phase === "body") {
      if (length > headLength + this.#engine.limits.maxHeldBytes) this.replayable = false;
      if (flowing) this.#resume();
      else this.#pause();
      this.#watch();
    }
  }

  /** Routes the request that was made to wait. */
  again(): void {
    if (this.#phase !== "routing") return;
    this.#phase = "idle";
    this.#pump();
  }

  onUpstreamDrain(): void {
    if (this.#phase !== "body") return;
    this.#resume();
    this.#watch();
  }

  // --- the answer

  /** Writes to the client. False: it is behind, and what is still to come must wait. */
  #say(b: Buffer, start: number, end: number): boolean {
    if (this.stream.write(b, start, end)) return true;
    this.#behind = true;
    return false;
  }

  /** Holds the answer back until the client has caught up. */
  #holdAnswer(): void {
    this.#upstream?.stream.pause();
    this.#watch();
  }

  onInformational(head: Head, b: Buffer): void {
    if (this.minor === 0) return;
    const scratch = this.#engine.transport.scratch;
    const o = writeResponseHead(head, b, scratch, 0, "keep", false);
    if (!this.#say(scratch, 0, o)) this.#holdAnswer();
  }

  rejects(_connection: ClientConnection, head: Head, b: Buffer): boolean {
    return this.#handler.rejects(this, head, b);
  }

  onHead(head: Head, b: Buffer, headEnd: number, bodyEnd: number, framing: Framing, done: boolean): void {
    this.#responded = true;
    this.#status = head.status;
    this.#handler.answered(this, head.status);
    // An answer that overtakes its request leaves bytes of the request behind: no other can follow.
    if (framing === "close" || !this.#body.done || this.#engine.draining) this.#closing = true;
    const how: Persistence = this.#closing ? "close" : this.minor === 0 ? "keep10" : "keep";
    const { transport } = this.#engine;
    const { scratch } = transport;
    const lines = this.#handler.amend(this, head, b);
    let o = writeResponseHead(head, b, scratch, 0, how, this.#handler.trusted(this), lines);
    this.replayable = false;
    this.#held.release();
    const together = o + bodyEnd - headEnd <= scratch.length;
    if (together && bodyEnd > headEnd) {
      scratch.set(transport.viewOf(b, headEnd, bodyEnd), o);
      o += bodyEnd - headEnd;
    }
    let flowing = this.#say(scratch, 0, o);
    if (!together) flowing = this.#say(b, headEnd, bodyEnd) && flowing;
    if (bodyEnd > headEnd) this.#handler.bytes(this, false, bodyEnd - headEnd);
    if (!flowing && !done) this.#holdAnswer();
  }

  onBody(b: Buffer, start: number, end: number): void {
    this.#handler.bytes(this, false, end - start);
    if (!this.#say(b, start, end)) this.#holdAnswer();
  }

  onDone(): void {
    this.#upstream = undefined;
    this.#over(this.#status);
    this.#next();
  }

  onFailed(connection: ClientConnection, failure: TryFailure): void {
    this.#upstream = undefined;
    if (this.#phase === "gone") return;
    if (this.#responded) this.#breakOff();
    else this.#handler.failed(this, failure, connection);
  }

  onUpgraded(connection: ClientConnection, head: Head, b: Buffer, headEnd: number, end: number): void {
    this.#upstream = undefined;
    this.#handler.answered(this, 101);
    writeUpgrade(this.stream, this.#engine.transport.scratch, head, b, headEnd, end);
    this.#held.release();
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
    if (!this.#body.done || this.#engine.draining) this.#closing = true;
    const text = refusalText(refusal, this.method === HEAD, this.#closing);
    this.#responded = true;
    this.#say(text, 0, text.length);
    this.#over(refusal.status);
    this.#next();
  }

  #over(status: number): void {
    this.#held.release();
    this.#handler.finished(this, status);
  }

  // --- between requests, and the end

  #next(): void {
    if (this.stream.closed) return;
    if (this.#closing || (this.#ended && this.#partial.empty)) {
      this.#linger();
      return;
    }
    if (this.#behind && !this.#partial.empty) {
      this.#phase = "flush";
      this.#watch();
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
    while (this.#phase === "idle" && !this.#partial.empty) this.#parseHeld();
    this.#pumping = false;
    // What was begun will not be finished.
    if (this.#ended && this.#phase === "head") this.destroy();
    if (this.#phase === "idle" || this.#phase === "head") this.#resume();
  }

  #linger(): void {
    this.#phase = "gone";
    this.#disarm();
    this.#partial.take();
    this.#partial.forget();
    this.#engine.connections.delete(this);
    linger(this.stream, this.#engine, () => this.forget());
  }

  /** Closes once nothing is under way. */
  drain(): void {
    if (this.#phase !== "idle") return;
    if (this.#refuse()) return;
    this.#closing = true;
    this.#linger();
  }

  /** Where the client can be told that a request which it has just sent was not read, it is: not even a POST is lost. */
  #refuse(): boolean {
    const { stream } = this;
    if (stream.refuse === undefined || stream.pendingBytes > 0) return false;
    stream.refuse();
    return true;
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

  /** Sets the deadline of an exchange: for the client to go on taking or sending, or the endpoint to go on taking. */
  #watch(): void {
    const { stallMs, bodyMs } = this.#engine.limits;
    if (this.#behind) {
      this.#unsentBytes = this.stream.pendingBytes;
      this.#arm(stallMs);
    } else if (this.#phase === "body") this.#arm(this.#holding ? stallMs : bodyMs);
    else this.#disarm();
  }

  #expired(): void {
    switch (this.#phase) {
      case "head":
        this.#reset();
        this.#closing = true;
        this.startMs = this.#engine.clock.nowMs();
        this.#answer(HEAD_TOO_SLOW);
        return;
      case "body":
        if (this.#behind) this.#stalled();
        else if (!this.#holding) this.#abandonBody(BODY_TOO_SLOW);
        // Between tries nobody is there to take it, and an app that answers already may not want the rest.
        else if (this.#upstream === undefined || this.#responded) this.#watch();
        else this.#abandonBody(BODY_STALLED);
        return;
      case "wait":
      case "flush":
        if (this.#behind) this.#stalled();
        return;
      case "idle":
        if (!this.#refuse()) this.stream.destroy();
        return;
      case "routing":
      case "gone":
        return;
      default:
        this.#phase satisfies never;
    }
  }

  /** The client has taken nothing of its answer for long, or nothing that can be seen. */
  #stalled(): void {
    if (this.stream.pendingBytes < this.#unsentBytes) {
      this.#watch();
      return;
    }
    const upstream = this.#upstream;
    this.#upstream = undefined;
    upstream?.drop();
    if (this.#phase === "flush") {
      this.destroy();
      return;
    }
    this.#handler.cancel(this);
    this.#breakOff();
  }

  onEnd(): void {
    this.#ended = true;
    switch (this.#phase) {
      case "wait":
      case "flush":
      case "routing":
        // A client may send its last request and close its half at once.
        if (this.#phase === "wait" && this.#partial.empty) this.#closing = true;
        return;
      case "idle":
        this.stream.end();
        return;
      case "head":
      case "body":
        this.stream.destroy();
        return;
      case "gone":
        return;
      default:
        this.#phase satisfies never;
    }
  }

  onDrain(): void {
    this.#behind = false;
    this.#upstream?.stream.resume();
    if (this.#phase === "flush") this.#next();
    else if (this.#phase === "body" || this.#phase === "wait") this.#watch();
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
    if (!this.#held.empty || upstream !== undefined) this.#over(0);
  }
}
