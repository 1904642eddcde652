import { childAbort } from "../core/abort.ts";
import { backoffMs, RECONNECT } from "../core/backoff.ts";
import { type Clock, sleep } from "../core/clock.ts";
import { LEASE_TTL_MS } from "../core/defaults.ts";
import { asMeshError, errorText, hasCode, MeshError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import { DesiredState } from "./desired-state.ts";
import type { Fence, RegistryStore } from "./store.ts";

export interface RegistryWriterOptions {
  readonly store: RegistryStore;
  /** The lease of the role: `control`, `gateway`, `mirror`. */
  readonly lease: string;
  /** This process, unique also across its restarts. */
  readonly holder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** LEASE_TTL_MS without. Renewed at a third. */
  readonly ttlMs?: number;
  /**
   * Under which keys it notices what others change; all without. Where a process has many writers, that would be every
   * change for each of them. That the store lost its data is noticed in any case.
   */
  readonly observed?: string;
}

/** A term of leadership: aborted when it is over. */
interface Term {
  readonly fence: Fence;
  readonly over: AbortController;
  /** Revision up to which changes by others have been seen; undefined: read again first. */
  cursor: bigint | undefined;
}

/** No key begins with it: reading it tells the revision only. */
const NO_KEY = "\u0000";

/**
 * Elects one leader among the holders of a lease and keeps the store as its leader desires. Whoever does not lead may
 * say what it desires all the same; it is written when it leads. After a gain of the lease, and when the store lost
 * or changed data, what is stored is compared with what is desired. Leftovers are deleted only under prefixes that
 * were given as a whole.
 */
export class RegistryWriter {
  readonly #options: RegistryWriterOptions;
  readonly #ttlMs: number;
  readonly #desired = new DesiredState();
  readonly #listeners = new Set<(leading: boolean) => void>();
  readonly #tenureListeners = new Set<(tenure: boolean) => void>();
  #tenure = false;
  #term: Term | undefined;
  #wakes: (() => void)[] = [];
  #wakeDue = false;
  #waiters: { resolve: () => void; reject: (error: Error) => void }[] = [];
  #running: Promise<void> = Promise.resolve();
  #state = "";
  #over = false;
  /** From whom the lease is to be taken away, until the store has answered. */
  #from: string | undefined;
  #hurry = () => {};

  constructor(options: RegistryWriterOptions) {
    this.#options = options;
    this.#ttlMs = options.ttlMs ?? LEASE_TTL_MS;
  }

  /** Takes part in the election until `signal` aborts; then gives the lease up. */
  start(signal: AbortSignal): void {
    this.#running = this.#run(signal);
  }

  /** Resolves when, after the abort of `start`'s signal, the lease has been given up. */
  get ended(): Promise<void> {
    return this.#running;
  }

  /** Whether this process holds the lease, as far as it knows; false at the latest a TTL after the last renewal. */
  get leading(): boolean {
    return this.#term !== undefined;
  }

  /** Calls `listener` at each gain and loss. Returns what removes it. */
  onLeadership(listener: (leading: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Calls `listener` when this process becomes the one that acts, and when it is that no longer: as `onLeadership`, but
   * a leader that only cannot reach the store stays the one that acts until the store says that another leads. For work
   * that must not stop with the store, and which two may do for a moment. Returns what removes it.
   */
  onTenure(listener: (tenure: boolean) => void): () => void {
    this.#tenureListeners.add(listener);
    return () => this.#tenureListeners.delete(listener);
  }

  /** Another acts, as is known from elsewhere: unless it holds the lease, this process acts no longer. */
  yieldTenure(): void {
    if (!this.leading) this.#setTenure(false);
  }

  /**
   * Asks for the lease at once and takes it away from the holder `from`, who is known to be gone, or from ANYBODY. Once:
   * where it turns out to be held by somebody else, it stays there.
   */
  seize(from: string): void {
    if (this.leading) return;
    this.#from = from;
    this.#hurry();
  }

  /** @throws MeshError LIMIT_EXCEEDED for what no store takes */
  set(key: string, value: string): void {
    this.#desired.set(key, value);
    this.#wake();
  }

  delete(key: string): void {
    this.#desired.delete(key);
    this.#wake();
  }

  /**
   * Desires exactly `values` (by full key) under `prefix`, and owns it from now on: whatever else is stored there goes.
   * @throws MeshError LIMIT_EXCEEDED for what no store takes
   */
  replacePrefix(prefix: string, values: ReadonlyMap<string, string>): void {
    this.#desired.replacePrefix(prefix, values);
    this.#wake();
  }

  /** Resolves once all that is desired is stored by this leader. @throws MeshError ABORTED when it ends before */
  settled(): Promise<void> {
    if (this.#over) return Promise.reject(new MeshError("ABORTED", "Cannot settle: the writer ended."));
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#wake();
    });
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { store, lease, holder, clock, random, log } = this.#options;
    let attempt = 0;
    while (!signal.aborted) {
      const askedMs = clock.nowMs();
      const from = this.#from;
      try {
        const fence = await store.acquire(lease, holder, this.#ttlMs, from);
        if (this.#from === from) this.#from = undefined;
        if (fence === undefined) {
          this.#setTenure(false);
          this.#report("standby");
          attempt = 0;
          await this.#standBy((this.#ttlMs / 3) * (1 - 0.2 * random()), signal);
          continue;
        }
        const sinceMs = clock.nowMs();
        await this.#lead(fence, askedMs + this.#ttlMs, signal);
        // Lost after a while: try again at once. Lost at once: not so fast.
        if (clock.nowMs() - sinceMs > RECONNECT.maxMs) attempt = 0;
        else if (!signal.aborted) await sleep(clock, backoffMs(attempt++, RECONNECT, random), signal);
      } catch (error) {
        if (signal.aborted) break;
        this.#report(error);
        await sleep(clock, backoffMs(attempt++, RECONNECT, random), signal).catch(() => {});
      }
    }
    this.#setTenure(false);
    this.#over = true;
    for (const { reject } of this.#waiters.splice(0))
      reject(new MeshError("ABORTED", "Cannot settle: the writer ended."));
    log.debug("registry writer ended", { lease, holder });
  }

  /** Waits until the lease is worth asking for again. */
  async #standBy(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#from !== undefined) return;
    using wait = childAbort(signal);
    this.#hurry = () => wait.abort();
    await sleep(this.#options.clock, ms, wait.signal).catch(() => {});
  }

  async #lead(fence: Fence, untilMs: number, signal: AbortSignal): Promise<void> {
    const { store, log, lease, holder } = this.#options;
    if (signal.aborted) {
      await store.release(fence).catch(() => {});
      return;
    }
    using over = childAbort(signal);
    const term: Term = { fence, over, cursor: undefined };
    const onOver = () => {
      if (this.#term !== term) return;
      this.#term = undefined;
      this.#desired.distrust();
      this.#wakeNow();
      const reason = signal.aborted ? "ended" : errorText(over.signal.reason);
      log.info("registry leadership lost", { lease, holder, reason });
      this.#tell(this.#listeners, false);
      if (signal.aborted) this.#setTenure(false);
    };
    over.signal.addEventListener("abort", onOver, { once: true });
    this.#term = term;
    this.#report("works");
    log.info("registry leadership gained", { lease, holder });
    this.#tell(this.#listeners, true);
    this.#setTenure(true);
    await Promise.all([this.#renew(term, untilMs), this.#flush(term), this.#observe(term)]);
    // A successor need not wait for the TTL. Harmless where the lease is another's already.
    await store.release(fence).catch(() => {});
  }

  async #renew({ fence, over }: Term, firstUntilMs: number): Promise<void> {
    const { store, clock } = this.#options;
    const lose = (reason: string) => over.abort(new Error(reason));
    let cancel = clock.after(firstUntilMs - clock.nowMs(), () => lose("not renewed in time"));
    over.signal.addEventListener("abort", () => cancel(), { once: true });
    let waitMs = this.#ttlMs / 3;
    while (!over.signal.aborted) {
      try {
        await sleep(clock, waitMs, over.signal);
        const askedMs = clock.nowMs();
        waitMs = Math.min(1_000, this.#ttlMs / 6);
        const renewed = await store.renew(fence, this.#ttlMs);
        if (over.signal.aborted) return;
        waitMs = this.#ttlMs / 3;
        cancel();
        if (!renewed) lose("the lease is gone");
        else cancel = clock.after(askedMs + this.#ttlMs - clock.nowMs(), () => lose("not renewed in time"));
      } catch (error) {
        // The lease runs on until its TTL; try again in time.
        if (!over.signal.aborted) this.#report(error);
      }
    }
  }

  async #flush(term: Term): Promise<void> {
    const { store, clock, random } = this.#options;
    let attempt = 0;
    while (!term.over.signal.aborted) {
      try {
        if (term.cursor === undefined || this.#desired.unread.length > 0) {
          await this.#compare(term);
        } else {
          const batch = this.#desired.batch();
          if (batch.length === 0) {
            for (const { resolve } of this.#waiters.splice(0)) resolve();
            await this.#woken();
            continue;
          }
          await store.write(batch, term.fence);
          this.#desired.written(batch);
        }
        attempt = 0;
        this.#report("works");
      } catch (error) {
        if (hasCode(error, "REGISTRY_FENCED")) {
          term.over.abort(error);
          return;
        }
        this.#report(error);
        await sleep(clock, backoffMs(attempt++, RECONNECT, random), term.over.signal).catch(() => {});
      }
    }
  }

  /** Reads the owned prefixes that are due, and the revision from which on changes are to be observed. */
  async #compare(term: Term): Promise<void> {
    const { unread } = this.#desired;
    const first = term.cursor === undefined;
    for (const prefix of first && unread.length === 0 ? [NO_KEY] : unread) {
      const { entries, revision } = await this.#options.store.read(prefix);
      if (prefix !== NO_KEY) this.#desired.compare(prefix, entries);
      if (term.cursor === undefined) {
        term.cursor = revision;
        this.#wakeNow();
      }
    }
  }

  /** Notices when the store lost its data, or others changed what is ours. */
  async #observe(term: Term): Promise<void> {
    const { store, clock, random, log, lease, observed = "" } = this.#options;
    const { signal } = term.over;
    let attempt = 0;
    while (!signal.aborted) {
      if (term.cursor === undefined) {
        await this.#woken();
        continue;
      }
      try {
        for await (const { key, value, revision } of store.watch(observed, term.cursor, signal)) {
          term.cursor = revision;
          attempt = 0;
          if (this.#desired.observe(key, value)) this.#wake();
        }
      } catch (error) {
        if (hasCode(error, "REGISTRY_COMPACTED")) {
          log.info("registry compared again", { lease, reason: errorText(error) });
          this.#compareAgain(term);
        } else {
          this.#report(error);
          // The cursor may be far back, at the last change that it was told of: what is desired is sooner compared.
          if (observed !== "") this.#compareAgain(term);
        }
      }
      await sleep(clock, backoffMs(attempt++, RECONNECT, random), signal).catch(() => {});
    }
  }

  #compareAgain(term: Term): void {
    term.cursor = undefined;
    this.#desired.distrust();
    this.#wakeNow();
  }

  /** Resolves at the next wake. */
  #woken(): Promise<void> {
    return new Promise((resolve) => this.#wakes.push(resolve));
  }

  /** Once per tick, so that what is said in one tick is written together. */
  #wake(): void {
    if (this.#wakeDue) return;
    this.#wakeDue = true;
    setImmediate(() => {
      this.#wakeDue = false;
      this.#wakeNow();
    });
  }

  #wakeNow(): void {
    for (const wake of this.#wakes.splice(0)) wake();
  }

  /** Says once that the store fails, under which code, or that it works again; not at each attempt. */
  #report(state: unknown): void {
    const next = typeof state === "string" ? state : asMeshError(state, "INTERNAL", "write to the registry").code;
    if (next === this.#state) return;
    this.#state = next;
    const { log, lease, holder } = this.#options;
    if (typeof state === "string") log.info(`registry writer ${state}`, { lease, holder });
    else log.warn("registry writer waits", { lease, holder, code: next, reason: errorText(state) });
  }

  #setTenure(tenure: boolean): void {
    if (tenure === this.#tenure) return;
    this.#tenure = tenure;
    this.#tell(this.#tenureListeners, tenure);
  }

  #tell(listeners: ReadonlySet<(state: boolean) => void>, state: boolean): void {
    for (const listener of listeners) {
      try {
        listener(state);
      } catch (error) {
        this.#options.log.error("registry listener failed", { reason: errorText(error) });
      }
    }
  }
}
