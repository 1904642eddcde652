import assert from "node:assert/strict";
import { ManualClock } from "../core/clock.ts";
import { MemoryStore } from "./memory-store.ts";
import { ObservedStore } from "./observed-store.ts";
import { describeStoreContract } from "./store.contract.ts";

let clock = new ManualClock();
let store: ObservedStore | undefined;

describeStoreContract("memory, observed", {
  async open(options = {}) {
    store ??= new ObservedStore(new MemoryStore({ clock, ...options }), clock);
    return store;
  },
  elapse: () => clock.advance(10),
  async reset() {
    await store?.close();
    store = undefined;
    clock = new ManualClock();
  },
});

describe("ObservedStore", () => {
  it("leases() tells what this process holds, until it is released, lost or run out", async () => {
    const time = new ManualClock();
    const inner = new MemoryStore({ clock: time });
    const observed = new ObservedStore(inner, time);
    const mirror = await observed.acquire("mirror", "a", 1_000);
    const gateway = await observed.acquire("gateway", "a", 1_000);
    assert.ok(mirror && gateway);
    const names = () => observed.leases().map(({ lease }) => lease);
    assert.deepEqual(names(), ["mirror", "gateway"]);
    assert.equal(observed.leases()[0]?.token, mirror.token.toString());
    assert.match(observed.metrics(), /^registry_lease_token\{lease="mirror"\} 1$/m);
    await observed.release(gateway);
    assert.deepEqual(names(), ["mirror"]);
    await time.advance(600);
    assert.equal(await observed.renew(mirror, 1_000), true);
    await time.advance(600);
    assert.deepEqual(names(), ["mirror"]);
    await inner.release(mirror);
    assert.equal(await observed.renew(mirror, 1_000), false);
    assert.deepEqual(names(), []);
    await observed.acquire("mirror", "b", 1_000);
    await time.advance(1_000);
    assert.deepEqual(names(), [], "nothing was heard of it in time");
  });
});
