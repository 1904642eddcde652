import type { Clock } from "../core/clock.ts";
import type { AdministeredStore, Change, Fence, Mutation, Snapshot, StoreHealth, StoreStatus } from "./store.ts";

/** A lease that this process holds, as far as it knows. */
interface HeldLease {
  readonly lease: string;
  readonly holder: string;
  readonly token: string;
  /** Since when, by the wall clock. */
  readonly sinceMs: number;
}

interface Held {
  readonly fence: Fence;
  readonly sinceMs: number;
  untilMs: number;
}

/** Another store, of which it can be told which leases this process holds through it and how its calls went. */
export class ObservedStore implements AdministeredStore {
  readonly #inner: AdministeredStore;
  readonly #clock: Clock;
  readonly #held = new Map<string, Held>();
  readonly #calls = { read: 0, write: 0, mutations: 0, failed: 0, compacted: 0 };

  constructor(inner: AdministeredStore, clock: Clock) {
    this.#inner = inner;
    this.#clock = clock;
  }

  /** Leases not known to be lost and not run out. */
  leases(): HeldLease[] {
    const nowMs = this.#clock.nowMs();
    return [...this.#held.values()]
      .filter(({ untilMs }) => untilMs > nowMs)
      .map(({ fence: { lease, holder, token }, sinceMs }) => ({ lease, holder, token: token.toString(), sinceMs }));
  }

  /** Prometheus text. */
  metrics(): string {
    const { read, write, mutations, failed, compacted } = this.#calls;
    const lines: string[] = [];
    const add = (name: string, type: "gauge" | "counter", help: string, samples: readonly string[]) => {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples);
    };
    add("registry_up", "gauge", "1 where the registry answers.", [
      `registry_up ${this.health().state === "up" ? 1 : 0}`,
    ]);
    const leases = this.leases();
    add("registry_lease_token", "gauge", "Fencing token of each lease that this process holds.", [
      ...leases.map(({ lease, token }) => `registry_lease_token{lease="${lease}"} ${token}`),
    ]);
    add("registry_reads_total", "counter", "Snapshots read.", [`registry_reads_total ${read}`]);
    add("registry_writes_total", "counter", "Batches written.", [`registry_writes_total ${write}`]);
    add("registry_mutations_total", "counter", "Keys in them.", [`registry_mutations_total ${mutations}`]);
    add("registry_failures_total", "counter", "Calls that failed.", [`registry_failures_total ${failed}`]);
    add("registry_watch_ends_total", "counter", "Watches that failed.", [`registry_watch_ends_total ${compacted}`]);
    return `${lines.join("\n")}\n`;
  }

  async read(prefix: string): Promise<Snapshot> {
    this.#calls.read++;
    return this.#counted(this.#inner.read(prefix));
  }

  async write(mutations: readonly Mutation[], fence: Fence): Promise<bigint> {
    this.#calls.write++;
    this.#calls.mutations += mutations.length;
    return this.#counted(this.#inner.write(mutations, fence));
  }

  async *watch(prefix: string, after: bigint, signal: AbortSignal): AsyncGenerator<Change, void, undefined> {
    try {
      yield* this.#inner.watch(prefix, after, signal);
    } catch (error) {
      this.#calls.compacted++;
      throw error;
    }
  }

  async acquire(lease: string, holder: string, ttlMs: number, from?: string): Promise<Fence | undefined> {
    const untilMs = this.#clock.nowMs() + ttlMs;
    const fence = await this.#counted(this.#inner.acquire(lease, holder, ttlMs, from));
    if (fence !== undefined) this.#held.set(lease, { fence, sinceMs: this.#clock.wallMs(), untilMs });
    return fence;
  }

  async renew(fence: Fence, ttlMs: number): Promise<boolean> {
    const untilMs = this.#clock.nowMs() + ttlMs;
    const renewed = await this.#counted(this.#inner.renew(fence, ttlMs));
    const held = this.#held.get(fence.lease);
    if (held?.fence.token === fence.token) {
      if (renewed) held.untilMs = untilMs;
      else this.#held.delete(fence.lease);
    }
    return renewed;
  }

  async release(fence: Fence): Promise<void> {
    if (this.#held.get(fence.lease)?.fence.token === fence.token) this.#held.delete(fence.lease);
    await this.#counted(this.#inner.release(fence));
  }

  health(): StoreHealth {
    return this.#inner.health();
  }

  status(): Promise<StoreStatus> {
    return this.#inner.status();
  }

  clear(): Promise<void> {
    return this.#inner.clear();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #counted<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      this.#calls.failed++;
      throw error;
    }
  }
}
