import type { Clock } from "../core/clock.ts";
import { MeshError } from "../core/errors.ts";
import {
  type AdministeredStore,
  ANYBODY,
  type Change,
  checkMutations,
  type Entry,
  type Fence,
  type Mutation,
  type Snapshot,
  type StoreHealth,
  type StoreStatus,
} from "./store.ts";

export interface MemoryStoreOptions {
  readonly clock: Clock;
  /** Changes kept for watches to resume from. */
  readonly maxChanges?: number;
  /** Bytes of keys and values of the changes kept. */
  readonly maxChangeBytes?: number;
  /** Revision to count from. */
  readonly baseRevision?: bigint;
}

interface Lease {
  readonly fence: Fence;
  untilMs: number;
}

function changeBytes(change: Change): number {
  return change.key.length + (change.value?.length ?? 0);
}

/** The embedded registry: one process, nothing survives it. All roles in that process share one. */
export class MemoryStore implements AdministeredStore {
  readonly #clock: Clock;
  readonly #maxChanges: number;
  readonly #maxChangeBytes: number;
  readonly #entries = new Map<string, Entry>();
  readonly #leases = new Map<string, Lease>();
  readonly #tokens = new Map<string, bigint>();
  #lastToken = 0n;
  readonly #wakes = new Set<() => void>();
  /** Change `i` has revision `#floor + 1 + i`. */
  #changes: Change[] = [];
  #changeBytes = 0;
  #floor: bigint;
  #closed = false;

  constructor(options: MemoryStoreOptions) {
    this.#clock = options.clock;
    this.#maxChanges = options.maxChanges ?? 20_000;
    this.#maxChangeBytes = options.maxChangeBytes ?? 64 * 1024 * 1024;
    this.#floor = options.baseRevision ?? 0n;
  }

  get #revision(): bigint {
    return this.#floor + BigInt(this.#changes.length);
  }

  async read(prefix: string): Promise<Snapshot> {
    this.#check();
    const entries = [...this.#entries.values()].filter(({ key }) => key.startsWith(prefix));
    return { revision: this.#revision, entries };
  }

  async write(mutations: readonly Mutation[], fence: Fence): Promise<bigint> {
    this.#check();
    checkMutations(mutations);
    if (this.#held(fence) === undefined) {
      throw new MeshError(
        "REGISTRY_FENCED",
        `Cannot write as ${fence.holder}: the lease ${fence.lease} is not its own.`,
      );
    }
    const before = this.#revision;
    for (const { key, value } of mutations) {
      if (this.#entries.get(key)?.value === value) continue;
      const revision = this.#revision + 1n;
      if (value === undefined) this.#entries.delete(key);
      else this.#entries.set(key, { key, value, revision });
      const change: Change = value === undefined ? { key, revision } : { key, value, revision };
      this.#changes.push(change);
      this.#changeBytes += changeBytes(change);
    }
    const revision = this.#revision;
    this.#trim();
    if (revision !== before) for (const wake of this.#wakes) wake();
    return revision;
  }

  async *watch(prefix: string, after: bigint, signal: AbortSignal): AsyncGenerator<Change, void, undefined> {
    let cursor = after;
    let wake = () => {};
    const onWake = () => wake();
    signal.addEventListener("abort", onWake, { once: true });
    this.#wakes.add(onWake);
    try {
      this.#check();
      while (!signal.aborted && !this.#closed) {
        if (cursor < this.#floor || cursor > this.#revision) {
          throw new MeshError(
            "REGISTRY_COMPACTED",
            `Cannot watch after revision ${cursor}: it is not kept. Read again.`,
          );
        }
        const change = this.#changes[Number(cursor - this.#floor)];
        if (change === undefined) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        cursor = change.revision;
        if (change.key.startsWith(prefix)) yield change;
      }
    } finally {
      signal.removeEventListener("abort", onWake);
      this.#wakes.delete(onWake);
    }
  }

  async acquire(lease: string, holder: string, ttlMs: number, from?: string): Promise<Fence | undefined> {
    this.#check();
    const untilMs = this.#clock.nowMs() + ttlMs;
    const held = this.#leases.get(lease);
    if (held !== undefined && held.untilMs > this.#clock.nowMs()) {
      if (held.fence.holder === holder) {
        held.untilMs = untilMs;
        return held.fence;
      }
      if (from !== ANYBODY && from !== held.fence.holder) return undefined;
    }
    const token = ++this.#lastToken;
    this.#tokens.set(lease, token);
    const fence: Fence = { lease, holder, token };
    this.#leases.set(lease, { fence, untilMs });
    return fence;
  }

  async renew(fence: Fence, ttlMs: number): Promise<boolean> {
    this.#check();
    const held = this.#held(fence);
    if (held === undefined) return false;
    held.untilMs = this.#clock.nowMs() + ttlMs;
    return true;
  }

  async release(fence: Fence): Promise<void> {
    this.#check();
    if (this.#held(fence) === undefined) return;
    this.#leases.delete(fence.lease);
    if (fence.lease.includes("/")) this.#tokens.delete(fence.lease);
  }

  health(): StoreHealth {
    return this.#closed ? { state: "degraded", reason: "closed" } : { state: "up" };
  }

  async status(): Promise<StoreStatus> {
    this.#check();
    const leases = [...this.#tokens].map(([lease, token]) => {
      const held = this.#leases.get(lease);
      const ttlMs = held === undefined ? 0 : Math.max(0, held.untilMs - this.#clock.nowMs());
      return { lease, token, ttlMs, holder: ttlMs === 0 ? undefined : held?.fence.holder };
    });
    const counts = { entries: this.#entries.size, lost: 0, changes: this.#changes.length };
    return { mode: "memory", revision: this.#revision, ...counts, leases, nodes: [] };
  }

  async clear(): Promise<void> {
    this.#check();
    // Past all that a watch may have seen.
    this.#floor = this.#revision + 1n;
    this.#entries.clear();
    this.#changes = [];
    this.#changeBytes = 0;
    for (const wake of this.#wakes) wake();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const wake of this.#wakes) wake();
  }

  #held(fence: Fence): Lease | undefined {
    const held = this.#leases.get(fence.lease);
    if (held === undefined || held.untilMs <= this.#clock.nowMs()) return undefined;
    return held.fence.token === fence.token && held.fence.holder === fence.holder ? held : undefined;
  }

  /** A quarter goes at a time, so that trimming costs little per write. */
  #trim(): void {
    if (this.#changes.length <= this.#maxChanges && this.#changeBytes <= this.#maxChangeBytes) return;
    let drop = 0;
    let bytes = this.#changeBytes;
    const target = { count: this.#maxChanges * 0.75, bytes: this.#maxChangeBytes * 0.75 };
    for (const change of this.#changes) {
      if (this.#changes.length - drop <= target.count && bytes <= target.bytes) break;
      bytes -= changeBytes(change);
      drop++;
    }
    this.#changes = this.#changes.slice(drop);
    this.#changeBytes = bytes;
    this.#floor += BigInt(drop);
  }

  #check(): void {
    if (this.#closed) throw new MeshError("REGISTRY_UNAVAILABLE", "Cannot use the registry: it is closed.");
  }
}
