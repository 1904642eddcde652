import assert from "node:assert/strict";
import { ManualClock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import { FaultyStore } from "../test/support/faulty-store.ts";
import { RegistryWriter } from "./registry-writer.ts";
import type { Fence, RegistryStore } from "./store.ts";

const TTL_MS = 10_000;
const HOUR_MS = 3_600_000;

describe("RegistryWriter over a day of leases", () => {
  it("has one leader at a time, and another within a TTL of each loss", async () => {
    const clock = new ManualClock();
    const random = seededRandom(7);
    const shared = new FaultyStore(clock);
    const tokens: bigint[] = [];
    const storeOf = (): RegistryStore =>
      new Proxy(shared, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target);
          if (name === "acquire") {
            return async (...args: Parameters<RegistryStore["acquire"]>): Promise<Fence | undefined> => {
              const fence = await target.acquire(...args);
              if (fence !== undefined) tokens.push(fence.token);
              return fence;
            };
          }
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    const replicas = new Map<string, { writer: RegistryWriter; stop: AbortController }>();
    let started = 0;
    let most = 0;
    const leaders = () => [...replicas.values()].filter(({ writer }) => writer.leading).length;
    const launch = () => {
      const holder = `replica-${++started}`;
      const stop = new AbortController();
      const options = { store: storeOf(), lease: "mirror", holder, ttlMs: TTL_MS, clock, random, log: silentLog };
      const writer = new RegistryWriter(options);
      writer.onLeadership(() => {
        most = Math.max(most, leaders());
      });
      writer.set("leader", holder);
      writer.start(stop.signal);
      replicas.set(holder, { writer, stop });
    };
    for (let i = 0; i < 3; i++) launch();
    await clock.advance(TTL_MS);
    assert.equal(leaders(), 1);
    let changes = 0;
    for (let hour = 0; hour < 24; hour++) {
      await clock.advance(HOUR_MS / 2);
      assert.equal(leaders(), 1, `hour ${hour}`);
      const [leader] = [...replicas].filter(([, { writer }]) => writer.leading);
      assert.ok(leader);
      const [holder, { writer, stop }] = leader;
      if (hour % 3 === 0) {
        // A clean end hands over without waiting for the TTL.
        stop.abort();
        await writer.ended;
        replicas.delete(holder);
        launch();
        await clock.advance(TTL_MS / 3);
      } else if (hour % 3 === 1) {
        shared.down = true;
        await clock.advance(TTL_MS * 2);
        assert.equal(leaders(), 0, "nobody leads who could not renew");
        shared.down = false;
        await clock.advance(TTL_MS);
      } else {
        shared.lose();
        await clock.advance(TTL_MS);
      }
      changes++;
      assert.equal(leaders(), 1, `after what happened in hour ${hour}`);
      await clock.advance(HOUR_MS / 2);
      const { entries } = await shared.read("leader");
      const now = [...replicas].find(([, { writer }]) => writer.leading)?.[0];
      assert.equal(entries[0]?.value, now, "what the leader wants is stored");
    }
    assert.equal(most, 1, "never two at once");
    assert.ok(changes === 24 && tokens.length > 8);
    for (const { writer, stop } of replicas.values()) {
      stop.abort();
      await writer.ended;
    }
  }).timeout(60_000);
});
