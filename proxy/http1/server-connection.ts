// One client's HTTP/1.1 connection: requests read one after the other, early ones kept back, deadlines, the end.
import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import { WheelTimer } from "../../transport/timer-wheel.ts";
import type { Engine, RequestHandler, Verdict } from "./engine.ts";
import { CONNECT, type Head, INCOMPLETE, MALFORMED, parseRequestHead } from "./head.ts";
import { linger } from "./linger.ts";
import { PartialHead } from "./partial-head.ts";
import {
  BODY_ON_CONNECT,
  BODY_STALLED,
  BODY_TOO_SLOW,
  HEAD_MALFORMED,
  HEAD_TOO_LARGE,
  HEAD_TOO_SLOW,
} from "./refusal.ts";
import { type ClientSide, ServedExchange } from "./served-exchange.ts";

/**
 * `idle`: between requests. `head`: part of one is here. `routing`: the handler waits. `body`: more of the request is
 * to come. `wait`: the request is complete, its answer is not. `flush`: answered, and the next request waits until the
 * client has taken the answer. `gone`: closed, a tunnel, or answered for the last time.
 */
type Phase = "idle" | "head" | "routing" | "body" | "wait" | "flush" | "gone";

export class ServerConnection<S> implements ByteStreamUser, ClientSide {
  readonly stream: ByteStream;
  /** Called once, when the connection is closed. */
  onGone: () => void = () => {};
  closing = false;
  readonly #engine: Engine;
  readonly #handler: RequestHandler<S>;
  readonly #partial: PartialHead;
  readonly #exchange: ServedExchange<S>;
  readonly #timer: WheelTimer;
  #phase: Phase = "idle";
  /** The client sends no more. */
  #ended = false;
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
    this.#engine = engine;
    this.#handler = handler;
    this.#partial = new PartialHead(engine.limits.maxHeadBytes);
    this.#exchange = new ServedExchange(this, engine, handler, state);
    this.#timer = new WheelTimer(() => this.#expired());
    engine.connections.add(this);
    this.#arm(engine.limits.idleMs);
  }

  get gone(): boolean {
    return this.#phase === "gone";
  }

  get receiving(): boolean {
    return this.#phase === "body";
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
        this.pause();
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
    this.#exchange.beginUnread();
    this.closing = true;
    this.#exchange.answer(verdict === MALFORMED ? HEAD_MALFORMED : HEAD_TOO_LARGE);
  }

  #begin(head: Head, b: Buffer, headEnd: number, end: number): void {
    this.#disarm();
    const exchange = this.#exchange;
    exchange.begin(head);
    this.closing = head.close;
    const verdict = this.#putOff() ? "wait" : this.#route(head, b);
    if (verdict === "wait") {
      this.#phase = "routing";
      this.#partial.hold(b, 0, end);
      this.pause();
      return;
    }
    if (verdict === "tunnel") {
      this.#phase = "gone";
      this.#handler.tunnel(exchange, Buffer.from(b.subarray(headEnd, end)));
      return;
    }
    if (verdict !== "routed") {
      // Whoever sends what cannot be read may mean its next bytes otherwise than we would read them.
      if (verdict.status === 400) this.closing = true;
      if (exchange.requestDone && headEnd < end) this.#partial.hold(b, headEnd, end);
      exchange.answer(verdict);
      return;
    }
    const stop = exchange.lay(head, b, headEnd, end);
    if (stop === MALFORMED) return;
    this.#phase = exchange.requestDone ? "wait" : "body";
    if (stop < end) {
      this.#partial.hold(b, stop, end);
      this.pause();
    } else if (this.#ended) this.closing = true;
    if (!exchange.requestDone) {
      if (this.#ended) {
        exchange.breakOff();
        return;
      }
      this.watch();
    }
    this.#handler.dispatch(exchange);
  }

  #route(head: Head, b: Buffer): Verdict {
    return head.method === CONNECT && !this.#exchange.requestDone
      ? BODY_ON_CONNECT
      : this.#handler.route(this.#exchange, head, b);
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

  #takeBody(b: Buffer, end: number): void {
    const stop = this.#exchange.takeBody(b, end);
    if (stop === MALFORMED) return;
    if (this.#exchange.requestDone) this.#phase = "wait";
    this.watch();
    if (stop < end) {
      this.#partial.hold(b, stop, end);
      this.pause();
    }
  }

  /** Routes the request that was made to wait. */
  again(): void {
    if (this.#phase !== "routing") return;
    this.#phase = "idle";
    this.#pump();
  }

  // --- for the exchange

  say(b: Buffer, start: number, end: number): boolean {
    if (this.stream.write(b, start, end)) return true;
    this.#behind = true;
    return false;
  }

  leave(): Buffer {
    this.#disarm();
    this.#phase = "gone";
    return this.#partial.take();
  }

  // --- between requests, and the end

  next(): void {
    if (this.stream.closed) return;
    if (this.closing || (this.#ended && this.#partial.empty)) {
      this.#linger();
      return;
    }
    if (this.#behind && !this.#partial.empty) {
      this.#phase = "flush";
      this.watch();
      return;
    }
    this.#phase = "idle";
    if (this.#partial.empty) {
      this.#arm(this.#engine.limits.idleMs);
      this.resume();
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
    if (this.#phase === "idle" || this.#phase === "head") this.resume();
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
    this.closing = true;
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

  pause(): void {
    this.#holding = true;
    this.stream.pause();
  }

  resume(): void {
    this.#holding = false;
    this.stream.resume();
  }

  #arm(afterMs: number): void {
    this.#engine.transport.wheel.arm(this.#timer, afterMs);
  }

  #disarm(): void {
    this.#engine.transport.wheel.disarm(this.#timer);
  }

  watch(): void {
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
        this.#exchange.beginUnread();
        this.closing = true;
        this.#exchange.answer(HEAD_TOO_SLOW);
        return;
      case "body":
        if (this.#behind) this.#stalled();
        else if (!this.#holding) this.#exchange.abandonBody(BODY_TOO_SLOW);
        // Between tries nobody is there to take it, and an app that answers already may not want the rest.
        else if (!this.#exchange.attached || this.#exchange.responded) this.watch();
        else this.#exchange.abandonBody(BODY_STALLED);
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
      this.watch();
      return;
    }
    if (this.#phase === "flush") this.destroy();
    else this.#exchange.stalled();
  }

  onEnd(): void {
    this.#ended = true;
    switch (this.#phase) {
      case "wait":
      case "flush":
      case "routing":
        // A client may send its last request and close its half at once.
        if (this.#phase === "wait" && this.#partial.empty) this.closing = true;
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
    this.#exchange.goOn();
    if (this.#phase === "flush") this.next();
    else if (this.#phase === "body" || this.#phase === "wait") this.watch();
  }

  onClose(): void {
    const phase = this.#phase;
    this.#phase = "gone";
    this.#engine.transport.wheel.drop(this.#timer);
    this.forget();
    this.#exchange.lost(phase === "wait" || phase === "body");
  }
}
