import assert from "node:assert/strict";
import { ManualClock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import { MemoryStore } from "../registry/memory-store.ts";
import { RegistryView } from "../registry/registry-view.ts";
import { LOCAL_GATEWAYS, stateKey } from "../registry/state.ts";
import { GatewayPresence } from "./presence.ts";

describe("GatewayPresence", () => {
  const address = (host: string) => ({ host, relayPort: 4143, federationPort: 4180, zone: "" });
  let clock: ManualClock;
  let store: MemoryStore;
  let abort: AbortController;
  beforeEach(() => {
    clock = new ManualClock();
    store = new MemoryStore({ clock });
    abort = new AbortController();
  });
  afterEach(() => abort.abort());

  const known = async () => (await store.read(LOCAL_GATEWAYS.prefix)).entries.map(({ key }) => key).sort();

  async function replica(holder: string): Promise<GatewayPresence> {
    const log = silentLog;
    const view = new RegistryView({ store, kinds: [LOCAL_GATEWAYS], clock, random: seededRandom(1), log });
    await view.start(abort.signal);
    const presence = new GatewayPresence({ store, view, holder, clock, random: seededRandom(2), log });
    presence.set(address(holder));
    presence.start(abort.signal);
    await clock.advance(1);
    return presence;
  }

  /** What a replica leaves that is killed, renewed last at this moment. */
  async function killed(holder: string): Promise<void> {
    const fence = await store.acquire(`gateway/${holder}`, holder, 10_000);
    assert.ok(fence);
    const value = LOCAL_GATEWAYS.encode(address(holder));
    await store.write([{ key: stateKey(LOCAL_GATEWAYS, holder), value }], fence);
  }

  it("is said by each replica for itself, and goes at once with one that leaves", async () => {
    const [a, b] = [await replica("a"), await replica("b")];
    a.lead(true);
    await clock.advance(30_000);
    assert.deepEqual(await known(), ["local/gateway/a", "local/gateway/b"]);
    const leaving = b.leave(abort.signal);
    await clock.advance(1);
    await leaving;
    assert.deepEqual(await known(), ["local/gateway/a"]);
  });

  it("of one that was killed goes when its lease ends, taken away by who leads", async () => {
    const a = await replica("a");
    await killed("b");
    await clock.advance(20_000);
    assert.deepEqual(await known(), ["local/gateway/a", "local/gateway/b"], "nobody leads");
    await killed("b");
    a.lead(true);
    await clock.advance(9_000);
    assert.deepEqual(await known(), ["local/gateway/a", "local/gateway/b"]);
    await clock.advance(5_000);
    assert.deepEqual(await known(), ["local/gateway/a"]);
  });

  it("is said again where somebody took it away", async () => {
    await replica("a");
    const fence = await store.acquire("others", "test", 60_000);
    assert.ok(fence);
    await store.write([{ key: stateKey(LOCAL_GATEWAYS, "a") }], fence);
    await clock.advance(100);
    assert.deepEqual(await known(), ["local/gateway/a"]);
  });
});
