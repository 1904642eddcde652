// An HTTP/1.1 server connection of the proxy between a client and a server that exist only as bytes: nothing waits, so
// that every message can be delivered at every split.
import { ManualClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { AUTHORITY_AT, authorityEnd, parseAuthority } from "../../proxy/http1/authority.ts";
import { ClientConnection, type ConnectionOwner, type TryFailure } from "../../proxy/http1/client-connection.ts";
import {
  createEngine,
  DEFAULT_LIMITS,
  type Engine,
  type Refusal,
  type RequestHandler,
  type ServedRequest,
  type ServerLimits,
  type Verdict,
} from "../../proxy/http1/engine.ts";
import { CONNECT, type Head, OPTIONS } from "../../proxy/http1/head.ts";
import { ServerConnection } from "../../proxy/http1/server-connection.ts";
import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import { TimerWheel } from "../../transport/timer-wheel.ts";
import type { Transport } from "../../transport/transport.ts";
import { Llhttp } from "./llhttp.ts";

const NOBODY: ByteStreamUser = { onRead() {}, onEnd() {}, onDrain() {}, onClose() {} };
/** As in the handle adapter: what was read is overwritten by the next read. */
const READ = Buffer.alloc(65_536);
const SCRATCH = Buffer.alloc(81_920);
/** Parsing is synchronous, so all wires can share its records. */
const ENGINE = createEngine({
  clock: new ManualClock(),
  log: silentLog,
  transport: {} as Transport,
  limits: DEFAULT_LIMITS,
});

/** A byte stream that delivers what it is told to, and remembers what was written. */
export class FakeStream implements ByteStream {
  user: ByteStreamUser = NOBODY;
  maxReadBytes = 65_536;
  closed = false;
  /** Of a reader that takes nothing: writes are accepted and wait. */
  full = false;
  paused = false;
  /** This side has sent its FIN. */
  ended = false;
  wasReset = false;
  pendingBytes = 0;
  onWrite: (bytes: Buffer) => void = () => {};
  readonly remoteAddress = "";
  readonly remotePort = 0;
  readonly localAddress = "";
  readonly localPort = 0;
  readonly #written: Buffer[] = [];
  #coming: Buffer[] = [];
  #endComing = false;
  #closeTold = false;

  get text(): string {
    return Buffer.concat(this.#written).toString("latin1");
  }

  get writtenBytes(): number {
    return this.#written.reduce((sum, { length }) => sum + length, 0);
  }

  /** Bytes that have come and were not taken. */
  get comingBytes(): number {
    return this.#coming.reduce((sum, { length }) => sum + length, 0);
  }

  write(buffer: Buffer, start: number, end: number): boolean {
    if (this.closed || this.ended) return true;
    const bytes = Buffer.from(buffer.subarray(start, end));
    this.#written.push(bytes);
    this.onWrite(bytes);
    if (this.full) this.pendingBytes += bytes.length;
    return !this.full;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  end(): void {
    this.ended = true;
  }

  destroy(_error?: Error, reset = false): void {
    this.closed = true;
    this.wasReset ||= reset;
    this.pendingBytes = 0;
  }

  /** The other end sends `bytes`; they arrive by `turn`. */
  deliver(bytes: Buffer): void {
    for (let i = 0; i < bytes.length; i += READ.length)
      this.#coming.push(Buffer.from(bytes.subarray(i, i + READ.length)));
  }

  deliverEnd(): void {
    this.#endComing = true;
  }

  /** The other end takes all that waits. */
  drain(): void {
    this.full = false;
    this.pendingBytes = 0;
    if (!this.closed) this.user.onDrain();
  }

  /** One callback, where one is due. */
  turn(): boolean {
    if (this.closed) {
      if (this.#closeTold) return false;
      this.#closeTold = true;
      this.user.onClose(undefined);
      return true;
    }
    if (this.paused) return false;
    const next = this.#coming.shift();
    if (next !== undefined) {
      READ.set(next, 0);
      this.user.onRead(READ, next.length);
      READ.fill(0xaa, 0, Math.min(next.length, 64));
      return true;
    }
    if (this.#endComing) {
      this.#endComing = false;
      this.user.onEnd();
      if (this.ended) this.destroy();
      return true;
    }
    return false;
  }
}

/** What the server says to a request, as octets; nothing: it says nothing yet. */
export type Reply = (summary: string, method: string) => string | undefined;

export const OK: Reply = () => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

const NO_LINES = Buffer.alloc(0);

class Handler implements RequestHandler<undefined>, ConnectionOwner {
  readonly #engine: Engine;
  readonly #connect: () => FakeStream;
  #idle: ClientConnection[] = [];
  tunnelled: Buffer | undefined;
  finishes = 0;

  constructor(engine: Engine, connect: () => FakeStream) {
    this.#engine = engine;
    this.#connect = connect;
  }

  route(_connection: ServedRequest<undefined>, head: Head, b: Buffer): Verdict {
    const { rewrite } = this.#engine;
    const text = (start: number, end: number) => b.toString("latin1", start, end);
    const refusal: Refusal = {
      status: 400,
      code: "PROXY_BAD_REQUEST",
      message: "Cannot read the request: its target.",
    };
    rewrite.targetStart = head.targetStart;
    rewrite.targetEnd = head.targetEnd;
    rewrite.host = undefined;
    let authority = text(head.hostStart, head.hostEnd);
    const asterisk = head.method === OPTIONS && text(head.targetStart, head.targetEnd) === "*";
    if (head.method === CONNECT) authority = text(head.targetStart, head.targetEnd);
    else if (b[head.targetStart] !== 47 && !asterisk) {
      const end = authorityEnd(b, head.targetStart, head.targetEnd);
      if (end < 0) return refusal;
      authority = text(head.targetStart + AUTHORITY_AT, end);
      rewrite.targetStart = end;
      rewrite.host = Buffer.from(authority, "latin1");
    }
    if (parseAuthority(authority, head.method === CONNECT ? 0 : 80) === undefined) return refusal;
    return head.method === CONNECT ? "tunnel" : "routed";
  }

  dispatch(connection: ServedRequest<undefined>): void {
    for (let pooled = this.#idle.pop(); pooled !== undefined; pooled = this.#idle.pop()) {
      if (pooled.stream.closed) continue;
      connection.attach(pooled);
      return;
    }
    connection.attach(new ClientConnection(this.#connect(), this, this.#engine.responseHead));
  }

  release(connection: ClientConnection): void {
    this.#idle.push(connection);
  }

  gone(connection: ClientConnection): void {
    this.#idle = this.#idle.filter((idle) => idle !== connection);
  }

  dropIdle(): void {}
  cancel(): void {}
  rejects = () => false;
  answered(): void {}
  amend = () => NO_LINES;

  failed(connection: ServedRequest<undefined>, failure: TryFailure): void {
    connection.fail({ status: 502, code: "PROXY_BAD_RESPONSE", message: `Cannot reach the app: ${failure}.` });
  }

  finished(): void {
    this.finishes++;
  }

  tunnel({ stream }: ServedRequest<undefined>, early: Buffer): void {
    this.tunnelled = early;
    stream.user = {
      ...NOBODY,
      onRead: (buffer, length) => {
        this.tunnelled = Buffer.concat([this.tunnelled ?? early, buffer.subarray(0, length)]);
      },
    };
  }

  bytes(): void {}
  trusted = () => false;
}

/** The proxy's connection, its client and whatever servers it dials. */
export class Wire {
  readonly clock = new ManualClock();
  readonly client = new FakeStream();
  readonly servers: FakeStream[] = [];
  /** What the servers have read, in order. */
  readonly seen: Llhttp[] = [];
  readonly engine: Engine;
  readonly handler: Handler;
  readonly connection: ServerConnection<undefined>;

  constructor(
    reply: Reply = OK,
    limits: Partial<ServerLimits> = {},
    onServer: (stream: FakeStream) => void = () => {},
  ) {
    const { clock } = this;
    const wheel = new TimerWheel(clock, silentLog);
    const viewOf = (buffer: Buffer, start: number, end: number) => buffer.subarray(start, end);
    const transport = { adapter: "handle", wheel, scratch: SCRATCH, viewOf } as unknown as Transport;
    this.engine = { ...ENGINE, clock, transport, limits: { ...DEFAULT_LIMITS, ...limits }, connections: new Set() };
    this.handler = new Handler(this.engine, () => {
      const stream = new FakeStream();
      const seen = new Llhttp("request");
      stream.onWrite = (bytes) => seen.execute(bytes);
      seen.onMessage = ({ method, target, body }) => {
        const answer = reply(`${method} ${target} ${body}`, method);
        if (answer !== undefined) stream.deliver(Buffer.from(answer, "latin1"));
      };
      onServer(stream);
      this.servers.push(stream);
      this.seen.push(seen);
      return stream;
    });
    this.connection = new ServerConnection(this.client, this.engine, this.handler, undefined);
    this.client.user = this.connection;
  }

  /** Lets everything happen that is due. */
  settle(): void {
    for (let busy = true; busy; ) {
      busy = false;
      for (const stream of [this.client, ...this.servers]) while (stream.turn()) busy = true;
    }
  }

  say(text: string | Buffer): void {
    this.client.deliver(typeof text === "string" ? Buffer.from(text, "latin1") : text);
    this.settle();
  }

  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms);
    this.settle();
  }

  /** Complete requests that servers have read. */
  get requests(): string[] {
    return this.seen.flatMap(({ messages }) =>
      messages.map(({ method, target, body }) => `${method} ${target} ${body}`),
    );
  }

  /** All that was written to servers. */
  get forwarded(): string {
    return this.servers.map(({ text }) => text).join("<end>");
  }
}
