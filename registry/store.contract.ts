import assert from "node:assert/strict";
import { hasCode, type MeshErrorCode } from "../core/errors.ts";
import { eventually } from "../test/support/eventually.ts";
import { type AdministeredStore, ANYBODY, type Change, type Fence, type RegistryStore, STORE_LIMITS } from "./store.ts";

export interface ContractOptions {
  /** Changes to keep, about. */
  readonly maxChanges?: number;
}

/** How the suite gets stores, for one adapter. */
export interface StoreFactory {
  /** A client of the one store; with `maxChanges`, the first of a test. */
  open(options?: ContractOptions): Promise<AdministeredStore>;
  /** Lets some time pass for leases: a few ms at least. */
  elapse(): Promise<void>;
  /** Called after each test: closes all clients and empties the store. */
  reset(): Promise<void>;
}

function code(...codes: MeshErrorCode[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(hasCode(error, ...codes), `want ${codes.join(" or ")}, got ${String(error)}`);
    return true;
  };
}

async function lead(store: RegistryStore, lease = "mirror", holder = "a"): Promise<Fence> {
  const fence = await store.acquire(lease, holder, 60_000);
  assert.ok(fence);
  return fence;
}

/** The next `count` changes. */
async function take(store: RegistryStore, prefix: string, after: bigint, count: number): Promise<Change[]> {
  const stop = new AbortController();
  const changes: Change[] = [];
  for await (const change of store.watch(prefix, after, stop.signal)) {
    changes.push(change);
    if (changes.length === count) stop.abort();
  }
  return changes;
}

function pairs(changes: readonly Change[]): [string, string | undefined][] {
  return changes.map(({ key, value }) => [key, value]);
}

