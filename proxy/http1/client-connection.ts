import { hasCode } from "../../core/errors.ts";
import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import { type ChunkState, createChunkState, resetChunkState, scanChunks } from "./chunks.ts";
import { HEAD, type Head, INCOMPLETE, MALFORMED, parseResponseHead } from "./head.ts";
import { PartialHead } from "./partial-head.ts";

/** Why a try got no answer. */
export type TryFailure =
  /** No connection was made: nothing was sent. */
  | "connect"
  /** The connection ended after the request, or part of it, was sent and before any byte of an answer. */
  | "reset"
  /** The answer breaks HTTP's framing rules. */
  | "malformed"
  /** The other end took the connection up no more: nothing of the request was read. */
  | "untaken"
  /** The answer was turned down: the other proxy's refusal, or a status that is retried. */
  | "refused"
  /** No answer came within the time for a try. */
  | "timeout"
  /** Given up by this side: the link died. */
  | "abandoned";

/** The exchange that a connection serves; the hot half of `ServerConnection`. */
export interface Exchange {
  readonly method: number;
  readonly minor: number;
  readonly idempotent: boolean;
  readonly upgradeAsked: boolean;
  /** All of the request has been read. */
  readonly requestDone: boolean;
  /** A 1xx answer other than 101. */
  onInformational(head: Head, b: Buffer): void;
  /** A final head. True: the answer is not wanted, the request goes elsewhere. */
  rejects(connection: ClientConnection, head: Head, b: Buffer): boolean;
  /** Head and the first `bodyEnd - headEnd` bytes of the body. `done`: that is all. */
  onHead(head: Head, b: Buffer, headEnd: number, bodyEnd: number, framing: Framing, done: boolean): void;
  onBody(b: Buffer, start: number, end: number): void;
  onUpgraded(connection: ClientConnection, head: Head, b: Buffer, headEnd: number, end: number): void;
  /** The answer is complete; the connection is the pool's again. */
  onDone(): void;
  /** There will be no more of the answer. */
  onFailed(connection: ClientConnection, failure: TryFailure): void;
  /** The connection can take more of the request. */
  onUpstreamDrain(): void;
}

/** How the end of a body is found (RFC 9112 section 6.3). */
export type Framing = "none" | "length" | "chunked" | "close";

function responseFraming(head: Head, method: number): Framing {
  if (method === HEAD || head.status === 204 || head.status === 304 || head.status < 200) return "none";
  if (head.chunked) return "chunked";
  return head.contentLength >= 0 ? "length" : "close";
}

/**
 * Whether the head announces a body that its status forbids (RFC 9110 section 8.6, RFC 9112 section 6.1): the client may
 * believe the one or the other.
 */
function forbidsFraming(head: Head): boolean {
  return (head.status < 200 || head.status === 204) && (head.chunked || head.contentLength > 0);
}

/** A server that reports progress every few seconds stays below; a flood does not. */
const MAX_INFORMATIONAL = 1_000;

/** The pool that a connection came from, as far as the connection needs it. */
export interface ConnectionOwner {
  /** Takes a connection back after an exchange. */
  release(connection: ClientConnection): void;
  /** Forgets a connection that is closed or was taken away. */
  gone(connection: ClientConnection): void;
  /** Drops idle connections only. */
  dropIdle(): void;
}

/** One HTTP/1.1 connection to an endpoint or app, in a pool between exchanges. */
export class ClientConnection implements ByteStreamUser {
  readonly stream: ByteStream;
  readonly pool: ConnectionOwner;
  exchange: Exchange | undefined;
  /** Called once, when the connection is closed or was taken over. */
  onGone: () => void = () => {};
  /** Exchanges begun; over 1 means that the other end may have closed it just now. */
  uses = 0;
  idleSinceMs = 0;
  /** The pool's: between exchanges. */
  idling = false;
  /** Serves no new exchange from then on. */
  retireAtMs = Number.POSITIVE_INFINITY;
  /** The server's own limit on idling (Keep-Alive: timeout), less a second. */
  idleLimitMs = Number.POSITIVE_INFINITY;
  readonly #head: Head;
  readonly #partial: PartialHead;
  #inBody = false;
  /** 1xx answers to the request. */
  #informational = 0;
  #framing: Framing = "none";
  #left = 0;
  #reusable = true;
  readonly #chunks: ChunkState = createChunkState();

  constructor(stream: ByteStream, pool: ConnectionOwner, head: Head) {
    this.stream = stream;
    this.pool = pool;
    this.#head = head;
    this.#partial = new PartialHead(head.maxBytes);
    stream.user = this;
  }

  /** Takes up an exchange; the caller writes the request to `stream`. */
  begin(exchange: Exchange): void {
    this.exchange = exchange;
    this.uses++;
    this.#inBody = false;
    this.#informational = 0;
    this.#reusable = true;
  }

