import type { StateKind } from "../registry/state.ts";

/** What the mirror reads of the registry: a local copy that outlives the store's absence. */
export interface StateReader {
  /** A whole snapshot has been seen. */
  readonly synced: boolean;
  /** Values that the store lost and that are kept for now: while there are any, absence says nothing. */
  readonly retained: number;
  get<T>(kind: StateKind<T>, ...name: string[]): T | undefined;
  /** By name without the kind's prefix; with `name`, only those below it. */
  entries<T>(kind: StateKind<T>, ...name: string[]): ReadonlyMap<string, T>;
  onChange(listener: (keys: ReadonlySet<string>) => void): () => void;
}

/** Where the mirror says what its own keys are to hold; it is stored by whichever replica holds the lease. */
export interface StateWriter {
  /** This replica holds the lease. */
  readonly leading: boolean;
  onLeadership(listener: (leading: boolean) => void): () => void;
  set(key: string, value: string): void;
  delete(key: string): void;
  replacePrefix(prefix: string, entries: ReadonlyMap<string, string>): void;
}