/** What every RegistryStore keeps to. */
export function describeStoreContract(name: string, factory: StoreFactory): void {
  describe(`RegistryStore contract: ${name}`, () => {
    afterEach(() => factory.reset());

    it("read() of an empty store finds nothing, and watch() goes on from there", async () => {
      const store = await factory.open();
      const { revision, entries } = await store.read("");
      assert.deepEqual(entries, []);
      const next = take(store, "", revision, 1);
      await store.write([{ key: "a/1", value: "1" }], await lead(store));
      assert.deepEqual(pairs(await next), [["a/1", "1"]]);
    });

    it("read() finds what was written under the prefix, with its revisions, from another client too", async () => {
      const store = await factory.open();
      const fence = await lead(store);
      const first = await store.write([{ key: "a/1", value: '{"x":"ü"}' }], fence);
      const second = await store.write(
        [
          { key: "a/2", value: "" },
          { key: "b/1", value: "3" },
          { key: "a*", value: "4" },
        ],
        fence,
      );
      const { revision, entries } = await (await factory.open()).read("a/");
      assert.equal(revision, second);
      assert.deepEqual(entries.map(({ key, value }) => [key, value]).sort(), [
        ["a/1", '{"x":"ü"}'],
        ["a/2", ""],
      ]);
      assert.equal(entries.find(({ key }) => key === "a/1")?.revision, first);
      assert.ok(second > first);
      assert.deepEqual(
        (await store.read("a*")).entries.map(({ key }) => key),
        ["a*"],
      );
    });

    it("write() of what is stored already changes nothing and is not reported", async () => {
      const store = await factory.open();
      const fence = await lead(store);
      const before = await store.write([{ key: "a", value: "1" }], fence);
      assert.equal(await store.write([{ key: "a", value: "1" }, { key: "none" }], fence), before);
      const after = await store.write(
        [
          { key: "a", value: "1" },
          { key: "b", value: "2" },
        ],
        fence,
      );
      assert.deepEqual(pairs(await take(store, "", before, 1)), [["b", "2"]]);
      assert.equal((await store.read("")).revision, after);
    });

    it("write() deletes, and a key twice in one write ends as it was last said", async () => {
      const store = await factory.open();
      const fence = await lead(store);
      const start = (await store.read("")).revision;
      await store.write(
        [
          { key: "a", value: "1" },
          { key: "a", value: "2" },
          { key: "b", value: "1" },
        ],
        fence,
      );
      await store.write([{ key: "b" }], fence);
      const changes = await take(store, "", start, 4);
      assert.deepEqual(pairs(changes), [
        ["a", "1"],
        ["a", "2"],
        ["b", "1"],
        ["b", undefined],
      ]);
      for (const [i, { revision }] of changes.entries()) assert.ok(revision > (changes[i - 1]?.revision ?? start));
      assert.deepEqual(
        (await store.read("")).entries.map(({ key, value }) => [key, value]),
        [["a", "2"]],
      );
    });

    it("write() refuses what is over a limit and leaves the store as it was", async () => {
      const store = await factory.open();
      const fence = await lead(store);
      const many = Array.from({ length: STORE_LIMITS.mutations + 1 }, (_, i) => ({ key: `k${i}`, value: "" }));
      await assert.rejects(store.write(many, fence), code("LIMIT_EXCEEDED"));
      const big = "x".repeat(STORE_LIMITS.valueBytes + 1);
      await assert.rejects(
        store.write(
          [
            { key: "a", value: "" },
            { key: "b", value: big },
          ],
          fence,
        ),
        code("LIMIT_EXCEEDED"),
      );
      await assert.rejects(
        store.write([{ key: "k".repeat(STORE_LIMITS.keyBytes + 1) }], fence),
        code("LIMIT_EXCEEDED"),
      );
      assert.deepEqual((await store.read("")).entries, []);
      await store.write([{ key: "b", value: big.slice(1) }], fence);
      assert.equal((await store.read("b")).entries[0]?.value.length, STORE_LIMITS.valueBytes);
    });

    it("write() is refused without the lease, under an older token, and under another holder's", async () => {
      const store = await factory.open();
      const old = await lead(store, "mirror", "a");
      await store.release(old);
      const mutation = [{ key: "a", value: "1" }];
      await assert.rejects(store.write(mutation, old), code("REGISTRY_FENCED"));
      const next = await lead(store, "mirror", "b");
      assert.ok(next.token > old.token);
      await assert.rejects(store.write(mutation, old), code("REGISTRY_FENCED"));
      await assert.rejects(store.write(mutation, { ...old, token: next.token }), code("REGISTRY_FENCED"));
      await assert.rejects(store.write(mutation, { ...next, lease: "other" }), code("REGISTRY_FENCED"));
      assert.deepEqual((await store.read("")).entries, []);
      await store.write(mutation, next);
    });

    it("acquire() gives a lease to one holder, again to the same, and to another once it is released", async () => {
      const [one, two] = [await factory.open(), await factory.open()];
      const fence = await lead(one, "gateway", "a");
      assert.equal(await two.acquire("gateway", "b", 60_000), undefined);
      assert.deepEqual(await one.acquire("gateway", "a", 60_000), fence);
      assert.ok(await two.acquire("mirror", "b", 60_000), "leases are independent");
      await one.release(fence);
      const next = await two.acquire("gateway", "b", 60_000);
      assert.ok(next !== undefined && next.token > fence.token);
      await one.release(fence);
      assert.equal(await two.renew(next, 60_000), true, "a late release of the former holder changes nothing");
    });

    it("release() leaves nothing of the lease of a single thing, whose next token is higher nevertheless", async () => {
      const store = await factory.open();
      const known = async () => (await store.status()).leases.map(({ lease }) => lease).sort();
      const [role, one] = [await lead(store, "gateway", "a"), await lead(store, "gateway/a", "a")];
      assert.deepEqual(await known(), ["gateway", "gateway/a"]);
      await store.release(role);
      await store.release(one);
      assert.deepEqual(await known(), ["gateway"]);
      assert.ok((await lead(store, "gateway/a", "b")).token > one.token);
    });

    it("acquire() gives an expired lease away, whereupon renew() of the former holder is false", async () => {
      const [one, two] = [await factory.open(), await factory.open()];
      const fence = await one.acquire("gateway", "a", 30);
      assert.ok(fence);
      const next = await eventually(async () => {
        await factory.elapse();
        return two.acquire("gateway", "b", 60_000);
      });
      assert.ok(next.token > fence.token);
      assert.equal(await one.renew(fence, 60_000), false);
      await assert.rejects(one.write([{ key: "a", value: "1" }], fence), code("REGISTRY_FENCED"));
    });

    it("acquire() takes a lease away from the holder that it names, or from anybody, and from no other", async () => {
      const [one, two] = [await factory.open(), await factory.open()];
      const first = await lead(one, "link", "a");
      assert.equal(await two.acquire("link", "b", 60_000, "c"), undefined);
      const second = await two.acquire("link", "b", 60_000, "a");
      assert.ok(second !== undefined && second.token > first.token);
      await assert.rejects(one.write([{ key: "a", value: "1" }], first), code("REGISTRY_FENCED"));
      assert.equal(await one.renew(first, 60_000), false);
      const third = await one.acquire("link", "a", 60_000, ANYBODY);
      assert.ok(third !== undefined && third.token > second.token);
      await one.write([{ key: "a", value: "2" }], third);
    });

    it("renew() extends a lease beyond its first time", async () => {
      const [one, two] = [await factory.open(), await factory.open()];
      const fence = await one.acquire("gateway", "a", 1_000);
      assert.ok(fence);
      assert.equal(await one.renew(fence, 600_000), true);
      for (let i = 0; i < 120; i++) await factory.elapse();
      assert.equal(await two.acquire("gateway", "b", 60_000), undefined);
    });

    it("watch() yields only what is under the prefix and resumes after any revision", async () => {
      const store = await factory.open();
      const fence = await lead(store);
      const start = (await store.read("")).revision;
      for (let i = 0; i < 6; i++) await store.write([{ key: `${i % 2 === 0 ? "a" : "b"}/${i}`, value: `${i}` }], fence);
      const all = await take(store, "", start, 6);
      assert.deepEqual(pairs(await take(store, "a/", start, 3)), [
        ["a/0", "0"],
        ["a/2", "2"],
        ["a/4", "4"],
      ]);
      assert.deepEqual(await take(store, "", all[2]?.revision ?? 0n, 3), all.slice(3));
    });

    it("watch() ends without an error when its signal aborts, also before it began", async () => {
      const store = await factory.open();
      await store.write([{ key: "a", value: "1" }], await lead(store));
      const { revision } = await store.read("");
      const stop = new AbortController();
      const waiting = (async () => {
        for await (const _ of store.watch("", revision, stop.signal)) assert.fail("nothing changed");
      })();
      stop.abort();
      await waiting;
      for await (const _ of store.watch("", revision, stop.signal)) assert.fail("aborted before");
    });

    it("watch() says COMPACTED for a revision that is not kept any more, and for one that never was", async () => {
      const store = await factory.open({ maxChanges: 200 });
      const fence = await lead(store);
      const start = await store.write([{ key: "first", value: "0" }], fence);
      for (let round = 0; round < 6; round++) {
        await store.write(
          Array.from({ length: 200 }, (_, i) => ({ key: `k${i}`, value: `${round}` })),
          fence,
        );
      }
      await assert.rejects(take(store, "", start, 1), code("REGISTRY_COMPACTED"));
      const { revision, entries } = await store.read("");
      assert.equal(entries.length, 201);
      await assert.rejects(take(store, "", revision + 1_000_000_000n, 1), code("REGISTRY_COMPACTED"));
      const next = take(store, "", revision, 1);
      await store.write([{ key: "last", value: "1" }], fence);
      assert.deepEqual(pairs(await next), [["last", "1"]]);
    });

    it("a reader that reads while others write, then watches, misses nothing and ends with the same state", async () => {
      const [writer, reader] = [await factory.open(), await factory.open()];
      const fence = await lead(writer);
      await writer.write(
        Array.from({ length: 1000 }, (_, i) => ({ key: `k${i}`, value: "start" })),
        fence,
      );
      const writing = (async () => {
        for (let round = 0; round < 40; round++) {
          const mutations = Array.from({ length: 25 }, (_, i) => {
            const key = `k${(round * 37 + i * 41) % 1200}`;
            return (round + i) % 5 === 0 ? { key } : { key, value: `${round}` };
          });
          await writer.write(mutations, fence);
        }
        await writer.write([{ key: "end", value: "1" }], fence);
      })();
      const { revision, entries } = await reader.read("");
      const copy = new Map(entries.map(({ key, value }) => [key, value]));
      const stop = new AbortController();
      if (copy.has("end")) stop.abort();
      for await (const { key, value } of reader.watch("", revision, stop.signal)) {
        if (value === undefined) copy.delete(key);
        else copy.set(key, value);
        if (key === "end") stop.abort();
      }
      await writing;
      const final = new Map((await reader.read("")).entries.map(({ key, value }) => [key, value]));
      assert.deepEqual(new Map([...copy].sort()), new Map([...final].sort()));
    });

    it("10,000 entries of 1 KiB are written in batches and read in one snapshot", async () => {
      const store = await factory.open();
      const fence = await lead(store);
      const value = "x".repeat(1024);
      for (let from = 0; from < 10_000; from += 1_000) {
        await store.write(
          Array.from({ length: 1_000 }, (_, i) => ({ key: `s/${from + i}`, value })),
          fence,
        );
      }
      const { entries } = await store.read("s/");
      assert.equal(new Set(entries.map(({ key }) => key)).size, 10_000);
    });

    it("status() counts what is there and says who holds which lease under which token", async () => {
      const store = await factory.open();
      const fence = await lead(store, "mirror", "mirror with spaces");
      const gone = await lead(store, "gateway", "b");
      await store.release(gone);
      const revision = await store.write(
        [
          { key: "a", value: "1" },
          { key: "b", value: "2" },
        ],
        fence,
      );
      await store.write([{ key: "b" }], fence);
      const status = await store.status();
      assert.deepEqual([status.entries, status.lost, status.changes], [1, 0, 3]);
      assert.ok(status.revision > revision);
      const leases = [...status.leases].sort((a, b) => (a.lease < b.lease ? -1 : 1));
      assert.deepEqual(
        leases.map(({ lease, holder, token }) => [lease, holder, token]),
        [
          ["gateway", undefined, gone.token],
          ["mirror", "mirror with spaces", fence.token],
        ],
      );
      const [, held] = leases;
      assert.ok(held !== undefined && held.ttlMs > 50_000 && held.ttlMs <= 60_000);
    });

    it("clear() takes all entries, has watches say COMPACTED, and leaves leases as they are", async () => {
      const store = await factory.open();
      const fence = await lead(store);
      const before = await store.write(
        [
          { key: "a", value: "1" },
          { key: "b", value: "2" },
        ],
        fence,
      );
      const ended = take(store, "", before, 1);
      await store.clear();
      await assert.rejects(ended, code("REGISTRY_COMPACTED"));
      await assert.rejects(take(store, "", before, 1), code("REGISTRY_COMPACTED"));
      const { revision, entries } = await store.read("");
      assert.deepEqual(entries, []);
      const after = await store.write([{ key: "a", value: "1" }], fence);
      assert.ok(after > before, "revisions go on rising");
      assert.deepEqual(pairs(await take(store, "", revision, 1)), [["a", "1"]]);
    });

    it("many watches, some slow, each get all of their changes", async () => {
      const [writer, reader] = [await factory.open(), await factory.open()];
      const fence = await lead(writer);
      const { revision } = await reader.read("");
      const rounds = 12;
      const size = 500;
      const keys = async (prefix: string, slow: boolean) => {
        const seen: string[] = [];
        const stop = new AbortController();
        for await (const { key, value } of reader.watch(prefix, revision, stop.signal)) {
          if (key.endsWith("/end")) stop.abort();
          else seen.push(`${key}=${value}`);
          if (slow && seen.length % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
        }
        return seen;
      };
      const watches = Array.from({ length: 8 }, (_, i) => keys(i % 2 === 0 ? "s/" : "t/", i < 4));
      for (let round = 0; round < rounds; round++) {
        await writer.write(
          Array.from({ length: size }, (_, i) => ({ key: `${i % 2 === 0 ? "s" : "t"}/${i}`, value: `${round}` })),
          fence,
        );
      }
      await writer.write(
        [
          { key: "s/end", value: "" },
          { key: "t/end", value: "" },
        ],
        fence,
      );
      for (const [i, seen] of (await Promise.all(watches)).entries()) {
        const odd = i % 2;
        const want = Array.from({ length: (rounds * size) / 2 }, (_, n) => {
          const half = size / 2;
          return `${odd === 0 ? "s" : "t"}/${(n % half) * 2 + odd}=${Math.floor(n / half)}`;
        });
        assert.deepEqual(seen, want);
      }
    });

    it("close() ends watches, fails calls with REGISTRY_UNAVAILABLE, and health() says so", async () => {
      const store = await factory.open();
      const { revision } = await store.read("");
      assert.deepEqual(store.health(), { state: "up" });
      const waiting = (async () => {
        for await (const _ of store.watch("", revision, new AbortController().signal)) assert.fail("nothing changed");
      })();
      await store.close();
      await waiting;
      await assert.rejects(store.read(""), code("REGISTRY_UNAVAILABLE"));
      assert.equal(store.health().state, "degraded");
    });
  });
}
