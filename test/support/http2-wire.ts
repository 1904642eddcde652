import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import {
  CLIENT_PREFACE,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FRAME_DATA,
  FRAME_GOAWAY,
  FRAME_HEADER_BYTES,
  FRAME_HEADERS,
  FRAME_PING,
  FRAME_RST_STREAM,
  FRAME_SETTINGS,
  frameFlags,
  frameLength,
  frameStream,
  frameType,
  readUint32,
  writeFrameHeader,
  writeSettings,
} from "../../proxy/http2/frames.ts";
import { HpackDecoder } from "../../proxy/http2/hpack/decoder.ts";
import { HpackEncoder } from "../../proxy/http2/hpack/encoder.ts";
import { type Field, field } from "../../proxy/http2/hpack/field.ts";

export type Pairs = readonly (readonly [name: string, value: string])[];

/** A frame as it came. */
export interface WireFrame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
  /** Of HEADERS: `name: value` each. */
  readonly fields: readonly string[];
}

/** What came on one stream. */
export interface Received {
  /** Header lists: 1xx heads, the head, trailers. */
  readonly heads: Record<string, string>[];
  body: string;
  ended: boolean;
  /** Code of RST_STREAM; -1: none. */
  reset: number;
}

/** A frame of any kind, right or wrong. */
export function rawFrame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array | readonly number[] = [],
): Buffer {
  const content = Buffer.from(payload);
  const out = Buffer.alloc(FRAME_HEADER_BYTES + content.length);
  writeFrameHeader(out, 0, content.length, type, flags, stream);
  content.copy(out, FRAME_HEADER_BYTES);
  return out;
}

export function settingsFrame(...settings: number[]): Buffer {
  const out = Buffer.alloc(FRAME_HEADER_BYTES + settings.length * 3);
  writeSettings(out, 0, settings);
  return out;
}

export function uint32(value: number): Buffer {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(value >>> 0);
  return b;
}

/** One end of an HTTP/2 connection that sends whatever a test wants, and keeps what comes. */
export class RawHttp2 {
  readonly socket: net.Socket;
  readonly streams = new Map<number, Received>();
  /** Ids in the order in which their first header list came. */
  readonly begun: number[] = [];
  /** Error code of GOAWAY; -1: none. */
  goaway = -1;
  /** Nothing more comes. */
  closed = false;
  readonly frames: WireFrame[] = [];
  /** PING answers. */
  pongs = 0;
  readonly #decoder = new HpackDecoder();
  readonly #encoder = new HpackEncoder();
  readonly #waiting = new Set<() => void>();
  #held = Buffer.alloc(0);
  readonly #answers: boolean;
  #skip: number;

