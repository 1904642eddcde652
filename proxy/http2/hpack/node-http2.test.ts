import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";
import fc from "fast-check";
import {
  CLIENT_PREFACE,
  COMPRESSION_ERROR,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FRAME_GOAWAY,
  FRAME_HEADER_BYTES,
  FRAME_HEADERS,
  FRAME_PING,
  FRAME_SETTINGS,
  frameFlags,
  frameHeaderBlock,
  frameLength,
  frameStream,
  frameType,
  NO_ERROR,
  readUint32,
  writeFrameHeader,
  writePing,
  writeRstStream,
  writeSettings,
  writeSettingsAck,
} from "../frames.ts";
import { applySettings, defaultSettings, SETTINGS_HEADER_TABLE_SIZE } from "../settings.ts";
import { HPACK_ERROR, HpackDecoder } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";
import { type Field, field } from "./field.ts";

type Pairs = readonly (readonly [name: string, value: string])[];

const name = fc.constantFrom("x-a", "x-b", "x-c", "etag", "accept-language", "user-agent", "x-a-rather-long-name");
const value = fc.oneof(
  fc.constantFrom("", "1", "gzip, deflate", "v".repeat(130), "~\\^<>{}|".repeat(30), "\u00e9\u00ff\u0080"),
  fc.nat(50).map(String),
  fc.stringMatching(/^[!-~]{1,40}$/),
);
const list: fc.Arbitrary<Pairs> = fc.uniqueArray(fc.tuple(name, value), {
  selector: ([key]) => key,
  maxLength: 6,
});
const lists = (count: number) => fc.sample(fc.array(list, { minLength: count, maxLength: count }), 1)[0] as Pairs[];
const request = (fields: Pairs, i: number): Pairs => [
  [":method", i % 3 === 0 ? "GET" : "PUT"],
  [":scheme", "http"],
  [":path", `/${i % 7}`],
  [":authority", "example.com"],
  ...fields,
];

const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const close of cleanup.splice(0).reverse()) close();
});

/** Calls back with every whole frame that comes: its type, flags, stream and payload. */
function onFrames(
  socket: net.Socket,
  skip: number,
  onFrame: (type: number, flags: number, stream: number, payload: Buffer) => void,
): void {
  let held = Buffer.alloc(0);
  let left = skip;
  socket.on("data", (data: Buffer) => {
    held = Buffer.concat([held, data]);
    if (left > 0) {
      if (held.length < left) return;
      held = held.subarray(left);
      left = 0;
    }
    while (held.length >= FRAME_HEADER_BYTES && held.length >= FRAME_HEADER_BYTES + frameLength(held, 0)) {
      const end = FRAME_HEADER_BYTES + frameLength(held, 0);
      const payload = held.subarray(FRAME_HEADER_BYTES, end);
      const [type, flags, stream] = [frameType(held, 0), frameFlags(held, 0), frameStream(held, 0)];
      held = held.subarray(end);
      onFrame(type, flags, stream, payload);
    }
  });
}

