import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type Socket } from "node:net";
import {
  CLIENT_PREFACE,
  FLAG_END_HEADERS,
  FRAME_HEADER_BYTES,
  FRAME_HEADERS,
  frameFlags,
  frameLength,
  frameStream,
  frameType,
  writeFrameHeader,
  writeSettings,
} from "../../proxy/http2/frames.ts";
import { HpackDecoder } from "../../proxy/http2/hpack/decoder.ts";
import { HpackEncoder } from "../../proxy/http2/hpack/encoder.ts";
import { type Field, field } from "../../proxy/http2/hpack/field.ts";

/** A frame as it came. */
export interface WireFrame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
  /** Of HEADERS: `name: value` each. */
  readonly fields: readonly string[];
}

/** One end of an HTTP/2 connection that says exactly what it is told, rules or not. */
export interface WirePeer {
  readonly socket: Socket;
  readonly frames: readonly WireFrame[];
  readonly ended: boolean;
  send(...parts: (Buffer | Uint8Array)[]): void;
  headers(id: number, fields: readonly (readonly [string, string])[], flags: number): Buffer;
  /** The first frame that satisfies `wanted`, now or later. Rejects when the connection ends before. */
  frame(wanted: (frame: WireFrame) => boolean): Promise<WireFrame>;
  end(): Promise<void>;
}

export function rawFrame(type: number, flags: number, id: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const out = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  writeFrameHeader(out, 0, payload.length, type, flags, id);
  out.set(payload, FRAME_HEADER_BYTES);
  return out;
}

export function settingsFrame(...settings: number[]): Buffer {
  const out = Buffer.alloc(FRAME_HEADER_BYTES + settings.length * 3);
  writeSettings(out, 0, settings);
  return out;
}

function wirePeer(socket: Socket): WirePeer {
  const frames: WireFrame[] = [];
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  let held = Buffer.alloc(0);
  let ended = false;
  let wake = () => {};
  const change = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });
  const take = () => {
    while (held.length >= FRAME_HEADER_BYTES && held.length >= FRAME_HEADER_BYTES + frameLength(held, 0)) {
      const end = FRAME_HEADER_BYTES + frameLength(held, 0);
      const fields: Field[] = [];
      if (frameType(held, 0) === FRAME_HEADERS) decoder.decode(held, FRAME_HEADER_BYTES, end, fields, 1_000_000);
      frames.push({
        type: frameType(held, 0),
        flags: frameFlags(held, 0),
        id: frameStream(held, 0),
        payload: Buffer.from(held.subarray(FRAME_HEADER_BYTES, end)),
        fields: fields.map(({ name, value }) => `${name}: ${value}`),
      });
      held = held.subarray(end);
    }
    wake();
  };
  socket.on("data", (data: Buffer) => {
    held = Buffer.concat([held, data]);
    if (held.length >= CLIENT_PREFACE.length && held.subarray(0, 3).toString() === "PRI") {
      held = held.subarray(CLIENT_PREFACE.length);
    }
    if (held.subarray(0, 3).toString() !== "PRI") take();
  });
  socket.on("error", () => {});
  for (const event of ["end", "close"]) {
    socket.on(event, () => {
      ended = true;
      wake();
    });
  }
  return {
    socket,
    frames,
    get ended() {
      return ended;
    },
    send: (...parts) => void socket.write(Buffer.concat(parts)),
    headers(id, fields, flags) {
      const list = fields.map(([name, value]) => field(name, value));
      const out = Buffer.alloc(list.reduce((sum, { size }) => sum + size, 6));
      const end = encoder.encode(list, list.length, out, 0);
      return rawFrame(FRAME_HEADERS, flags | FLAG_END_HEADERS, id, out.subarray(0, end));
    },
    async frame(wanted) {
      for (;;) {
        const found = frames.find(wanted);
        if (found !== undefined) return found;
        if (ended)
          throw new Error(
            `The connection ended after ${JSON.stringify(frames.map(({ type, id, payload }) => [type, id, payload.toString("hex")]))}`,
          );
        await change();
      }
    },
    async end() {
      while (!ended) await change();
      socket.destroy();
    },
  };
}

/** A client; the preface is sent, SETTINGS are not. */
export async function wireClient(port: number): Promise<WirePeer> {
  const socket = connect({ host: "127.0.0.1", port });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", () => resolve());
    socket.once("error", reject);
  });
  socket.setNoDelay(true);
  socket.write(CLIENT_PREFACE);
  return wirePeer(socket);
}

/** A server for one connection at a time. */
export async function wireServer(): Promise<{
  readonly port: number;
  /** The next connection. */
  accept(): Promise<WirePeer>;
  close(): Promise<void>;
}> {
  const peers: WirePeer[] = [];
  const waiting: ((peer: WirePeer) => void)[] = [];
  const server: Server = createServer((socket) => {
    const peer = wirePeer(socket);
    const next = waiting.shift();
    if (next === undefined) peers.push(peer);
    else next(peer);
  });
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, () => resolve()));
  const all: WirePeer[] = peers;
  return {
    port: (server.address() as AddressInfo).port,
    accept: () =>
      new Promise((resolve) => {
        const known = all.shift();
        if (known === undefined) waiting.push(resolve);
        else resolve(known);
      }),
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