  /** `skip`: octets that come before frames. `answers`: whether SETTINGS and PINGs are, of themselves. */
  constructor(socket: net.Socket, skip: number, answers: boolean) {
    this.socket = socket;
    this.#skip = skip;
    this.#answers = answers;
    socket.on("error", () => {});
    for (const event of ["end", "close"]) {
      socket.on(event, () => {
        this.closed = true;
        this.#changed();
      });
    }
    socket.on("data", (data: Buffer) => this.#read(data));
  }

  /** A client of `port` that has sent the preface and `settings`. */
  static async connect(port: number, settings: Buffer = rawFrame(FRAME_SETTINGS, 0, 0)): Promise<RawHttp2> {
    const raw = await RawHttp2.open(port);
    raw.send(Buffer.from(CLIENT_PREFACE), settings);
    return raw;
  }

  /** A client of `port` that has sent nothing. */
  static async open(port: number, answers = true): Promise<RawHttp2> {
    const socket = net.connect(port, "127.0.0.1");
    const raw = new RawHttp2(socket, 0, answers);
    await once(socket, "connect");
    socket.setNoDelay(true);
    return raw;
  }

  send(...parts: readonly Buffer[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(parts));
  }

  block(pairs: Pairs): Buffer {
    const fields = pairs.map(([name, value]) => field(name, value));
    const out = Buffer.alloc(fields.reduce((sum, { size }) => sum + size, 16));
    return Buffer.from(out.subarray(0, this.#encoder.encode(fields, fields.length, out, 0)));
  }

  headers(stream: number, pairs: Pairs, end: boolean): Buffer {
    return rawFrame(FRAME_HEADERS, FLAG_END_HEADERS | (end ? FLAG_END_STREAM : 0), stream, this.block(pairs));
  }

  data(stream: number, text: string, end: boolean): Buffer {
    return rawFrame(FRAME_DATA, end ? FLAG_END_STREAM : 0, stream, Buffer.from(text));
  }

  of(stream: number): Received {
    let received = this.streams.get(stream);
    if (received === undefined) {
      received = { heads: [], body: "", ended: false, reset: -1 };
      this.streams.set(stream, received);
    }
    return received;
  }

  /** Resolves once `probe` holds; it is asked whenever something came. */
  until(probe: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (!probe() && !this.closed) return;
        this.#waiting.delete(look);
        if (probe()) resolve();
        else reject(new Error(`The connection closed with GOAWAY ${this.goaway} before: ${probe.toString()}`));
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** The first frame that satisfies `wanted`, now or later. Rejects where the connection ends before. */
  async frame(wanted: (frame: WireFrame) => boolean): Promise<WireFrame> {
    let found: WireFrame | undefined;
    const look = () => {
      found ??= this.frames.find(wanted);
      return found !== undefined;
    };
    await this.until(look);
    return found as WireFrame;
  }

  /** Resolves when the peer has ended the connection. */
  async end(): Promise<void> {
    await this.until(() => this.closed);
    this.socket.destroy();
  }

  /** Everything sent so far has been dealt with, on a connection that lives. */
  async settled(): Promise<void> {
    const want = this.pongs + 1;
    this.send(rawFrame(FRAME_PING, 0, 0, Buffer.alloc(8)));
    await this.until(() => this.pongs >= want);
  }

  destroy(): void {
    this.socket.destroy();
  }

  #changed(): void {
    for (const look of [...this.#waiting]) look();
  }

  #read(data: Buffer): void {
    this.#held = Buffer.concat([this.#held, data]);
    if (this.#skip > 0) {
      const skipped = Math.min(this.#skip, this.#held.length);
      this.#held = this.#held.subarray(skipped);
      this.#skip -= skipped;
    }
    for (;;) {
      const b = this.#held;
      if (b.length < FRAME_HEADER_BYTES || b.length < FRAME_HEADER_BYTES + frameLength(b, 0)) break;
      const end = FRAME_HEADER_BYTES + frameLength(b, 0);
      this.#held = b.subarray(end);
      this.#take(frameType(b, 0), frameFlags(b, 0), frameStream(b, 0), b.subarray(FRAME_HEADER_BYTES, end));
    }
    this.#changed();
  }

  #take(type: number, flags: number, id: number, payload: Buffer): void {
    const ack = (flags & FLAG_ACK) !== 0;
    const fields: Field[] = [];
    if (type === FRAME_HEADERS) this.#decoder.decode(payload, 0, payload.length, fields, 1_000_000);
    const lines = fields.map(({ name, value }) => `${name}: ${value}`);
    this.frames.push({ type, flags, id, payload: Buffer.from(payload), fields: lines });
    switch (type) {
      case FRAME_SETTINGS:
        if (!ack && this.#answers) this.send(rawFrame(FRAME_SETTINGS, FLAG_ACK, 0));
        break;
      case FRAME_PING:
        if (ack) this.pongs++;
        else if (this.#answers) this.send(rawFrame(FRAME_PING, FLAG_ACK, 0, payload));
        break;
      case FRAME_GOAWAY:
        this.goaway = readUint32(payload, 4);
        break;
      case FRAME_RST_STREAM:
        this.of(id).reset = readUint32(payload, 0);
        break;
      case FRAME_HEADERS: {
        const received = this.of(id);
        if (received.heads.length === 0) this.begun.push(id);
        received.heads.push(Object.fromEntries(fields.map(({ name, value }) => [name, value])));
        received.ended ||= (flags & FLAG_END_STREAM) !== 0;
        break;
      }
      case FRAME_DATA: {
        const received = this.of(id);
        received.body += payload.toString("latin1");
        received.ended ||= (flags & FLAG_END_STREAM) !== 0;
        break;
      }
    }
  }
}

export interface RawServer {
  readonly port: number;
  /** The next connection, now or later. */
  accept(): Promise<RawHttp2>;
  close(): void;
}

/** A server of raw connections; `serve` is called with each. The client's preface is skipped. */
export async function listenRaw(serve: (raw: RawHttp2) => void = () => {}, answers = true): Promise<RawServer> {
  const made = new Set<RawHttp2>();
  const arrived: RawHttp2[] = [];
  const waiting: ((raw: RawHttp2) => void)[] = [];
  const server = net.createServer((socket) => {
    const raw = new RawHttp2(socket, CLIENT_PREFACE.length, answers);
    made.add(raw);
    const next = waiting.shift();
    if (next === undefined) arrived.push(raw);
    else next(raw);
    serve(raw);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    accept: () =>
      new Promise((resolve) => {
        const known = arrived.shift();
        if (known === undefined) waiting.push(resolve);
        else resolve(known);
      }),
    close() {
      server.close();
      for (const raw of made) raw.destroy();
    },
  };
}