describe("HpackEncoder, read by node:http2", () => {
  for (const headerTableSize of [0, 200, 4096, 65_536]) {
    it(`is understood over 200 requests of one connection with a table of ${headerTableSize} octets`, async () => {
      const wanted = lists(200).map(request);
      const got: string[][] = [];
      const server = http2.createServer({ settings: { headerTableSize } });
      const all = new Promise<void>((resolve) => {
        server.on(
          "stream",
          (stream: http2.ServerHttp2Stream, _headers: unknown, _flags: number, rawHeaders: string[]) => {
            stream.on("error", () => {});
            got.push(rawHeaders);
            if (got.length === wanted.length) resolve();
          },
        );
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      cleanup.push(() => server.close());
      const socket = net.connect((server.address() as AddressInfo).port, "127.0.0.1");
      cleanup.push(() => socket.destroy());
      const encoder = new HpackEncoder();
      const settings = defaultSettings();
      const out = Buffer.alloc(60_000);
      const failure = new Promise<never>((_resolve, reject) => {
        onFrames(socket, 0, (type, flags, _stream, payload) => {
          if (type === FRAME_GOAWAY) reject(new Error(`GOAWAY ${readUint32(payload, 4)}`));
          if (type !== FRAME_SETTINGS || (flags & FLAG_ACK) !== 0) return;
          assert.equal(applySettings(settings, payload, 0, payload.length, true), NO_ERROR);
          encoder.setMaxTableBytes(settings.headerTableBytes);
          socket.write(out.subarray(0, writeSettingsAck(out, 0)));
          for (const [i, pairs] of wanted.entries()) {
            const fields = pairs.map(([key, text]) => field(key, text));
            const blockEnd = encoder.encode(fields, fields.length, out, FRAME_HEADER_BYTES);
            // Short frames, so that CONTINUATION is needed too; node takes 8 of them.
            const end = frameHeaderBlock(out, 0, blockEnd, i * 2 + 1, true, 300);
            socket.write(Buffer.from(out.subarray(0, end)));
          }
        });
      });
      socket.write(Buffer.concat([CLIENT_PREFACE, out.subarray(0, writeSettings(out, 0, []))]));
      await Promise.race([all, failure]);
      assert.deepEqual(
        got,
        wanted.map((pairs) => pairs.flat()),
      );
    });
  }
});

describe("HpackDecoder, written to by node:http2", () => {
  for (const tableBytes of [0, 200, 4096, 65_536]) {
    it(`understands 200 requests of one connection with a table of ${tableBytes} octets`, async () => {
      const wanted = lists(200).map(request);
      const got: Pairs[] = [];
      const decoder = new HpackDecoder(tableBytes);
      const out = Buffer.alloc(1000);
      const server = net.createServer((socket) => {
        cleanup.push(() => socket.destroy());
        socket.on("error", () => {});
        socket.write(Buffer.from(out.subarray(0, writeSettings(out, 0, [SETTINGS_HEADER_TABLE_SIZE, tableBytes]))));
        onFrames(socket, CLIENT_PREFACE.length, (type, flags, stream, payload) => {
          if (type === FRAME_SETTINGS && (flags & FLAG_ACK) === 0) {
            socket.write(Buffer.from(out.subarray(0, writeSettingsAck(out, 0))));
          }
          if (type !== FRAME_HEADERS) return;
          assert.equal(flags & FLAG_END_HEADERS, FLAG_END_HEADERS);
          const fields: Field[] = [];
          assert.ok(decoder.decode(payload, 0, payload.length, fields, 65_536) >= 0);
          got.push(fields.map((each) => [each.name, each.value]));
          socket.write(Buffer.from(out.subarray(0, writeRstStream(out, 0, stream, NO_ERROR))));
        });
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      cleanup.push(() => server.close());
      const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
      cleanup.push(() => session.destroy());
      await once(session, "remoteSettings");
      for (const pairs of wanted) {
        const stream = session.request(Object.fromEntries(pairs), { endStream: true });
        stream.on("error", () => {});
        await once(stream, "close");
      }
      assert.deepEqual(got, wanted);
    });
  }
});

describe("HpackDecoder, beside node:http2", () => {
  it("calls the same header blocks an error of the connection", async () => {
    const server = http2.createServer();
    server.on("stream", (stream) => stream.on("error", () => {}));
    server.on("sessionError", () => {});
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanup.push(() => server.close());
    const { port } = server.address() as AddressInfo;

    /** Whether node answers a PING after the block, rather than COMPRESSION_ERROR. */
    async function nodeTakes(block: Buffer): Promise<boolean> {
      const out = Buffer.alloc(1000);
      let p = CLIENT_PREFACE.length;
      out.set(CLIENT_PREFACE, 0);
      p = writeSettings(out, p, []);
      p = writeFrameHeader(out, p, block.length, FRAME_HEADERS, FLAG_END_HEADERS | FLAG_END_STREAM, 1);
      p += block.copy(out, p);
      p = writePing(out, p, false, Buffer.alloc(8), 0);
      const socket = net.connect(port, "127.0.0.1");
      cleanup.push(() => socket.destroy());
      socket.on("error", () => {});
      const verdict = new Promise<boolean>((resolve, reject) => {
        socket.on("close", () => reject(new Error(`closed after ${block.toString("hex")}`)));
        onFrames(socket, 0, (type, _flags, _stream, payload) => {
          if (type === FRAME_PING) resolve(true);
          if (type === FRAME_GOAWAY) resolve(readUint32(payload, 4) !== COMPRESSION_ERROR);
        });
      });
      socket.write(out.subarray(0, p));
      return verdict.finally(() => socket.destroy());
    }

    const piece = fc.oneof(
      fc.constantFrom("82", "be", "20", "3fe11f", "3fe21f", "80", "4001610162", "0001618118", "408261ff0162", "7f0001"),
      fc.uint8Array({ minLength: 1, maxLength: 3 }).map((octets) => Buffer.from(octets).toString("hex")),
      fc
        .tuple(fc.constantFrom("00", "10", "40", "04"), fc.uint8Array({ maxLength: 4 }))
        .map(
          ([prefix, octets]) => `${prefix}${(octets.length | 0x80).toString(16)}${Buffer.from(octets).toString("hex")}`,
        ),
    );
    const block = fc.array(piece, { minLength: 1, maxLength: 5 }).map((parts) => Buffer.from(parts.join(""), "hex"));
    for (const each of fc.sample(block, 250)) {
      const ours = new HpackDecoder().decode(each, 0, each.length, [], 65_536) !== HPACK_ERROR;
      assert.equal(ours, await nodeTakes(each), each.toString("hex"));
    }
  });
});
