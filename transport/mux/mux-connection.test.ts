import assert from "node:assert/strict";
import fc from "fast-check";
import { ManualClock } from "../../core/clock.ts";
import { hasCode } from "../../core/errors.ts";
import { silentLog } from "../../core/log.ts";
import { exchange, WireStream } from "../../test/support/wire-stream.ts";
import { Recorder } from "../byte-stream.contract.ts";
import type { ByteStream } from "../byte-stream.ts";
import { TimerWheel } from "../timer-wheel.ts";
import {
  BLOCKED,
  DATA,
  END,
  GOAWAY,
  HEADER_BYTES,
  idAt,
  OPEN,
  PING,
  PONG,
  putHeader,
  RESET,
  RESET_BROKEN,
  RESET_CLOSED,
  RESET_REFUSED,
  valueAt,
  WINDOW,
} from "./frame.ts";
import { MuxConnection } from "./mux-connection.ts";
import { MUX_LIMITS, MuxContext, type MuxEnd, type MuxLimits } from "./mux-context.ts";

interface Side {
  readonly context: MuxContext;
  readonly wire: WireStream;
  readonly mux: MuxConnection;
  readonly streams: { readonly stream: ByteStream; readonly user: Recorder }[];
  readonly ends: MuxEnd[];
}

function side(dialled: boolean, clock = new ManualClock(), limits: Partial<MuxLimits> = {}, shared?: MuxContext): Side {
  const context = shared ?? new MuxContext({ wheel: new TimerWheel(clock, silentLog), log: silentLog, limits });
  const wire = new WireStream();
  const streams: Side["streams"] = [];
  const ends: MuxEnd[] = [];
  const mux = new MuxConnection(context, wire, dialled, {
    onStream(stream) {
      const user = new Recorder();
      streams.push({ stream, user });
      return user;
    },
    onChange() {},
    onGone: (reason) => void ends.push(reason),
  });
  return { context, wire, mux, streams, ends };
}

function open({ mux }: Side): { stream: ByteStream; user: Recorder } {
  const stream = mux.openStream();
  const user = new Recorder();
  stream.user = user;
  return { stream, user };
}

function frame(type: number, id: number, value = 0, payload = Buffer.alloc(type <= END ? value : 0, "p")): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  putHeader(header, 0, id, type, value);
  return Buffer.concat([header, payload]);
}

const NAMES = ["DATA", "END", "OPEN", "RESET", "WINDOW", "BLOCKED", "PING", "PONG", "GOAWAY"];

/** The frames in `bytes`, as "TYPE id value". */
function frames(bytes: Buffer): string[] {
  const found: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const type = bytes[at + 4] ?? 0;
    const value = valueAt(bytes, at);
    found.push(`${NAMES[type]} ${idAt(bytes, at)} ${value}`);
    at += HEADER_BYTES + (type <= END ? value : 0);
  }
  return found;
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const send = (stream: ByteStream, text: string) => stream.write(Buffer.from(text), 0, Buffer.byteLength(text));

