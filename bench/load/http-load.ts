import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import type { Transport } from "../../transport/transport.ts";
import { Histogram } from "../measure/histogram.ts";

export interface HttpLoadOptions {
  readonly port: number;
  /** What is sent once at the start of each connection: a ClientHello for a relay. */
  readonly prologue: Buffer;
  /** One whole request. */
  readonly request: Buffer;
  /** Of the body of each answer. */
  readonly bodyBytes: number;
  readonly connections: number;
  /** Not counted. */
  readonly warmUpSeconds: number;
  readonly seconds: number;
  /** Requests per second; 0: each connection sends the next request as soon as it has its answer. */
  readonly rate: number;
}

export interface HttpLoadResult {
  readonly requests: number;
  readonly seconds: number;
  /** Answers other than 200 and connections lost under way. */
  readonly errors: number;
  /** At a fixed rate from when the request should have been sent, else from when it was. NaN where nothing came. */
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
}

const CONNECT_MS = 5_000;
const STATUS_AT = 9;
const TWO = "2".charCodeAt(0);
const CRLF2 = Buffer.from("\r\n\r\n");
const NOTHING: Buffer = Buffer.alloc(0);

/** Requests without pipelining over a number of kept connections, closed loop or at a fixed rate. */
export function runHttpLoad(transport: Transport, options: HttpLoadOptions): Promise<HttpLoadResult> {
  return new HttpLoad(transport, options).run();
}

class HttpLoad {
  readonly transport: Transport;
  readonly options: HttpLoadOptions;
  readonly idle: HttpConnection[] = [];
  readonly #open = new Set<HttpConnection>();
  readonly #histogram = new Histogram();
  readonly #intervalMs: number;
  #startMs = 0;
  #countFromMs = Number.POSITIVE_INFINITY;
  #endMs = Number.POSITIVE_INFINITY;
  /** Requests sent at a fixed rate. */
  #sent = 0;
  #requests = 0;
  #errors = 0;
  #over = false;

  constructor(transport: Transport, options: HttpLoadOptions) {
    this.transport = transport;
    this.options = options;
    this.#intervalMs = options.rate === 0 ? 0 : 1_000 / options.rate;
  }

  async run(): Promise<HttpLoadResult> {
    const { connections, warmUpSeconds, seconds, rate } = this.options;
    await Promise.all(Array.from({ length: connections }, () => this.#connect()));
    this.#startMs = performance.now();
    this.#countFromMs = this.#startMs + 1_000 * warmUpSeconds;
    this.#endMs = this.#countFromMs + 1_000 * seconds;
    if (rate === 0) for (const connection of this.idle.splice(0)) connection.send(performance.now());
    await new Promise<void>((resolve) => {
      if (rate === 0) {
        setTimeout(resolve, this.#endMs - this.#startMs);
        return;
      }
      // A timer is a millisecond late; the loop has nothing else to do than to look at the clock.
      const turn = () => {
        const nowMs = performance.now();
        if (nowMs >= this.#endMs) {
          resolve();
          return;
        }
        this.#release(nowMs);
        setImmediate(turn);
      };
      turn();
    });
    const endMs = performance.now();
    this.#over = true;
    this.#countUnsent(endMs);
    for (const connection of this.#open) connection.stream.destroy();
    const histogram = this.#histogram;
    return {
      requests: this.#requests,
      seconds: (endMs - this.#countFromMs) / 1_000,
      errors: this.#errors,
      p50Us: histogram.quantile(0.5),
      p99Us: histogram.quantile(0.99),
      p999Us: histogram.quantile(0.999),
    };
  }

  answered(connection: HttpConnection, sinceMs: number): void {
    if (this.#over) return;
    const nowMs = performance.now();
    if (nowMs >= this.#countFromMs) {
      this.#requests++;
      if (sinceMs >= this.#countFromMs) this.#histogram.record((nowMs - sinceMs) * 1_000);
    }
    if (this.#intervalMs === 0) {
      connection.send(nowMs);
      return;
    }
    this.idle.push(connection);
    this.#release(nowMs);
  }

  lost(connection: HttpConnection): void {
    this.#open.delete(connection);
    const at = this.idle.indexOf(connection);
    if (at >= 0) this.idle.splice(at, 1);
    if (this.#over) return;
    if (at < 0) this.#errors++;
    this.#connect().then(
      () => {
        if (this.#intervalMs === 0) this.idle.pop()?.send(performance.now());
      },
      () => this.#errors++,
    );
  }

  /** Sends what is due, as far as connections are idle. */
  #release(nowMs: number): void {
    const idle = this.idle;
    while (idle.length > 0) {
      const dueMs = this.#startMs + this.#sent * this.#intervalMs;
      if (dueMs > nowMs || dueMs >= this.#endMs) return;
      this.#sent++;
      idle.pop()?.send(dueMs);
    }
  }

  /** What was due and found no idle connection has waited, too. */
  #countUnsent(endMs: number): void {
    if (this.#intervalMs === 0) return;
    for (;;) {
      const dueMs = this.#startMs + this.#sent * this.#intervalMs;
      if (dueMs >= this.#endMs) return;
      this.#sent++;
      if (dueMs >= this.#countFromMs) this.#histogram.record((endMs - dueMs) * 1_000);
    }
  }

  #connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.transport.connectTcp(
        { host: "127.0.0.1", port: this.options.port, timeoutMs: CONNECT_MS },
        (stream) => {
          const connection = new HttpConnection(this, stream);
          this.#open.add(connection);
          this.idle.push(connection);
          const { prologue } = this.options;
          if (prologue.length > 0) stream.write(prologue, 0, prologue.length);
          resolve();
          return connection;
        },
        reject,
      );
    });
  }
}

class HttpConnection implements ByteStreamUser {
  readonly stream: ByteStream;
  readonly #load: HttpLoad;
  readonly #request: Buffer;
  #sinceMs = 0;
  #bodyLeft = 0;
  /** The start of a head that came in pieces. */
  #held: Buffer = NOTHING;

  constructor(load: HttpLoad, stream: ByteStream) {
    this.#load = load;
    this.stream = stream;
    this.#request = load.options.request;
  }

  send(sinceMs: number): void {
    this.#sinceMs = sinceMs;
    this.stream.write(this.#request, 0, this.#request.length);
  }

  onRead(buffer: Buffer, length: number): void {
    if (this.#held.length > 0) {
      const whole = Buffer.concat([this.#held, buffer.subarray(0, length)]);
      this.#held = NOTHING;
      this.#take(whole, whole.length);
    } else {
      this.#take(buffer, length);
    }
  }

  onEnd(): void {
    this.stream.destroy();
  }

  onDrain(): void {}

  onClose(): void {
    this.#load.lost(this);
  }

  /** There is one request under way, so what comes is one answer. */
  #take(buffer: Buffer, length: number): void {
    let at = 0;
    if (this.#bodyLeft === 0) {
      const end = headEnd(buffer, length);
      if (end < 0) {
        this.#held = Buffer.from(buffer.subarray(0, length));
        return;
      }
      if (buffer[STATUS_AT] !== TWO) {
        // Nobody knows how long its body is.
        this.stream.destroy();
        return;
      }
      this.#bodyLeft = this.#load.options.bodyBytes;
      at = end;
    }
    this.#bodyLeft -= length - at;
    if (this.#bodyLeft < 0) this.stream.destroy();
    else if (this.#bodyLeft === 0) this.#load.answered(this, this.#sinceMs);
  }
}

function headEnd(buffer: Buffer, length: number): number {
  const at = buffer.indexOf(CRLF2);
  return at < 0 || at + 4 > length ? -1 : at + 4;
}
