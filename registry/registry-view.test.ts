import assert from "node:assert/strict";
import { ManualClock } from "../core/clock.ts";
import { hasCode } from "../core/errors.ts";
import { type Log, silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import { FaultyStore } from "../test/support/faulty-store.ts";
import { RegistryView } from "./registry-view.ts";
import { LOCAL_GATEWAYS, PEER_LINKS, type StateKind, stateKey } from "./state.ts";
import type { Mutation } from "./store.ts";

interface Thing {
  readonly n: number;
}
const THINGS: StateKind<Thing> = {
  prefix: "peer/thing/",
  encode: (value) => JSON.stringify(value),
  decode(text) {
    const value = JSON.parse(text) as Thing;
    if (typeof value.n !== "number") throw new SyntaxError("no n");
    return value;
  },
};

function thing(name: string, n: number): Mutation {
  return { key: stateKey(THINGS, name), value: THINGS.encode({ n }) };
}

function setUp() {
  const clock = new ManualClock();
  const store = new FaultyStore(clock);
  const events: string[] = [];
  const log: Log = {
    ...silentLog,
    warn: (event) => void events.push(event),
    error: (event) => void events.push(event),
  };
  const kinds = [THINGS, PEER_LINKS];
  const view = new RegistryView({ store, kinds, clock, random: seededRandom(1), log });
  const changes: string[][] = [];
  view.onChange((changed) => changes.push([...changed].sort()));
  const stop = new AbortController();
  const write = async (...mutations: Mutation[]) => {
    const fence = await store.acquire("gateway", "g", 1e12);
    assert.ok(fence);
    await store.write(mutations, fence);
    await clock.advance(0);
  };
  const names = () => [...view.entries(THINGS).keys()].sort();
  return { clock, store, view, changes, events, stop, write, names };
}

describe("RegistryView", () => {
  it("start() resolves with what is stored, decoded, by kind and name", async () => {
    const { view, write, stop, changes, clock } = setUp();
    await write(thing("east/a", 1), thing("east/b", 2), thing("north/a", 3), { key: "peer/other/x", value: "?" });
    assert.equal(view.synced, false);
    await view.start(stop.signal);
    assert.equal(view.synced, true);
    assert.deepEqual(view.get(THINGS, "east", "a"), { n: 1 });
    assert.equal(view.get(THINGS, "east", "c"), undefined);
    assert.deepEqual(
      [...view.entries(THINGS, "east")],
      [
        ["east/a", { n: 1 }],
        ["east/b", { n: 2 }],
      ],
    );
    assert.equal(view.entries(THINGS).size, 3);
    assert.equal(view.entries(PEER_LINKS).size, 0);
    await clock.advance(0);
    assert.deepEqual(changes, [["peer/thing/east/a", "peer/thing/east/b", "peer/thing/north/a"]]);
    stop.abort();
    await view.ended;
  });

  it("follows changes, keeps groups up to date and tells of all of a tick at once", async () => {
    const { view, write, stop, changes, clock } = setUp();
    await write(thing("east/a", 1), thing("north/a", 1));
    await view.start(stop.signal);
    assert.equal(view.entries(THINGS, "east").size, 1);
    await clock.advance(0);
    changes.length = 0;
    await write(thing("east/a", 2), thing("east/b", 1), { key: "peer/thing/north/a" });
    assert.deepEqual(changes, [["peer/thing/east/a", "peer/thing/east/b", "peer/thing/north/a"]]);
    assert.deepEqual([...view.entries(THINGS, "east").values()], [{ n: 2 }, { n: 1 }]);
    assert.equal(view.entries(THINGS, "north").size, 0);
    await write({ key: "peer/thing/east/a" }, { key: "peer/thing/east/b" });
    assert.equal(view.entries(THINGS, "east").size, 0);
    await write(thing("east/c", 1));
    assert.deepEqual([...view.entries(THINGS, "east").keys()], ["east/c"]);
    stop.abort();
    await view.ended;
  });

  it("ignores a value that does not decode and keeps the former one", async () => {
    const { view, write, stop, events, names } = setUp();
    await write(thing("a", 1), { key: "peer/thing/bad", value: "{" });
    await view.start(stop.signal);
    await write({ key: "peer/thing/a", value: "{}" });
    assert.deepEqual(names(), ["a"]);
    assert.deepEqual(view.get(THINGS, "a"), { n: 1 });
    assert.deepEqual(events, ["registry value ignored", "registry value ignored"]);
    stop.abort();
    await view.ended;
  });

  it("waits for a store that is away at the start, and rejects only when aborted", async () => {
    const { view, write, store, stop, clock, names } = setUp();
    await write(thing("a", 1));
    store.down = true;
    const started = view.start(stop.signal);
    await clock.advance(60_000);
    assert.equal(view.synced, false);
    store.down = false;
    await clock.advance(5_000);
    await started;
    assert.deepEqual(names(), ["a"]);
    stop.abort();
    await view.ended;

    const other = setUp();
    other.store.down = true;
    const never = other.view.start(other.stop.signal);
    other.stop.abort();
    await assert.rejects(never, (error) => hasCode(error, "ABORTED"));
  });

  it("keeps its state while the store is away and catches up without a new listing", async () => {
    const { view, write, store, stop, clock, names, events } = setUp();
    await write(thing("a", 1), thing("b", 1));
    await view.start(stop.signal);
    const reads = store.reads;
    store.down = true;
    await clock.advance(600_000);
    assert.deepEqual(names(), ["a", "b"]);
    store.down = false;
    await write({ key: "peer/thing/a" }, thing("c", 1));
    await clock.advance(5_000);
    assert.deepEqual(names(), ["b", "c"]);
    assert.equal(store.reads, reads);
    assert.equal(events.filter((event) => event === "registry view interrupted").length, 1);
    stop.abort();
    await view.ended;
  });

  it("keeps the last good state for the grace when everything vanished, then lets it go", async () => {
    const { view, write, store, stop, clock, names, events, changes } = setUp();
    await write(thing("a", 1), thing("b", 1));
    await view.start(stop.signal);
    store.lose();
    await clock.advance(29_000);
    assert.deepEqual(names(), ["a", "b"]);
    assert.equal(view.retained, 2);
    assert.ok(events.includes("registry view keeps last good state"));
    changes.length = 0;
    await clock.advance(2_000);
    assert.deepEqual(names(), []);
    assert.equal(view.retained, 0);
    assert.deepEqual(changes, [["peer/thing/a", "peer/thing/b"]]);
    stop.abort();
    await view.ended;
  });

  it("does not let go of it while the store is away", async () => {
    const { view, write, store, stop, clock, names } = setUp();
    await write(thing("a", 1));
    await view.start(stop.signal);
    store.lose();
    await clock.advance(1_000);
    store.down = true;
    await clock.advance(600_000);
    assert.deepEqual(names(), ["a"]);
    stop.abort();
    await view.ended;
  });

  it("after a loss takes what the owner writes again, and drops what it leaves out soon after", async () => {
    const { view, write, store, stop, clock, names } = setUp();
    await write(thing("a", 1), thing("b", 1), thing("c", 1));
    await view.start(stop.signal);
    store.lose();
    await clock.advance(1_000);
    await write(thing("a", 2));
    assert.deepEqual(names(), ["a", "b", "c"], "the owner is not done yet");
    assert.deepEqual(view.get(THINGS, "a"), { n: 2 });
    await write(thing("b", 1));
    await clock.advance(2_000);
    assert.deepEqual(names(), ["a", "b"]);
    assert.equal(view.retained, 0);
    stop.abort();
    await view.ended;
  });

  it("keeps what a listing in the middle of the owner's rewriting lacks", async () => {
    const { view, write, store, stop, clock, names } = setUp();
    await write(thing("a", 1), thing("b", 1), thing("c", 1));
    await view.start(stop.signal);
    store.lose();
    await write(thing("a", 1));
    await clock.advance(500);
    assert.deepEqual(names(), ["a", "b", "c"]);
    await write(thing("b", 1));
    await clock.advance(2_000);
    assert.deepEqual(names(), ["a", "b"]);
    stop.abort();
    await view.ended;
  });

  it("harms no listener by another that throws, and calls none that was removed", async () => {
    const { view, write, stop, changes, events, clock } = setUp();
    const remove = view.onChange(() => {
      throw new Error("no");
    });
    let told = 0;
    view.onChange(() => told++);
    await view.start(stop.signal);
    await write(thing("a", 1));
    remove();
    await write(thing("a", 2));
    await clock.advance(0);
    assert.equal(told, 2);
    assert.equal(changes.length, 2);
    assert.equal(events.filter((event) => event === "registry listener failed").length, 1);
    stop.abort();
    await view.ended;
  });

  it("refuses to look up a kind that it does not follow", () => {
    const { view } = setUp();
    assert.throws(
      () => view.get(LOCAL_GATEWAYS, "a"),
      (error) => hasCode(error, "INTERNAL"),
    );
  });
});