describe("MuxConnection", () => {
  it("makes one write of what a turn of the event loop has to say on all streams", async () => {
    const a = side(true);
    const streams = [open(a), open(a), open(a)];
    for (const { stream } of streams) send(stream, "hello");
    assert.equal(a.wire.writes, 0);
    await turn();
    assert.equal(a.wire.writes, 1);
    assert.deepEqual(frames(a.wire.take()), ["OPEN 1 0", "OPEN 2 0", "OPEN 3 0", "DATA 1 5", "DATA 2 5", "DATA 3 5"]);
    await turn();
    assert.equal(a.wire.writes, 0);
  });

  it("says nothing but data while streams serve one exchange after the other", async () => {
    const a = side(true);
    const b = side(false);
    const { stream, user } = open(a);
    await exchange(a.wire, b.wire);
    for (let i = 0; i < 5; i++) {
      send(stream, "question");
      await turn();
      const asked = a.wire.take();
      assert.deepEqual(frames(asked), ["DATA 1 8"]);
      b.wire.arrive(asked);
      send(b.streams[0]?.stream ?? stream, "answer");
      await turn();
      const answered = b.wire.take();
      assert.deepEqual(frames(answered), ["DATA 1 6"]);
      a.wire.arrive(answered);
    }
    assert.equal(user.text, "answer".repeat(5));
  });

  it("reads the same however its input is cut", async () => {
    const input = Buffer.concat([
      frame(OPEN, 1),
      frame(DATA, 1, 300),
      frame(OPEN, 2),
      frame(DATA, 2, 7),
      frame(DATA, 1, 40),
      frame(END, 1, 0),
      frame(END, 2, 9),
    ]);
    for (let atATime = 1; atATime <= input.length; atATime++) {
      const { wire, streams, ends } = side(false);
      wire.arrive(input, atATime);
      assert.deepEqual(
        streams.map(({ user }) => [user.bytes, user.ended, user.text.replaceAll("p", "")]),
        [
          [340, true, ""],
          [16, true, ""],
        ],
      );
      assert.deepEqual(ends, []);
    }
  });

  it("lets a stream whose reader has stopped wait alone, and goes on where it was", async () => {
    const a = side(true);
    const b = side(false);
    const stalled = open(a);
    const lively = open(a);
    await exchange(a.wire, b.wire);
    const [held, read] = b.streams;
    held?.stream.pause();
    const block = Buffer.alloc(200_000, "x");
    assert.equal(stalled.stream.write(block, 0, block.length), false);
    assert.equal(stalled.stream.pendingBytes, block.length - MUX_LIMITS.windowBytes);
    for (let i = 0; i < 50; i++) {
      lively.stream.write(block, 0, 10_000);
      await exchange(a.wire, b.wire);
    }
    assert.equal(read?.user.bytes, 500_000);
    assert.equal(held?.user.bytes, 0);
    assert.equal(b.context.held, MUX_LIMITS.windowBytes);
    held?.stream.resume();
    await exchange(a.wire, b.wire);
    assert.equal(held?.user.bytes, block.length);
    assert.equal(stalled.user.drains, 1);
    assert.equal(b.context.held, 0);
  });

  it("lets streams that wait for room send by turns", async () => {
    const a = side(true, undefined, { windowBytes: 1_048_576 });
    const b = side(false, undefined, { windowBytes: 1_048_576 });
    const both = [open(a), open(a)];
    a.wire.blocked = true;
    const block = Buffer.alloc(400_000, "x");
    for (const { stream } of both) stream.write(block, 0, block.length);
    await turn();
    const seen: number[] = [];
    while (both.some(({ stream }) => stream.pendingBytes > 0)) {
      b.wire.arrive(a.wire.take());
      a.mux.onDrain();
      const bytes = b.streams.map(({ user }) => user.bytes);
      seen.push(Math.abs((bytes[0] ?? 0) - (bytes[1] ?? 0)));
    }
    a.mux.onDrain();
    b.wire.arrive(a.wire.take());
    assert.deepEqual(
      b.streams.map(({ user }) => user.bytes),
      [400_000, 400_000],
    );
    // The first had a head start of what one write takes.
    assert.ok(Math.max(...seen) <= 3 * 65_536, `${Math.max(...seen)} bytes apart`);
  });

  it("widens the window of a stream that is read fast, as far as all together may, and takes it back", async () => {
    const limits = { growthBytes: 1_500_000 };
    const a = side(true, undefined, limits);
    const b = side(false, undefined, limits);
    const block = Buffer.alloc(4_000_000, "x");
    const streams = [open(a), open(a)];
    for (const { stream } of streams) {
      stream.write(block, 0, block.length);
      await exchange(a.wire, b.wire);
    }
    assert.deepEqual(
      b.streams.map(({ user }) => user.bytes),
      [4_000_000, 4_000_000],
    );
    assert.ok(b.context.growthLeft < 500_000, `${b.context.growthLeft} left`);
    // Its reader has stopped: what it may hold is what its window has become.
    b.streams[0]?.stream.pause();
    streams[0]?.stream.write(block, 0, block.length);
    await exchange(a.wire, b.wire);
    assert.ok(b.context.held > 500_000 && b.context.held <= MUX_LIMITS.maxWindowBytes, `${b.context.held} held`);
    for (const { stream } of b.streams) stream.destroy();
    assert.equal(b.context.growthLeft, limits.growthBytes);
    assert.equal(b.context.held, 0);
  });

  it("holds no more than 32 MB for a thousand streams that nobody reads", async () => {
    const shared = new MuxContext({ wheel: new TimerWheel(new ManualClock(), silentLog), log: silentLog });
    const block = Buffer.alloc(MUX_LIMITS.windowBytes, "x");
    const before = process.memoryUsage().arrayBuffers;
    for (let connection = 0; connection < 4; connection++) {
      const b = side(false, undefined, {}, shared);
      for (let id = 1; id <= 250; id++) {
        b.wire.arrive(frame(OPEN, id));
        b.streams.at(-1)?.stream.pause();
        // In small frames, so that what is held is not one buffer for each.
        for (let at = 0; at < block.length; at += 512) b.wire.arrive(frame(DATA, id, 512));
        b.wire.arrive(frame(BLOCKED, id));
      }
      assert.deepEqual(b.ends, []);
      b.wire.arrive(frame(DATA, 1, 1));
      assert.deepEqual(b.ends, ["window"]);
      for (const { stream } of b.streams.slice(1)) assert.ok(stream.closed);
    }
    assert.equal(shared.held, 0);
    assert.ok(process.memoryUsage().arrayBuffers - before < 48 * 1_048_576);
  });

  it("resets streams over what may be held in all", async () => {
    const b = side(false, undefined, { heldBytes: 50_000 });
    for (const id of [1, 2]) {
      b.wire.arrive(frame(OPEN, id));
      b.streams.at(-1)?.stream.pause();
      b.wire.arrive(frame(DATA, id, 30_000));
    }
    await turn();
    assert.deepEqual(
      b.streams.map(({ user }) => hasCode(user.error, "LIMIT_EXCEEDED")),
      [false, true],
    );
    assert.deepEqual(frames(b.wire.take()), [`RESET 2 ${RESET_BROKEN}`]);
    assert.equal(b.context.held, 30_000);
  });

  it("ends with a reason when the other side breaks the protocol", async () => {
    const opened = [frame(OPEN, 1)];
    const cases: [MuxEnd, boolean, Buffer[]][] = [
      ["bad_frame", false, [frame(9, 1)]],
      ["bad_frame", false, [frame(255, 0, 0xffffff)]],
      ["bad_frame", false, [frame(OPEN, 2)]],
      ["bad_frame", false, [frame(OPEN, 0)]],
      ["bad_frame", false, [frame(OPEN, 1, 1)]],
      ["bad_frame", false, [...opened, frame(OPEN, 1)]],
      ["bad_frame", false, [frame(DATA, 1, 1)]],
      ["bad_frame", false, [frame(WINDOW, 7, 1)]],
      ["bad_frame", false, [frame(BLOCKED, 7)]],
      ["bad_frame", false, [frame(RESET, 7)]],
      ["bad_frame", false, [...opened, frame(RESET, 1, 3)]],
      ["bad_frame", false, [...opened, frame(RESET, 1, RESET_REFUSED)]],
      ["bad_frame", false, [frame(GOAWAY, 0)]],
      ["bad_frame", false, [frame(PING, 1, 1)]],
      ["bad_frame", false, [frame(PONG, 1, 1)]],
      ["bad_frame", false, [...opened, frame(END, 1), frame(DATA, 1, 1)]],
      ["bad_frame", false, [...opened, frame(END, 1), frame(END, 1)]],
      ["bad_frame", true, [frame(OPEN, 1)]],
      ["bad_frame", true, [frame(GOAWAY, 5)]],
      ["bad_frame", true, [frame(DATA, 5, 1)]],
      ["window", false, [...opened, frame(DATA, 1, 40_000)]],
      ["window", false, [...opened, frame(DATA, 1, 0xffffff, Buffer.alloc(8))]],
      ["credit", false, [...opened, frame(WINDOW, 1, 0)]],
      ["credit", false, [...opened, frame(WINDOW, 1, 0xffffff)]],
    ];
    for (const [reason, dialled, input] of cases) {
      const one = side(dialled);
      if (dialled) open(one);
      one.wire.arrive(Buffer.concat(input));
      assert.deepEqual(one.ends, [reason], frames(Buffer.concat(input)).join(", "));
      assert.ok(hasCode(one.wire.error, "PROTOCOL_VIOLATION"));
      await turn();
      for (const { user } of one.streams) assert.ok(hasCode(user.error, "STREAM_CLOSED"));
      assert.deepEqual([one.context.connections, one.context.streams], [0, 0]);
    }
  });

  it("ends what floods it with frames that serve nothing, and gets over a few", async () => {
    const opened = (count: number, more: (id: number) => Buffer[]) =>
      Array.from({ length: count }, (_, i) => [frame(OPEN, i + 1), ...more(i + 1)]).flat();
    const floods = (count: number): Buffer[][] => [
      Array.from({ length: count }, () => frame(PING, 0, 1)),
      Array.from({ length: count }, () => frame(PONG, 0, 1)),
      [frame(OPEN, 1), ...Array.from({ length: count }, () => frame(DATA, 1, 0))],
      [frame(OPEN, 1), ...Array.from({ length: count + 6 }, () => frame(BLOCKED, 1))],
      opened(count, (id) => [frame(RESET, id, RESET_CLOSED)]),
      opened(count, (id) => [frame(RESET, id, RESET_BROKEN)]),
      opened(count + MUX_LIMITS.streams, () => []),
    ];
    for (const input of floods(MUX_LIMITS.strikes + 2)) {
      const b = side(false);
      b.wire.arrive(Buffer.concat(input));
      assert.deepEqual(b.ends, ["flood"], frames(input[1] ?? Buffer.alloc(0)).join());
    }
    for (const input of floods(MUX_LIMITS.strikes - 10)) {
      const clock = new ManualClock();
      const b = side(false, clock);
      b.wire.arrive(Buffer.concat(input));
      await clock.advance(MUX_LIMITS.pingMs + 100);
      b.wire.arrive(Buffer.concat(Array.from({ length: 500 }, () => frame(PING, 0, 1))));
      assert.deepEqual(b.ends, []);
    }
  });

  it("ends what does not read the answers to its questions", async () => {
    const b = side(false, undefined, { strikes: 1_000_000 });
    b.wire.blocked = true;
    b.wire.arrive(frame(PING, 0, 1));
    await turn();
    b.wire.arrive(Buffer.concat(Array.from({ length: 20_000 }, () => frame(PING, 0, 1))));
    assert.deepEqual(b.ends, ["backlog"]);
  });

  it("survives whatever bytes come, and counts each connection's end once", () => {
    const anyFrame = fc
      .tuple(fc.integer({ min: 0, max: 10 }), fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 200 }))
      .map(([type, id, value]) => frame(type, id, value));
    const chunk = fc.oneof(
      { weight: 20, arbitrary: anyFrame },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)) },
    );
    fc.assert(
      fc.property(
        fc.array(chunk, { maxLength: 60 }),
        fc.boolean(),
        fc.integer({ min: 1, max: 300 }),
        (chunks, dialled, cut) => {
          const one = side(dialled);
          const streams = dialled ? [open(one), open(one), open(one)] : one.streams;
          one.wire.arrive(Buffer.concat(chunks), cut);
          for (const { stream } of streams) stream.destroy();
          one.mux.destroy();
          assert.equal(one.ends.length, 1);
          assert.deepEqual([one.context.connections, one.context.streams, one.context.held], [0, 0, 0]);
          assert.equal(one.context.growthLeft, MUX_LIMITS.growthBytes);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("keeps two sides in step, whatever they do to each other", async () => {
    const act = fc.record({
      what: fc.constantFrom(
        "open",
        "write",
        "write",
        "write",
        "end",
        "destroy",
        "reset",
        "refuse",
        "pause",
        "resume",
        "deliver",
      ),
      which: fc.nat(7),
      far: fc.boolean(),
      bytes: fc.integer({ min: 1, max: 50_000 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 40 }), fc.integer({ min: 1, max: 70_000 }), async (acts, cut) => {
        const a = side(true);
        const b = side(false);
        const near: { stream: ByteStream; user: Recorder }[] = [];
        for (const { what, which, far, bytes } of acts) {
          const one = (far ? b.streams : near)[which];
          if (what === "open" && near.length < 8) near.push(open(a));
          else if (what === "write") one?.stream.write(Buffer.alloc(bytes, "w"), 0, bytes);
          else if (what === "end") one?.stream.end();
          else if (what === "destroy") one?.stream.destroy();
          else if (what === "reset") one?.stream.destroy(undefined, true);
          else if (what === "refuse") one?.stream.refuse?.();
          else if (what === "pause") one?.stream.pause();
          else if (what === "resume") one?.stream.resume();
          else if (what === "deliver") await exchange(a.wire, b.wire, cut);
        }
        for (const { stream } of [...near, ...b.streams]) stream.resume();
        await exchange(a.wire, b.wire, cut);
        for (const { stream } of [...near, ...b.streams]) stream.resume();
        await exchange(a.wire, b.wire, cut);
        for (const { stream } of [...near, ...b.streams]) stream.end();
        await exchange(a.wire, b.wire, cut);
        assert.deepEqual([a.ends, b.ends], [[], []]);
        for (const { user } of [...near, ...b.streams]) assert.ok(user.closed);
        assert.deepEqual([a.context.streams, b.context.streams, a.context.held, b.context.held], [0, 0, 0, 0]);
      }),
      { numRuns: 150 },
    );
  });

  it("asks a silent peer for a sign of life, and gives up without one", async () => {
    const clock = new ManualClock();
    const a = side(true, clock);
    const { user } = open(a);
    await clock.advance(2 * MUX_LIMITS.pingMs + 100);
    assert.ok(frames(a.wire.take()).includes("PING 0 1"));
    a.wire.arrive(frame(PONG, 0, 1));
    await clock.advance(3 * MUX_LIMITS.pingMs + 100);
    assert.deepEqual(a.ends, []);
    await clock.advance(MUX_LIMITS.pingMs);
    assert.deepEqual(a.ends, ["silent"]);
    assert.ok(hasCode(user.error, "STREAM_CLOSED"));
  });

  it("answers a ping", async () => {
    const b = side(false);
    b.wire.arrive(frame(PING, 0, 77));
    await turn();
    assert.deepEqual(frames(b.wire.take()), ["PONG 0 77"]);
  });

  it("is closed in order by the side that dialled, once it has idled", async () => {
    const clock = new ManualClock();
    const [a, b] = [side(true, clock), side(false, clock)];
    const { stream } = open(a);
    await exchange(a.wire, b.wire);
    stream.destroy();
    for (let ms = 0; ms < MUX_LIMITS.idleMs; ms += MUX_LIMITS.pingMs) {
      await exchange(a.wire, b.wire);
      assert.equal(a.wire.ended, false);
      await clock.advance(MUX_LIMITS.pingMs + 40);
    }
    assert.equal(a.wire.ended, true);
    b.mux.onEnd();
    assert.equal(b.wire.ended, true);
    b.wire.destroy();
    a.wire.destroy();
    await turn();
    assert.deepEqual([a.ends, b.ends], [["done"], ["done"]]);
  });

  it("drains: open streams go on, later ones are refused untouched, and it closes after the last", async () => {
    const [a, b] = [side(true), side(false)];
    const early = open(a);
    await exchange(a.wire, b.wire);
    b.mux.drain();
    const late = open(a);
    send(late.stream, "not to be lost");
    await exchange(a.wire, b.wire);
    assert.equal(b.streams.length, 1);
    assert.ok(hasCode(late.user.error, "STREAM_REFUSED"));
    assert.equal(a.mux.open, false);
    assert.throws(
      () => a.mux.openStream(),
      (error) => hasCode(error, "STREAM_CLOSED"),
    );
    send(early.stream, "still here");
    await exchange(a.wire, b.wire);
    assert.equal(b.streams[0]?.user.text, "still here");
    assert.equal(b.wire.ended, false);
    early.stream.end();
    b.streams[0]?.stream.end();
    await exchange(a.wire, b.wire);
    assert.equal(b.wire.ended, true);
    assert.equal(early.user.error, undefined);
  });

  it("tells the other side that what it sent last was not read, after all that was said before", async () => {
    const [a, b] = [side(true), side(false)];
    const { stream, user } = open(a);
    await exchange(a.wire, b.wire);
    stream.pause();
    assert.equal(stream.refuse, undefined);
    const far = b.streams[0]?.stream;
    assert.ok(far?.refuse !== undefined);
    send(far, "the last answer");
    far.refuse();
    send(stream, "one more question");
    await exchange(a.wire, b.wire);
    assert.deepEqual([user.closed, b.streams[0]?.user.bytes], [false, 0]);
    stream.resume();
    await turn();
    assert.equal(user.text, "the last answer");
    assert.ok(hasCode(user.error, "STREAM_REFUSED"));
    assert.equal(user.ended, false);
    assert.deepEqual([a.ends, b.ends], [[], []]);
  });

  it("refuses streams over its limit", async () => {
    const [a, b] = [side(true), side(false, undefined, { streams: 2 })];
    const streams = [open(a), open(a), open(a)];
    await exchange(a.wire, b.wire);
    assert.deepEqual(
      streams.map(({ user }) => hasCode(user.error, "STREAM_REFUSED")),
      [false, false, true],
    );
    streams[0]?.stream.destroy();
    await exchange(a.wire, b.wire);
    const next = open(a);
    await exchange(a.wire, b.wire);
    assert.equal(next.stream.closed, false);
  });

  it("takes no more streams than its limit on the side that dials", () => {
    const a = side(true, undefined, { streams: 2 });
    open(a);
    const second = open(a);
    assert.equal(a.mux.open, false);
    second.stream.destroy();
    assert.equal(a.mux.open, true);
  });

  it("closes all streams before it tells any, when the connection below is lost", async () => {
    const a = side(true);
    const streams = [open(a), open(a)];
    let othersClosed: boolean | undefined;
    const first = streams[0]?.user;
    assert.ok(first !== undefined);
    const told = first.onClose.bind(first);
    first.onClose = (error) => {
      othersClosed = streams[1]?.stream.closed;
      told(error);
    };
    a.wire.destroy(new Error("gone"));
    await turn();
    assert.equal(othersClosed, true);
    assert.deepEqual(a.ends, ["lost"]);
    for (const { user } of streams) assert.ok(hasCode(user.error, "STREAM_CLOSED"));
  });

  it("counts an end of the connection below, with streams open, as its loss", async () => {
    const a = side(true);
    const { user } = open(a);
    a.mux.onEnd();
    await turn();
    assert.deepEqual(a.ends, ["lost"]);
    assert.ok(hasCode(user.error, "STREAM_CLOSED"));
  });

  it("delivers what came before a close to a reader that had paused", async () => {
    const [a, b] = [side(true), side(false)];
    const { stream } = open(a);
    await exchange(a.wire, b.wire);
    const far = b.streams[0];
    far?.stream.pause();
    send(stream, "last words");
    stream.destroy();
    await exchange(a.wire, b.wire);
    assert.deepEqual([far?.user.bytes, far?.user.closed], [0, false]);
    far?.stream.resume();
    await turn();
    assert.deepEqual(far?.user.events, ["read", "end", "close"]);
    assert.equal(far?.user.error, undefined);
  });
});
