import assert from "node:assert/strict";
import { Redis } from "ioredis";
import { systemClock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import { eventually } from "../test/support/eventually.ts";
import { hasRedisServer, RedisServer } from "../test/support/redis-server.ts";
import { openStore } from "./open-store.ts";
import { RegistryView } from "./registry-view.ts";
import { RegistryWriter } from "./registry-writer.ts";
import type { StateKind } from "./state.ts";
import type { RegistryStore } from "./store.ts";

const THINGS: StateKind<number> = { prefix: "local/thing/", encode: String, decode: Number };
const COUNT = 2_500;

/** A view and writers over a real Redis, each with a client of its own. */
describe("RegistryView and RegistryWriter over Redis", () => {
  let server: RedisServer | undefined;
  const stops: { stop: AbortController; ended: () => Promise<void>; store: RegistryStore }[] = [];

  before(async function () {
    if (!(await hasRedisServer())) this.skip();
  });
  afterEach(async () => {
    for (const { stop } of stops) stop.abort();
    for (const { ended, store } of stops.splice(0)) {
      await ended();
      await store.close();
    }
    await server?.stop();
  });

  async function open(): Promise<RegistryStore> {
    assert.ok(server);
    const options = { cluster: "west", clock: systemClock, random: seededRandom(1), timeoutMs: 5_000 };
    return openStore(`redis://127.0.0.1:${server.port}`, options);
  }

  const shared = { clock: systemClock, random: seededRandom(2), log: silentLog };

  async function startWriter(holder: string, ttlMs: number) {
    const store = await open();
    const writer = new RegistryWriter({ store, lease: "mirror", holder, ttlMs, ...shared });
    const stop = new AbortController();
    stops.push({ stop, ended: () => writer.ended, store });
    writer.start(stop.signal);
    return { writer, stop, store };
  }

  async function startView() {
    const store = await open();
    const view = new RegistryView({ store, kinds: [THINGS], ...shared });
    const stop = new AbortController();
    stops.push({ stop, ended: () => view.ended, store });
    let leastSeen = 0;
    await view.start(stop.signal);
    view.onChange(() => {
      leastSeen = Math.min(leastSeen, view.entries(THINGS).size);
    });
    return {
      view,
      /** The fewest values that the view had from now on. */
      mark() {
        leastSeen = view.entries(THINGS).size;
      },
      get leastSeen() {
        return leastSeen;
      },
    };
  }

  function things(value: number): Map<string, string> {
    return new Map(Array.from({ length: COUNT }, (_, i) => [`local/thing/${i}`, THINGS.encode(value)]));
  }

  /** How many things `view` has with that value. */
  function having(view: RegistryView, value: number): number {
    return [...view.entries(THINGS).values()].filter((v) => v === value).length;
  }

  for (const persistent of [true, false]) {
    it(`survive a SIGKILL of a Redis that keeps ${persistent ? "its data" : "nothing"}`, async () => {
      server = await RedisServer.start({ persistent });
      const { writer } = await startWriter("a", 5_000);
      const seen = await startView();
      writer.replacePrefix(THINGS.prefix, things(1));
      await writer.settled();
      await eventually(() => having(seen.view, 1) === COUNT);
      seen.mark();
      await server.kill();
      writer.replacePrefix(THINGS.prefix, things(2));
      assert.equal(having(seen.view, 1), COUNT, "the last good state stays");
      await server.run();
      await writer.settled();
      await eventually(() => having(seen.view, 2) === COUNT);
      await eventually(() => seen.view.retained === 0);
      assert.equal(seen.leastSeen, COUNT, "no value was missing at any time");
    });
  }

  it("restore everything after FLUSHALL without a value missing meanwhile", async () => {
    server = await RedisServer.start();
    const { writer, store } = await startWriter("a", 1_500);
    const seen = await startView();
    writer.replacePrefix(THINGS.prefix, things(1));
    await writer.settled();
    await eventually(() => having(seen.view, 1) === COUNT);
    seen.mark();
    const admin = new Redis({ host: "127.0.0.1", port: server.port });
    await admin.flushall();
    admin.disconnect();
    await eventually(async () => (await store.read(THINGS.prefix)).entries.length === COUNT);
    await eventually(() => seen.view.retained === 0);
    assert.equal(seen.leastSeen, COUNT);
  });

  it("hand over from a leader that hangs to the next, and fence the former", async () => {
    server = await RedisServer.start();
    const one = await startWriter("a", 1_000);
    one.writer.replacePrefix(THINGS.prefix, things(1));
    await one.writer.settled();
    const two = await startWriter("b", 1_000);
    two.writer.replacePrefix(THINGS.prefix, things(2));
    const seen = await startView();
    assert.equal(two.writer.leading, false);
    // It can neither renew nor release: as a process that hangs.
    await one.store.close();
    await two.writer.settled();
    await eventually(() => having(seen.view, 2) === COUNT);
    await eventually(() => !one.writer.leading);
    const three = await startWriter("c", 1_000);
    three.writer.replacePrefix(THINGS.prefix, things(3));
    two.stop.abort();
    await two.writer.ended;
    await three.writer.settled();
    await eventually(() => having(seen.view, 3) === COUNT);
  });
});
