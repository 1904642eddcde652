import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import { hasCode, MeshError } from "../../core/errors.ts";
import { silentLog } from "../../core/log.ts";
import { WireStream } from "../../test/support/wire-stream.ts";
import { Recorder } from "../byte-stream.contract.ts";
import type { ByteStream } from "../byte-stream.ts";
import { TimerWheel } from "../timer-wheel.ts";
import { GOAWAY, HEADER_BYTES, putHeader } from "./frame.ts";
import { MuxContext } from "./mux-context.ts";
import { type DialMux, MuxPool } from "./mux-pool.ts";

describe("MuxPool", () => {
  let clock: ManualClock;
  let context: MuxContext;
  let pool: MuxPool<string>;
  let ended: (string | undefined)[];
  /** Dials that are under way: `connect` ends one, `fail` too. */
  let dials: { connect(): WireStream; fail(): void; cancelled: boolean }[];

  beforeEach(() => {
    const limits = { streams: 4 };
    clock = new ManualClock();
    context = new MuxContext({ wheel: new TimerWheel(clock, silentLog), log: silentLog, limits });
    ended = [];
    pool = new MuxPool<string>(context, {
      connections: 2,
      softStreams: 2,
      maxAgeMs: () => 4_000,
      random: () => 0.5,
      onChange: (reason) => ended.push(reason),
    });
    dials = [];
  });
  afterEach(() => pool.destroy());

  const dial: DialMux<string> = (onConnect, onFailure) => {
    const attempt = {
      cancelled: false,
      connect() {
        const wire = new WireStream();
        wire.user = onConnect(wire);
        return wire;
      },
      fail: () => onFailure(new MeshError("PROXY_CONNECT_FAILED", "Cannot connect: refused."), "endpoint"),
    };
    dials.push(attempt);
    return () => {
      attempt.cancelled = true;
    };
  };

  const microtasks = () => new Promise<void>((resolve) => setImmediate(resolve));

  interface Asked {
    stream: ByteStream | undefined;
    readonly user: Recorder;
    failure: string;
    cancel: () => void;
  }

  function ask(): Asked {
    const asked: Asked = { stream: undefined, user: new Recorder(), failure: "", cancel: () => {} };
    asked.cancel = pool.open(
      dial,
      (stream) => {
        asked.stream = stream;
        stream.user = asked.user;
      },
      (error, blame) => {
        asked.failure = `${error.code} ${blame}`;
      },
    );
    return asked;
  }

  it("makes one connection for all that wait, and puts later streams on it", async () => {
    const first = [ask(), ask()];
    assert.equal(dials.length, 1);
    dials[0]?.connect();
    const served = () => first.filter(({ stream }) => stream !== undefined).length;
    assert.equal(served(), 0, "not within the dial's callback");
    await microtasks();
    assert.equal(served(), 2);
    first[0]?.stream?.destroy();
    const later = ask();
    assert.equal(later.stream, undefined, "never from within the call");
    await microtasks();
    assert.ok(later.stream !== undefined);
    assert.deepEqual([dials.length, pool.connections, context.streams], [1, 1, 2]);
    assert.deepEqual(ended, [undefined]);
  });

  it("makes another connection when those there are have many streams, and does not wait for it", async () => {
    for (let i = 0; i < 2; i++) ask();
    dials[0]?.connect();
    await microtasks();
    const third = ask();
    assert.equal(dials.length, 2);
    await microtasks();
    assert.ok(third.stream !== undefined);
    dials[1]?.fail();
    const fourth = ask();
    await microtasks();
    assert.equal(fourth.failure, "");
    assert.ok(fourth.stream !== undefined);
    const fifth = ask();
    await microtasks();
    assert.equal(fifth.stream, undefined, "the first is full");
    dials.at(-1)?.connect();
    await microtasks();
    assert.ok(fifth.stream !== undefined);
    assert.equal(pool.connections, 2);
  });

  it("says when no more streams may be had, so that another kind of connection is made", async () => {
    assert.equal(pool.mayOpen, true);
    for (let i = 0; i < 8; i++) {
      assert.equal(pool.mayOpen, true);
      ask();
      dials.splice(0).forEach((attempt) => void attempt.connect());
      await microtasks();
    }
    assert.equal(context.streams, 8);
    assert.equal(pool.mayOpen, false);
  });

  it("tells all that wait why the dial failed, and dials again for the next", async () => {
    const both = [ask(), ask()];
    dials[0]?.fail();
    assert.deepEqual(
      both.map(({ failure }) => failure),
      ["PROXY_CONNECT_FAILED endpoint", "PROXY_CONNECT_FAILED endpoint"],
    );
    const next = ask();
    dials[1]?.connect();
    await microtasks();
    assert.ok(next.stream !== undefined);
  });

  it("gives nothing to who has given up, and keeps the connection for others", async () => {
    const asked = ask();
    asked.cancel();
    dials[0]?.connect();
    await microtasks();
    assert.deepEqual([asked.stream, context.streams, pool.connections], [undefined, 0, 1]);
  });

  it("dials anew when the other side drains, also for what was about to have a stream", async () => {
    const early = ask();
    const wire = dials[0]?.connect();
    await microtasks();
    const waiting = ask();
    const goaway = Buffer.alloc(HEADER_BYTES);
    putHeader(goaway, 0, 1, GOAWAY, 0);
    wire?.arrive(goaway);
    await microtasks();
    assert.equal(waiting.stream, undefined);
    assert.equal(dials.length, 2);
    dials[1]?.connect();
    await microtasks();
    assert.ok(waiting.stream !== undefined);
    assert.equal(early.stream?.closed, false);
    early.stream?.destroy();
    await microtasks();
    assert.equal(wire?.ended, true);
  });

  it("retires what is open: its streams go on, new ones go elsewhere", async () => {
    const old = ask();
    const wire = dials[0]?.connect();
    await microtasks();
    pool.retire();
    const fresh = ask();
    assert.equal(dials.length, 2);
    dials[1]?.connect();
    await microtasks();
    assert.ok(fresh.stream !== undefined && old.stream?.closed === false);
    assert.equal(wire?.ended, false);
  });

  it("retires a connection at its age", async () => {
    const old = ask();
    const wire = dials[0]?.connect();
    await clock.advance(3_500);
    assert.deepEqual([old.stream?.retiring, wire?.ended], [false, false]);
    await clock.advance(200);
    assert.deepEqual([old.stream?.retiring, wire?.ended], [true, false]);
    old.stream?.destroy();
    await microtasks();
    assert.equal(wire?.ended, true);
  });

  it("closes when its streams have ended, and opens no more", async () => {
    const open = ask();
    const wire = dials[0]?.connect();
    await microtasks();
    pool.close();
    assert.equal(pool.mayOpen, false);
    await microtasks();
    assert.equal(wire?.ended, false);
    open.stream?.destroy();
    await microtasks();
    assert.equal(wire?.ended, true);
  });

  it("serves who waited when it closed, then closes", async () => {
    const asked = ask();
    pool.close();
    const wire = dials[0]?.connect();
    await microtasks();
    assert.ok(asked.stream !== undefined);
    asked.stream.destroy();
    await microtasks();
    assert.equal(wire?.ended, true);
  });

  it("destroys everything at once", async () => {
    const open = ask();
    const wire = dials[0]?.connect();
    await microtasks();
    pool.destroy();
    await microtasks();
    assert.ok(hasCode(open.user.error, "STREAM_CLOSED"));
    assert.equal(wire?.closed, true);
    assert.deepEqual(ended, [undefined, "cut"]);
    assert.equal(pool.connections, 0);
  });

  it("counts the loss of a connection, and dials anew", async () => {
    const first = ask();
    const wire = dials[0]?.connect();
    await microtasks();
    wire?.destroy(new Error("gone"));
    await microtasks();
    assert.ok(hasCode(first.user.error, "STREAM_CLOSED"));
    assert.deepEqual(ended, [undefined, "lost"]);
    ask();
    assert.equal(dials.length, 2);
  });
});
