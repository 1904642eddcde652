import { childAbort } from "../core/abort.ts";
import { backoffMs, RECONNECT } from "../core/backoff.ts";
import { type Clock, sleep } from "../core/clock.ts";
import { asMeshError, errorText, hasCode, MeshError, type MeshErrorCode } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import { KindCopy } from "./kind-copy.ts";
import type { StateKind } from "./state.ts";
import type { Change, RegistryStore, Snapshot } from "./store.ts";

export interface RegistryViewOptions {
  readonly store: RegistryStore;
  /** What to follow. */
  readonly kinds: readonly StateKind<unknown>[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** How long state is kept whose whole kind vanished from the store; 30,000 without. */
  readonly graceMs?: number;
  /** How long single values are kept that a new listing lacks, since their owner may be writing them again; 2,000 without. */
  readonly settleMs?: number;
}

function commonPrefix(texts: readonly string[]): string {
  const [first = "", ...rest] = texts;
  let length = first.length;
  for (const text of rest) while (!text.startsWith(first.slice(0, length))) length--;
  return first.slice(0, length);
}

function disposable(dispose: () => void): Disposable {
  return { [Symbol.dispose]: dispose };
}

/**
 * A copy in memory of some kinds of state, kept up to date from the store. While the store is away, or has lost its
 * data and is being written again, the last good state stays: only a deletion that was seen, or a loss that outlasts
 * the grace, removes anything.
 */
export class RegistryView {
  readonly #options: RegistryViewOptions;
  readonly #copies: readonly KindCopy[];
  readonly #prefix: string;
  readonly #listeners = new Set<(changed: ReadonlySet<string>) => void>();
  #changed = new Set<string>();
  #synced = false;
  #ended: Promise<void> = Promise.resolve();
  #failing: MeshErrorCode | undefined;

  constructor(options: RegistryViewOptions) {
    this.#options = options;
    this.#copies = options.kinds.map((kind) => new KindCopy(kind));
    this.#prefix = commonPrefix(options.kinds.map((kind) => kind.prefix));
  }

