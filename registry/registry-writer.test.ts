import assert from "node:assert/strict";
import { ManualClock } from "../core/clock.ts";
import { hasCode, MeshError } from "../core/errors.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import { FaultyStore } from "../test/support/faulty-store.ts";
import { RegistryWriter } from "./registry-writer.ts";
import { ANYBODY, type RegistryStore, STORE_LIMITS } from "./store.ts";

function setUp() {
  const clock = new ManualClock();
  const store = new FaultyStore(clock);
  const stops: { stop: AbortController; writer: RegistryWriter }[] = [];
  const make = (holder: string) => {
    const random = seededRandom(stops.length + 1);
    const writer = new RegistryWriter({ store, lease: "mirror", holder, clock, random, log: silentLog, ttlMs: 9_000 });
    const told: boolean[] = [];
    writer.onLeadership((leading) => told.push(leading));
    const stop = new AbortController();
    stops.push({ stop, writer });
    return { writer, stop, told };
  };
  const stored = async (prefix = "") => {
    const { entries } = await store.read(prefix);
    return Object.fromEntries(entries.map(({ key, value }) => [key, value]));
  };
  const end = async () => {
    store.down = false;
    for (const { stop, writer } of stops) {
      stop.abort();
      await clock.advance(0);
      await writer.ended;
    }
  };
  /** Writes past the writers. */
  const meddle = async (key: string, value?: string) => {
    const fence = await store.acquire("meddler", "m", 1e12);
    assert.ok(fence);
    await store.write([value === undefined ? { key } : { key, value }], fence);
  };
  return { clock, store, make, stored, end, meddle };
}

