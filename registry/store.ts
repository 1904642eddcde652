import { MeshError } from "../core/errors.ts";

/** For `acquire`: from whoever holds the lease. No holder's name. */
export const ANYBODY = "*";

/** A lease held: writes carry it, and a store refuses those whose token is no longer the newest. */
export interface Fence {
  readonly lease: string;
  readonly holder: string;
  /** Rises with every change of holder. */
  readonly token: bigint;
}

export interface Entry {
  readonly key: string;
  /** JSON text. */
  readonly value: string;
  readonly revision: bigint;
}

export interface Change {
  readonly key: string;
  /** Absent: deleted. */
  readonly value?: string;
  readonly revision: bigint;
}

export type Mutation =
  | { readonly key: string; readonly value: string }
  | { readonly key: string; readonly value?: undefined };

export interface Snapshot {
  /** Revision as of which `entries` are whole. */
  readonly revision: bigint;
  readonly entries: readonly Entry[];
}

export type StoreHealth = { readonly state: "up" } | { readonly state: "degraded"; readonly reason: string };

/**
 * Live state of one cluster: keys to JSON values, with a change stream and fenced writes. Everything in it can
 * be rebuilt from Kubernetes and from peers. Adapters: memory (one process), Redis. One contract suite runs on both.
 * Every call may throw MeshError REGISTRY_UNAVAILABLE or REGISTRY_DENIED.
 */
export interface RegistryStore {
  /** All entries whose key starts with `prefix`. */
  read(prefix: string): Promise<Snapshot>;

  /**
   * Applies all mutations or none and returns the revision after them; values equal to what is stored change
   * nothing and are not reported. At most STORE_LIMITS.
   * @throws MeshError REGISTRY_FENCED when `fence` is no longer the lease's newest, LIMIT_EXCEEDED
   */
  write(mutations: readonly Mutation[], fence: Fence): Promise<bigint>;

  /**
   * Yields every change of keys under `prefix` after revision `after`, in order; ends only when `signal` aborts.
   * @throws MeshError REGISTRY_COMPACTED when the stream no longer reaches back to `after` (or the store lost
   * its data): read a snapshot and start again
   */
  watch(prefix: string, after: bigint, signal: AbortSignal): AsyncIterable<Change>;

  /**
   * Takes `lease` for `holder` if it is free, expired or already its own; undefined while another holds it. It is also
   * taken away from the holder `from`, or from ANYBODY, whose writes are refused from then on.
   */
  acquire(lease: string, holder: string, ttlMs: number, from?: string): Promise<Fence | undefined>;

  /** Extends the lease; false when it is no longer held under this token. */
  renew(fence: Fence, ttlMs: number): Promise<boolean>;

  /**
   * Gives the lease up if it is still held under this token. Of a lease of a single thing, `<role>/<which>`, nothing is
   * known afterwards; its next token is higher all the same.
   */
  release(fence: Fence): Promise<void>;

  health(): StoreHealth;

  /** Ends all watches and connections. */
  close(): Promise<void>;
}

/** A lease as the store has it. */
export interface LeaseStatus {
  readonly lease: string;
  /** Undefined: nobody holds it now. */
  readonly holder: string | undefined;
  /** The newest that was given out. */
  readonly token: bigint;
  /** What is left of it, ms; 0 where nobody holds it. */
  readonly ttlMs: number;
}

/** A server of the store as it tells of itself; zeros and "" where it does not. */
export interface StoreNode {
  readonly address: string;
  readonly role: string;
  readonly version: string;
  readonly memoryBytes: number;
  /** 0: no limit. */
  readonly maxMemoryBytes: number;
  /** Bytes by which its slowest replica is behind; 0 where it has none. */
  readonly lagBytes: number;
  readonly replicas: number;
  /** Why nothing is known of it. */
  readonly problem: string;
}

export interface StoreStatus {
  readonly mode: "memory" | "single" | "sentinel" | "cluster";
  readonly revision: bigint;
  readonly entries: number;
  /** Entries that a read by prefix cannot find, or finds without a value: 0 unless the store was tampered with. */
  readonly lost: number;
  /** Changes kept for watches to resume from. */
  readonly changes: number;
  readonly leases: readonly LeaseStatus[];
  readonly nodes: readonly StoreNode[];
}

/** What operators do with a store. */
export interface AdministeredStore extends RegistryStore {
  status(): Promise<StoreStatus>;

  /**
   * Deletes all entries and changes, not leases and tokens. Watches say COMPACTED, whereupon the holders of the leases
   * write again what they desire.
   */
  clear(): Promise<void>;
}

/** What one write may hold. */
export const STORE_LIMITS = {
  mutations: 1_000,
  keyBytes: 1_024,
  valueBytes: 1_048_576,
  /** Keys and values of one write together. */
  writeBytes: 16_777_216,
} as const;

/** Bytes of a mutation. @throws MeshError LIMIT_EXCEEDED for a key or a value that no store takes */
export function mutationBytes({ key, value }: Mutation): number {
  const keyBytes = Buffer.byteLength(key);
  const valueBytes = value === undefined ? 0 : Buffer.byteLength(value);
  if (keyBytes === 0 || keyBytes > STORE_LIMITS.keyBytes) {
    throw new MeshError(
      "LIMIT_EXCEEDED",
      `Cannot write a key of ${keyBytes} bytes: 1 to ${STORE_LIMITS.keyBytes} fit.`,
    );
  }
  if (valueBytes > STORE_LIMITS.valueBytes) {
    throw new MeshError("LIMIT_EXCEEDED", `Cannot write ${key}: ${valueBytes} bytes, ${STORE_LIMITS.valueBytes} fit.`);
  }
  return keyBytes + valueBytes;
}

/** @throws MeshError LIMIT_EXCEEDED for a write that is over STORE_LIMITS */
export function checkMutations(mutations: readonly Mutation[]): void {
  if (mutations.length > STORE_LIMITS.mutations) {
    throw new MeshError(
      "LIMIT_EXCEEDED",
      `Cannot write ${mutations.length} keys at once: ${STORE_LIMITS.mutations} fit.`,
    );
  }
  let bytes = 0;
  for (const mutation of mutations) bytes += mutationBytes(mutation);
  if (bytes > STORE_LIMITS.writeBytes) {
    throw new MeshError("LIMIT_EXCEEDED", `Cannot write ${bytes} bytes at once: ${STORE_LIMITS.writeBytes} fit.`);
  }
}