  /** Starts following; resolves once the first listing is here. @throws MeshError ABORTED when `signal` aborts first */
  start(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#ended = this.#follow(signal, resolve).finally(() => {
        for (const copy of this.#copies) copy.cancelExpiry();
        reject(new MeshError("ABORTED", "Cannot follow the registry: cancelled."));
      });
    });
  }

  /** Resolves when following has ended after the abort of `start`'s signal. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Whether a first listing has arrived. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Values that the store no longer has and that are kept for now; above 0 only after a loss of data. */
  get retained(): number {
    return this.#copies.reduce((sum, copy) => sum + copy.retained, 0);
  }

  /** The value of that name. */
  get<T>(kind: StateKind<T>, ...name: string[]): T | undefined {
    return this.#copy(kind).values.get(name.join("/")) as T | undefined;
  }

  /**
   * Values by name, the key without the kind's prefix, of all names that begin with the segments `prefixName`. A live
   * map: look, but don't hold on to it across an await.
   */
  entries<T>(kind: StateKind<T>, ...prefixName: string[]): ReadonlyMap<string, T> {
    return this.#copy(kind).group(prefixName) as ReadonlyMap<string, T>;
  }

  /** Calls `listener` once per tick with the keys that changed, after the view has them. Returns what removes it. */
  onChange(listener: (changed: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #copy(kind: { readonly prefix: string }): KindCopy {
    const copy = this.#copies.find((c) => c.kind.prefix === kind.prefix);
    if (copy === undefined)
      throw new MeshError("INTERNAL", `Cannot look up ${kind.prefix}: the view does not follow it.`);
    return copy;
  }

  async #follow(signal: AbortSignal, onSynced: () => void): Promise<void> {
    const { store, clock, random } = this.#options;
    let cursor: bigint | undefined;
    let attempt = 0;
    while (!signal.aborted) {
      const sinceMs = clock.nowMs();
      try {
        if (cursor === undefined) {
          const snapshot = await store.read(this.#prefix);
          if (signal.aborted) return;
          this.#take(snapshot);
          cursor = snapshot.revision;
          onSynced();
          this.#report();
        }
        using child = childAbort(signal);
        // That a watch was begun says nothing yet; that it stands, or brings something, does.
        using _ = disposable(clock.after(RECONNECT.maxMs, () => this.#report()));
        for await (const change of store.watch(this.#prefix, cursor, child.signal)) {
          this.#report();
          cursor = change.revision;
          this.#apply(change);
        }
        // Ends without an error only when aborted or closed.
        if (!signal.aborted) this.#report("REGISTRY_UNAVAILABLE", "the watch ended");
      } catch (error) {
        if (signal.aborted) return;
        if (hasCode(error, "REGISTRY_COMPACTED")) cursor = undefined;
        this.#report(asMeshError(error, "INTERNAL", "follow the registry").code, errorText(error));
      }
      if (clock.nowMs() - sinceMs > RECONNECT.maxMs) attempt = 0;
      await sleep(clock, backoffMs(attempt++, RECONNECT, random), signal).catch(() => {});
    }
  }

  /** Says once that following fails, under which code, or goes on; not at each attempt. */
  #report(code?: MeshErrorCode, reason = ""): void {
    if (code === this.#failing) return;
    this.#failing = code;
    if (code === undefined) this.#options.log.info("registry view follows");
    else this.#options.log.warn("registry view interrupted", { code, reason });
  }

  #take({ entries }: Snapshot): void {
    const seen = new Map<KindCopy, Set<string>>(this.#copies.map((copy) => [copy, new Set()]));
    for (const { key, value, revision } of entries) {
      const copy = this.#copies.find((c) => key.startsWith(c.kind.prefix));
      if (copy === undefined) continue;
      seen.get(copy)?.add(copy.nameOf(key));
      this.#set(copy, key, value, revision);
    }
    this.#synced = true;
    for (const [copy, names] of seen) {
      if (!copy.retainMissing(names)) continue;
      const { settleMs = 2_000, graceMs = 30_000, log } = this.#options;
      const forMs = names.size === 0 ? graceMs : settleMs;
      log.warn("registry view keeps last good state", { kind: copy.kind.prefix, count: copy.retained, forMs });
      this.#expireIn(copy, forMs);
    }
  }

  #apply({ key, value, revision }: Change): void {
    const copy = this.#copies.find((c) => key.startsWith(c.kind.prefix));
    if (copy === undefined) return;
    if (value === undefined) {
      if (copy.delete(copy.nameOf(key))) this.#mark(key);
    } else {
      this.#set(copy, key, value, revision);
    }
    // The owner is back and writes what it wants: what it leaves out is gone soon.
    if (copy.retained > 0) this.#expireIn(copy, this.#options.settleMs ?? 2_000);
    else copy.cancelExpiry();
  }

  #set(copy: KindCopy, key: string, value: string, revision: bigint): void {
    try {
      if (copy.set(copy.nameOf(key), value, revision)) this.#mark(key);
    } catch (error) {
      this.#options.log.error("registry value ignored", { entry: key, reason: errorText(error) });
    }
  }

  #expireIn(copy: KindCopy, ms: number): void {
    copy.expireAt(this.#options.clock, ms, () => {
      if (this.#options.store.health().state !== "up") {
        // Silence deletes nothing: wait until the store can say something again.
        this.#expireIn(copy, ms);
        return;
      }
      const dropped = copy.dropRetained();
      for (const name of dropped) this.#mark(copy.kind.prefix + name);
      this.#options.log.warn("registry view drops kept state", { kind: copy.kind.prefix, count: dropped.length });
    });
  }

  #mark(key: string): void {
    if (this.#changed.size === 0) setImmediate(() => this.#tell());
    this.#changed.add(key);
  }

  #tell(): void {
    const changed = this.#changed;
    this.#changed = new Set();
    for (const listener of this.#listeners) {
      try {
        listener(changed);
      } catch (error) {
        this.#options.log.error("registry listener failed", { reason: errorText(error) });
      }
    }
  }
}