describe("RegistryWriter", () => {
  it("leads where nobody else does and stores what is desired, a tick's worth in one write", async () => {
    const { make, stored, store, end, clock } = setUp();
    const { writer, stop, told } = make("a");
    writer.set("local/x", "1");
    assert.equal(writer.leading, false);
    writer.start(stop.signal);
    await writer.settled();
    assert.equal(writer.leading, true);
    assert.deepEqual(told, [true]);
    writer.set("local/y", "1");
    writer.set("local/y", "2");
    writer.set("local/z", "3");
    writer.delete("local/x");
    await writer.settled();
    assert.deepEqual(await stored(), { "local/y": "2", "local/z": "3" });
    assert.deepEqual(
      store.writes.map((write) => write.length),
      [1, 3],
    );
    await clock.advance(60_000);
    assert.equal(store.writes.length, 2, "nothing is written that is stored already");
    await end();
    assert.deepEqual(told, [true, false]);
  });

  it("replacePrefix() deletes leftovers of a former leader under that prefix only", async () => {
    const { make, stored, end, meddle } = setUp();
    await meddle("local/service/old", "1");
    await meddle("local/endpoints/old", "1");
    const { writer, stop } = make("a");
    writer.start(stop.signal);
    writer.set("local/other", "1");
    await writer.settled();
    assert.deepEqual(Object.keys(await stored()).length, 3, "nothing is deleted before the desired set is known");
    writer.replacePrefix(
      "local/service/",
      new Map([
        ["local/service/a", "1"],
        ["local/service/b", "2"],
      ]),
    );
    await writer.settled();
    const others = { "local/endpoints/old": "1", "local/other": "1" };
    assert.deepEqual(await stored(), { ...others, "local/service/a": "1", "local/service/b": "2" });
    writer.replacePrefix("local/service/", new Map([["local/service/b", "3"]]));
    await writer.settled();
    assert.deepEqual(await stored(), { ...others, "local/service/b": "3" });
    writer.replacePrefix("local/service/", new Map());
    await writer.settled();
    assert.deepEqual(await stored(), others);
    await end();
  });

  it("writes in batches within the store's limits", async () => {
    const { make, stored, store, end } = setUp();
    const { writer, stop } = make("a");
    writer.replacePrefix("s/", new Map(Array.from({ length: 2_500 }, (_, i) => [`s/${i}`, `${i}`])));
    for (let i = 0; i < 20; i++) writer.set(`big/${i}`, `${i}`.padEnd(1_000_000));
    assert.throws(
      () => writer.set("big/x", "x".repeat(STORE_LIMITS.valueBytes + 1)),
      (e) => hasCode(e, "LIMIT_EXCEEDED"),
    );
    assert.throws(
      () => writer.replacePrefix("s/", new Map([["t/", ""]])),
      (e) => hasCode(e, "INTERNAL"),
    );
    writer.start(stop.signal);
    await writer.settled();
    assert.equal(Object.keys(await stored()).length, 2_520);
    assert.ok(store.writes.length >= 4);
    await end();
  });

  it("writes keys outside its prefixes last, also when everything is written again", async () => {
    const { make, store, end, clock } = setUp();
    const { writer, stop } = make("a");
    writer.set("ready", "1");
    writer.replacePrefix("s/", new Map(Array.from({ length: 1_500 }, (_, i) => [`s/${i}`, `${i}`])));
    writer.start(stop.signal);
    await writer.settled();
    store.lose();
    await clock.advance(10_000);
    await writer.settled();
    const withMarker = store.writes.map((write) => write.some(({ key }) => key === "ready"));
    assert.deepEqual(withMarker, [false, true, false, true]);
    await end();
  });

  it("goes on desiring while the store is away and stores it all when it is back", async () => {
    const { make, stored, store, end, clock } = setUp();
    const { writer, stop, told } = make("a");
    writer.start(stop.signal);
    writer.set("a", "1");
    await writer.settled();
    store.down = true;
    writer.set("a", "2");
    writer.set("b", "1");
    await clock.advance(5_000);
    assert.equal(writer.leading, true, "within the TTL it leads");
    await clock.advance(60_000);
    assert.equal(writer.leading, false, "after it, somebody else might");
    writer.delete("b");
    writer.set("c", "1");
    store.down = false;
    const settled = writer.settled();
    await clock.advance(10_000);
    await settled;
    assert.deepEqual(await stored(), { a: "2", c: "1" });
    assert.deepEqual(told, [true, false, true]);
    await end();
  });

  it("keeps the lease when the store is away for less than the TTL", async () => {
    const { make, store, end, clock } = setUp();
    const { writer, stop, told } = make("a");
    writer.start(stop.signal);
    await writer.settled();
    await clock.advance(2_900);
    store.down = true;
    await clock.advance(4_500);
    store.down = false;
    await clock.advance(100_000);
    assert.deepEqual(told, [true]);
    await end();
  });

  it("writes everything again when the store lost its data", async () => {
    const { make, stored, store, end, clock } = setUp();
    const { writer, stop } = make("a");
    writer.start(stop.signal);
    writer.set("x", "1");
    writer.replacePrefix("s/", new Map([["s/1", "1"]]));
    await writer.settled();
    store.lose();
    await clock.advance(10_000);
    await writer.settled();
    assert.deepEqual(await stored(), { x: "1", "s/1": "1" });
    await end();
  });

  it("puts back what others changed under its keys and prefixes, and leaves theirs alone", async () => {
    const { make, stored, end, meddle, clock } = setUp();
    const { writer, stop } = make("a");
    writer.start(stop.signal);
    writer.set("x", "1");
    writer.replacePrefix("s/", new Map([["s/1", "1"]]));
    await writer.settled();
    await meddle("x");
    await meddle("s/1", "wrong");
    await meddle("s/2", "foreign");
    await meddle("theirs", "1");
    await clock.advance(10);
    await writer.settled();
    assert.deepEqual(await stored(), { x: "1", "s/1": "1", theirs: "1" });
    await end();
  });

  it("leaves leadership to one holder, whose successor takes over at once when it ends", async () => {
    const { make, stored, end, clock } = setUp();
    const [one, two] = [make("a"), make("b")];
    one.writer.start(one.stop.signal);
    one.writer.replacePrefix(
      "s/",
      new Map([
        ["s/1", "a"],
        ["s/2", "a"],
      ]),
    );
    await one.writer.settled();
    two.writer.start(two.stop.signal);
    two.writer.replacePrefix("s/", new Map([["s/1", "b"]]));
    await clock.advance(60_000);
    assert.equal(one.writer.leading, true);
    assert.equal(two.writer.leading, false);
    assert.deepEqual(await stored(), { "s/1": "a", "s/2": "a" });
    one.stop.abort();
    await one.writer.ended;
    await clock.advance(3_100);
    assert.equal(two.writer.leading, true);
    await two.writer.settled();
    assert.deepEqual(await stored(), { "s/1": "b" });
    await end();
  });

  it("stops writing when another took the lease, and says so", async () => {
    const { make, stored, store, end, clock } = setUp();
    const { writer, stop, told } = make("a");
    writer.start(stop.signal);
    writer.set("x", "a");
    await writer.settled();
    // As after a pause of the whole process: the lease has run out and another has it.
    store.lose();
    const fence = await store.acquire("mirror", "b", 9_000);
    assert.ok(fence);
    await store.write([{ key: "x", value: "b" }], fence);
    writer.set("x", "a2");
    await clock.advance(1_000);
    assert.equal(writer.leading, false);
    assert.deepEqual(await stored(), { x: "b" });
    await clock.advance(20_000);
    assert.equal(writer.leading, true, "the other's lease ran out");
    await writer.settled();
    assert.deepEqual(await stored(), { x: "a2" });
    assert.deepEqual(told, [true, false, true]);
    await end();
  });

  it("settled() rejects when the writer ends before", async () => {
    const { make, store, end } = setUp();
    const { writer, stop } = make("a");
    store.down = true;
    writer.start(stop.signal);
    const settled = writer.settled();
    const rejected = assert.rejects(settled, (error) => hasCode(error, "ABORTED"));
    await end();
    await rejected;
    await assert.rejects(writer.settled(), (error) => hasCode(error, "ABORTED"));
  });

  it("onTenure() outlasts the store's absence, and ends when the store says that another leads", async () => {
    const clock = new ManualClock();
    const store = new FaultyStore(clock);
    let cut = false;
    // One replica's way to the store, apart from that of the others.
    const ours = new Proxy<RegistryStore>(store, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        if (cut) return () => Promise.reject(new MeshError("REGISTRY_UNAVAILABLE", "Cannot reach the registry: cut."));
        return value.bind(target);
      },
    });
    const stop = new AbortController();
    const shared = { lease: "gateway", ttlMs: 10_000, clock, random: () => 0.5, log: silentLog };
    const writer = new RegistryWriter({ ...shared, store: ours, holder: "a" });
    const told: string[] = [];
    writer.onTenure((tenure) => told.push(`tenure ${tenure}`));
    writer.onLeadership((leading) => told.push(`leading ${leading}`));
    writer.start(stop.signal);
    await clock.advance(100);
    assert.deepEqual(told.splice(0), ["leading true", "tenure true"]);
    store.down = true;
    await clock.advance(600_000);
    assert.deepEqual(told.splice(0), ["leading false"]);
    store.down = false;
    await clock.advance(10_000);
    assert.deepEqual(told.splice(0), ["leading true"], "it never ceased to act");
    cut = true;
    await clock.advance(11_000);
    assert.deepEqual(told.splice(0), ["leading false"]);
    const other = await store.acquire("gateway", "b", 3_600_000);
    assert.ok(other);
    cut = false;
    await clock.advance(10_000);
    assert.deepEqual(told.splice(0), ["tenure false"]);
    await store.release(other);
    await clock.advance(10_000);
    assert.deepEqual(told.splice(0), ["leading true", "tenure true"]);
    writer.yieldTenure();
    assert.deepEqual(told.splice(0), [], "who holds the lease does not yield");
    store.down = true;
    await clock.advance(11_000);
    writer.yieldTenure();
    assert.deepEqual(told.splice(0), ["leading false", "tenure false"]);
    store.down = false;
    await clock.advance(10_000);
    assert.deepEqual(told.splice(0), ["leading true", "tenure true"]);
    stop.abort();
    await writer.ended;
    assert.deepEqual(told.splice(0), ["leading false", "tenure false"]);
  });

  it("seize() takes the lease away at once, from whom it names, whose next write is refused", async () => {
    const { make, stored, end, clock } = setUp();
    const [a, b] = [make("a"), make("b")];
    a.writer.set("local/x", "a");
    a.writer.start(a.stop.signal);
    await a.writer.settled();
    b.writer.set("local/x", "b");
    b.writer.start(b.stop.signal);
    await clock.advance(1);
    b.writer.seize("c");
    await clock.advance(1);
    assert.equal(b.writer.leading, false, "c does not hold it");
    b.writer.seize("a");
    await b.writer.settled();
    assert.deepEqual(await stored(), { "local/x": "b" });
    a.writer.set("local/x", "late");
    await clock.advance(1);
    assert.deepEqual(a.told, [true, false]);
    await clock.advance(60_000);
    assert.deepEqual(await stored(), { "local/x": "b" });
    assert.deepEqual(b.told, [true]);
    await end();
  });

  it("seize() waits for a store that is away, and has then taken the lease", async () => {
    const { make, end, clock, store } = setUp();
    const [a, b] = [make("a"), make("b")];
    a.writer.start(a.stop.signal);
    await clock.advance(1);
    b.writer.start(b.stop.signal);
    await clock.advance(1);
    store.down = true;
    b.writer.seize(ANYBODY);
    await clock.advance(2_000);
    assert.equal(b.writer.leading, false);
    store.down = false;
    await clock.advance(5_000);
    assert.equal(b.writer.leading, true);
    await end();
  });
});
