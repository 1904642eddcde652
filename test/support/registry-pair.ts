import assert from "node:assert/strict";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { seededRandom } from "../../core/random.ts";
import { RegistryView } from "../../registry/registry-view.ts";
import { RegistryWriter } from "../../registry/registry-writer.ts";
import type { StateKind } from "../../registry/state.ts";
import type { RegistryStore } from "../../registry/store.ts";
import { eventually } from "./eventually.ts";

const THINGS: StateKind<number> = { prefix: "local/thing/", encode: String, decode: Number };
const COUNT = 500;

export interface RegistryPairOptions {
  readonly open: () => Promise<RegistryStore>;
  /** Of the writer's lease. */
  readonly ttlMs?: number;
}

/** A writer and a view of 500 things, each over a client of its own; counts what the view ever lacked. */
export class RegistryPair {
  readonly writer: RegistryWriter;
  readonly view: RegistryView;
  /** The writer's. */
  readonly store: RegistryStore;
  readonly viewStore: RegistryStore;
  readonly #stop = new AbortController();
  #least = 0;

  private constructor(store: RegistryStore, viewStore: RegistryStore, ttlMs: number) {
    const shared = { clock: systemClock, random: seededRandom(1), log: silentLog };
    this.store = store;
    this.viewStore = viewStore;
    this.writer = new RegistryWriter({ store, lease: "mirror", holder: "a", ttlMs, ...shared });
    this.view = new RegistryView({ store: viewStore, kinds: [THINGS], ...shared });
    this.view.onChange(() => {
      this.#least = Math.min(this.#least, this.view.entries(THINGS).size);
    });
  }

  /** Resolves once the view has all things, with value 1. */
  static async start({ open, ttlMs = 5_000 }: RegistryPairOptions): Promise<RegistryPair> {
    const pair = new RegistryPair(await open(), await open(), ttlMs);
    pair.writer.start(pair.#stop.signal);
    pair.view.start(pair.#stop.signal).catch(() => {});
    await pair.settle(1);
    pair.#least = COUNT;
    return pair;
  }

  /** Wants all things to have that value; does not wait for it. */
  want(value: number): void {
    const key = (i: number) => `${THINGS.prefix}${i}`;
    this.writer.replacePrefix(
      THINGS.prefix,
      new Map(Array.from({ length: COUNT }, (_, i) => [key(i), THINGS.encode(value)])),
    );
  }

  /** Wants it, and waits until writer and view are there. */
  async settle(value: number): Promise<void> {
    this.want(value);
    await this.writer.settled();
    await this.seen(value);
  }

  /** Waits until the view has all things with that value, and nothing that it keeps for lack of news. */
  async seen(value: number): Promise<void> {
    await eventually(() => {
      const values = [...this.view.entries(THINGS).values()];
      return values.length === COUNT && values.every((v) => v === value) && this.view.retained === 0;
    });
  }

  /** That the view had every thing at any time. */
  assertNeverLacked(): void {
    assert.equal(this.#least, COUNT, "no thing was missing from the view at any time");
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all([this.writer.ended, this.view.ended]);
    await Promise.all([this.store.close(), this.viewStore.close()]);
  }
}
