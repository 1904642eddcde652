import type { Clock } from "../core/clock.ts";
import type { StateKind } from "./state.ts";

/** A view's decoded copy of one kind of state, by name (the key without the kind's prefix). */
export class KindCopy {
  readonly kind: StateKind<unknown>;
  readonly #values = new Map<string, unknown>();
  readonly #revisions = new Map<string, bigint>();
  /** By leading segments of the name, with the slash: kept up to date once asked for. */
  readonly #groups = new Map<string, Map<string, unknown>>();
  /** Names that the store lacks and that are kept until the expiry. */
  #retained = new Set<string>();
  #expiry: { atMs: number; cancel: () => void } | undefined;

  constructor(kind: StateKind<unknown>) {
    this.kind = kind;
  }

  get values(): ReadonlyMap<string, unknown> {
    return this.#values;
  }

  get retained(): number {
    return this.#retained.size;
  }

  nameOf(key: string): string {
    return key.slice(this.kind.prefix.length);
  }

  /** All values whose name begins with `segments`. */
  group(segments: readonly string[]): ReadonlyMap<string, unknown> {
    if (segments.length === 0) return this.#values;
    const prefix = `${segments.join("/")}/`;
    const known = this.#groups.get(prefix);
    if (known !== undefined) return known;
    const group = new Map<string, unknown>();
    for (const [name, value] of this.#values) if (name.startsWith(prefix)) group.set(name, value);
    // An empty group is not kept: names that never exist must not pile up.
    if (group.size > 0) this.#groups.set(prefix, group);
    return group;
  }

  /** Whether that changed anything. @throws what the kind's decode throws; the former value stays */
  set(name: string, text: string, revision: bigint): boolean {
    this.#retained.delete(name);
    if (this.#revisions.get(name) === revision) return false;
    const value = this.kind.decode(text);
    this.#values.set(name, value);
    this.#revisions.set(name, revision);
    for (const group of this.#groupsOf(name)) group.set(name, value);
    return true;
  }

  /** Whether there was such a value. */
  delete(name: string): boolean {
    this.#retained.delete(name);
    this.#revisions.delete(name);
    for (const [prefix, group] of this.#groups) {
      if (group.delete(name) && group.size === 0) this.#groups.delete(prefix);
    }
    return this.#values.delete(name);
  }

  /** Retains what is here and not among `names`; whether there is any. */
  retainMissing(names: ReadonlySet<string>): boolean {
    this.#retained = new Set([...this.#values.keys()].filter((name) => !names.has(name)));
    if (this.#retained.size === 0) this.cancelExpiry();
    return this.#retained.size > 0;
  }

  /** Deletes what is retained and returns its names. */
  dropRetained(): string[] {
    const names = [...this.#retained];
    for (const name of names) this.delete(name);
    return names;
  }

  /** Runs `expire` once in `ms`, unless it is to run sooner already. */
  expireAt(clock: Clock, ms: number, expire: () => void): void {
    const atMs = clock.nowMs() + ms;
    if (this.#expiry !== undefined && this.#expiry.atMs <= atMs) return;
    this.#expiry?.cancel();
    const cancel = clock.after(ms, () => {
      this.#expiry = undefined;
      expire();
    });
    this.#expiry = { atMs, cancel };
  }

  cancelExpiry(): void {
    this.#expiry?.cancel();
    this.#expiry = undefined;
  }

  *#groupsOf(name: string): Iterable<Map<string, unknown>> {
    if (this.#groups.size === 0) return;
    for (let slash = name.indexOf("/"); slash !== -1; slash = name.indexOf("/", slash + 1)) {
      const group = this.#groups.get(name.slice(0, slash + 1));
      if (group !== undefined) yield group;
    }
  }
}
