import type { Clock } from "../../core/clock.ts";
import { MeshError } from "../../core/errors.ts";
import { MemoryStore } from "../../registry/memory-store.ts";
import type {
  Change,
  Fence,
  Mutation,
  RegistryStore,
  Snapshot,
  StoreHealth,
  StoreStatus,
} from "../../registry/store.ts";

/** A store that can go away and lose its data. */
export class FaultyStore implements RegistryStore {
  readonly #clock: Clock;
  #inner: MemoryStore;
  #losses = 0n;
  #down = false;
  readonly #interrupts = new Set<(error: MeshError) => void>();
  /** Mutations of each write that was done. */
  readonly writes: (readonly Mutation[])[] = [];
  reads = 0;
  /** Leases that are given up stay, as those of a process that was killed do. */
  keepsLeases = false;
  /** Calls that found it down. */
  refusals = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#inner = new MemoryStore({ clock });
  }

  get down(): boolean {
    return this.#down;
  }

  set down(down: boolean) {
    this.#down = down;
    if (down) this.#interrupt(new MeshError("REGISTRY_UNAVAILABLE", "Cannot reach the registry: down."));
  }

  /** All data and leases are gone. */
  lose(): void {
    this.#losses++;
    this.#inner = new MemoryStore({ clock: this.#clock, baseRevision: this.#losses << 40n });
    this.#interrupt(new MeshError("REGISTRY_COMPACTED", "Cannot watch: lost."));
  }

  async read(prefix: string): Promise<Snapshot> {
    this.#check();
    this.reads++;
    return this.#inner.read(prefix);
  }

  async write(mutations: readonly Mutation[], fence: Fence): Promise<bigint> {
    this.#check();
    const revision = await this.#inner.write(mutations, fence);
    this.writes.push(mutations);
    return revision;
  }

  async *watch(prefix: string, after: bigint, signal: AbortSignal): AsyncGenerator<Change, void, undefined> {
    this.#check();
    const child = new AbortController();
    let failure: MeshError | undefined;
    const interrupt = (error: MeshError) => {
      failure = error;
      child.abort();
    };
    const onAbort = () => child.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    this.#interrupts.add(interrupt);
    try {
      if (signal.aborted) return;
      yield* this.#inner.watch(prefix, after, child.signal);
      if (failure !== undefined) throw failure;
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#interrupts.delete(interrupt);
    }
  }

  async acquire(lease: string, holder: string, ttlMs: number, from?: string): Promise<Fence | undefined> {
    this.#check();
    return this.#inner.acquire(lease, holder, ttlMs, from);
  }

  async renew(fence: Fence, ttlMs: number): Promise<boolean> {
    this.#check();
    return this.#inner.renew(fence, ttlMs);
  }

  async release(fence: Fence): Promise<void> {
    this.#check();
    if (this.keepsLeases) return;
    await this.#inner.release(fence);
  }

  status(): Promise<StoreStatus> {
    return this.#inner.status();
  }

  health(): StoreHealth {
    return this.#down ? { state: "degraded", reason: "down" } : { state: "up" };
  }

  async close(): Promise<void> {
    await this.#inner.close();
  }

  #interrupt(error: MeshError): void {
    for (const interrupt of this.#interrupts) interrupt(error);
  }

  #check(): void {
    if (!this.#down) return;
    this.refusals++;
    throw new MeshError("REGISTRY_UNAVAILABLE", "Cannot reach the registry: down.");
  }
}