  #forget(): void {
    this.pool.gone(this);
    this.onGone();
    this.onGone = () => {};
  }

  /** Gives the exchange up without telling it. */
  drop(): void {
    this.exchange = undefined;
    this.#forget();
    if (!this.stream.closed) this.stream.destroy();
  }

  /** Fails the exchange, if it has no answer yet and may be sent again. */
  abandon(): void {
    if (this.#inBody || this.exchange?.idempotent !== true) return;
    this.#fail("abandoned");
  }

  /** Nothing comes on what carries the connection: the exchange goes elsewhere where it may, and no new one begins. */
  onStall(): void {
    if (this.idling || this.exchange === undefined) this.drop();
    else this.abandon();
  }

  onRead(b: Buffer, length: number): void {
    const exchange = this.exchange;
    if (exchange === undefined) this.drop();
    else if (this.#inBody) this.#takeBody(exchange, b, 0, length);
    else this.#takeHead(exchange, b, length);
  }

  #takeHead(exchange: Exchange, read: Buffer, length: number): void {
    if (this.#partial.empty) {
      this.#parse(exchange, read, length);
      return;
    }
    const verdict = this.#partial.append(read, 0, length);
    if (verdict === INCOMPLETE) return;
    if (verdict < 0) {
      this.#fail("malformed");
      return;
    }
    const b = this.#partial.take();
    this.#parse(exchange, b, b.length);
    this.#partial.forget();
  }

  #parse(exchange: Exchange, b: Buffer, end: number): void {
    const head = this.#head;
    let from = 0;
    while (from < end) {
      const headEnd = parseResponseHead(head, b, from, end);
      if (headEnd === INCOMPLETE) {
        const verdict = this.#partial.append(b, from, end);
        if (verdict < INCOMPLETE) this.#fail("malformed");
        return;
      }
      if (headEnd < 0 || forbidsFraming(head)) {
        this.#fail("malformed");
        return;
      }
      if (head.status >= 200 || head.status === 101) {
        this.#takeFinal(exchange, b, headEnd, end);
        return;
      }
      if (++this.#informational > MAX_INFORMATIONAL) {
        this.#fail("malformed");
        return;
      }
      exchange.onInformational(head, b);
      if (this.exchange !== exchange) return;
      from = headEnd;
    }
  }

  #takeFinal(exchange: Exchange, b: Buffer, headEnd: number, end: number): void {
    const head = this.#head;
    if (head.status === 101) {
      // Before the end of the request nobody could tell its rest from the new protocol.
      if (!exchange.upgradeAsked || !exchange.requestDone) {
        this.#fail("malformed");
        return;
      }
      this.exchange = undefined;
      this.#forget();
      exchange.onUpgraded(this, head, b, headEnd, end);
      return;
    }
    const framing = responseFraming(head, exchange.method);
    // A 1.0 client cannot read chunks, and the request went on as 1.0, so a server sends none.
    if (framing === "chunked" && exchange.minor === 0) {
      this.#fail("malformed");
      return;
    }
    this.#framing = framing;
    this.#left = framing === "length" ? head.contentLength : 0;
    // A server ends a 1.0 connection that was not asked to stay, whether it says so or not.
    this.#reusable = !head.close && framing !== "close" && exchange.minor === 1;
    this.idleLimitMs =
      head.keepAliveSeconds >= 0 ? Math.max(0, head.keepAliveSeconds * 1_000 - 1_000) : Number.POSITIVE_INFINITY;
    if (framing === "chunked") resetChunkState(this.#chunks);
    const bodyEnd = this.#scan(b, headEnd, end);
    if (bodyEnd === MALFORMED) {
      this.#fail("malformed");
      return;
    }
    const done = this.#complete;
    if (exchange.rejects(this, head, b)) {
      this.exchange = undefined;
      if (done && bodyEnd === end && this.#reusable && exchange.requestDone) this.pool.release(this);
      else this.drop();
      exchange.onFailed(this, "refused");
      return;
    }
    this.#inBody = true;
    exchange.onHead(head, b, headEnd, bodyEnd, framing, done);
    if (this.exchange === exchange && done) this.#finish(exchange, bodyEnd === end);
  }

  #complete = false;

  /** Where the body ends in `b[from, end)`, or `end`; sets `#complete`. MALFORMED for bad chunks. */
  #scan(b: Buffer, from: number, end: number): number {
    this.#complete = false;
    switch (this.#framing) {
      case "none":
        this.#complete = true;
        return from;
      case "length": {
        const take = Math.min(this.#left, end - from);
        this.#left -= take;
        this.#complete = this.#left === 0;
        return from + take;
      }
      case "chunked": {
        const stop = scanChunks(this.#chunks, b, from, end);
        if (stop === MALFORMED) return MALFORMED;
        this.#complete = stop >= 0;
        return stop >= 0 ? stop : end;
      }
      case "close":
        return end;
      default:
        return this.#framing satisfies never;
    }
  }

  #takeBody(exchange: Exchange, b: Buffer, from: number, end: number): void {
    const stop = this.#scan(b, from, end);
    if (stop === MALFORMED) {
      this.#fail("malformed");
      return;
    }
    const done = this.#complete;
    if (stop > from) exchange.onBody(b, from, stop);
    if (this.exchange === exchange && done) this.#finish(exchange, stop === end);
  }

  /** `clean`: nothing came after the answer. */
  #finish(exchange: Exchange, clean: boolean): void {
    this.exchange = undefined;
    this.#inBody = false;
    if (clean && this.#reusable && exchange.requestDone && !this.stream.closed) {
      this.stream.resume();
      this.pool.release(this);
    } else this.drop();
    exchange.onDone();
  }

  #fail(failure: TryFailure): void {
    const exchange = this.exchange;
    this.drop();
    exchange?.onFailed(this, failure);
  }

  onEnd(): void {
    const exchange = this.exchange;
    if (exchange !== undefined && this.#inBody && this.#framing === "close") {
      this.#reusable = false;
      this.#finish(exchange, false);
    } else this.#fail("reset");
  }

  onDrain(): void {
    this.exchange?.onUpstreamDrain();
  }

  onClose(error?: Error): void {
    const exchange = this.exchange;
    this.exchange = undefined;
    this.#forget();
    exchange?.onFailed(this, hasCode(error, "STREAM_REFUSED") ? "untaken" : "reset");
  }
}
