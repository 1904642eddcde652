import type { StateKind } from "../../registry/state.ts";

/** The registry as the gateway reads it: a local copy that outlives the store's absence. */
export interface StateView {
  /** A whole snapshot has been seen. */
  readonly synced: boolean;
  get<T>(kind: StateKind<T>, ...name: string[]): T | undefined;
  /** By name without the kind's prefix; with `name`, only those below it. */
  entries<T>(kind: StateKind<T>, ...name: string[]): ReadonlyMap<string, T>;
  /** Called with the keys that changed, after the copy has them. */
  onChange(listener: (keys: ReadonlySet<string>) => void): () => void;
}
