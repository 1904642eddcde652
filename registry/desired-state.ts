import { MeshError } from "../core/errors.ts";
import { type Entry, type Mutation, mutationBytes, STORE_LIMITS } from "./store.ts";

/** What a writer wants stored, and which keys may not be so yet. Knows no store. */
export class DesiredState {
  readonly #values = new Map<string, string>();
  readonly #owned = new PrefixSet();
  readonly #dirty = new Set<string>();
  /** Owned prefixes whose stored content has not been compared yet. */
  readonly #unread = new PrefixSet();

  get unread(): readonly string[] {
    return [...this.#unread.values()];
  }

  /** @throws MeshError LIMIT_EXCEEDED for what no store takes */
  set(key: string, value: string): void {
    mutationBytes({ key, value });
    if (this.#values.get(key) === value) return;
    this.#values.set(key, value);
    this.#mark(key);
  }

  /** @throws MeshError LIMIT_EXCEEDED for a key that no store takes */
  delete(key: string): void {
    mutationBytes({ key });
    this.#values.delete(key);
    this.#mark(key);
  }

  /** @throws MeshError LIMIT_EXCEEDED; INTERNAL for a key outside the prefix; nothing is changed then */
  replacePrefix(prefix: string, values: ReadonlyMap<string, string>): void {
    for (const [key, value] of values) {
      if (!key.startsWith(prefix)) throw new MeshError("INTERNAL", `Cannot put ${key} under ${prefix}: it is outside.`);
      mutationBytes({ key, value });
    }
    if (!this.#owned.has(prefix)) {
      this.#owned.add(prefix);
      this.#unread.add(prefix);
    }
    for (const key of this.#values.keys()) if (key.startsWith(prefix) && !values.has(key)) this.delete(key);
    for (const [key, value] of values) this.set(key, value);
  }

  /** Forgets what is stored: everything is to be compared or written again. */
  distrust(): void {
    for (const prefix of this.#owned.values()) this.#unread.add(prefix);
    for (const key of this.#values.keys()) if (!this.#isOwned(key)) this.#dirty.add(key);
    for (const key of this.#dirty) if (this.#isOwned(key)) this.#dirty.delete(key);
  }

  /** Takes note of all that is stored under an owned prefix. */
  compare(prefix: string, entries: readonly Entry[]): void {
    const stored = new Set<string>();
    for (const { key, value } of entries) {
      stored.add(key);
      if (this.#values.get(key) !== value) this.#dirty.add(key);
    }
    for (const key of this.#values.keys()) if (key.startsWith(prefix) && !stored.has(key)) this.#dirty.add(key);
    this.#unread.delete(prefix);
  }

  /** Takes note that `key` is stored as `value`; whether that is not as desired. */
  observe(key: string, value: string | undefined): boolean {
    const desired = this.#values.get(key);
    if (desired === value || (desired === undefined && !this.#isOwned(key))) return false;
    this.#dirty.add(key);
    return true;
  }

  /**
   * The next mutations to write, within STORE_LIMITS. Keys outside the owned prefixes come last, so that a marker such
   * as `local/ready/<owner>` is never stored before what it speaks of.
   */
  batch(): Mutation[] {
    const mutations: Mutation[] = [];
    let bytes = 0;
    for (const owned of [true, false]) {
      for (const key of this.#dirty) {
        if (this.#isOwned(key) !== owned) continue;
        const value = this.#values.get(key);
        const mutation: Mutation = value === undefined ? { key } : { key, value };
        bytes += mutationBytes(mutation);
        if (mutations.length === STORE_LIMITS.mutations || bytes > STORE_LIMITS.writeBytes) return mutations;
        mutations.push(mutation);
      }
    }
    return mutations;
  }

  /** Takes note that `mutations` were stored; what is desired otherwise by now stays to be written. */
  written(mutations: readonly Mutation[]): void {
    for (const { key, value } of mutations) if (this.#values.get(key) === value) this.#dirty.delete(key);
  }

  /** What an owned prefix holds is compared as a whole: no need to remember its keys while that is due. */
  #mark(key: string): void {
    if (!this.#unread.covers(key)) this.#dirty.add(key);
  }

  #isOwned(key: string): boolean {
    return this.#owned.covers(key);
  }
}

/** Prefixes, looked up by their few lengths: a gateway of 256 links owns a thousand, and asks of every key. */
class PrefixSet {
  readonly #byLength = new Map<number, Set<string>>();

  has(prefix: string): boolean {
    return this.#byLength.get(prefix.length)?.has(prefix) ?? false;
  }

  add(prefix: string): void {
    const known = this.#byLength.get(prefix.length);
    if (known === undefined) this.#byLength.set(prefix.length, new Set([prefix]));
    else known.add(prefix);
  }

  delete(prefix: string): void {
    const known = this.#byLength.get(prefix.length);
    known?.delete(prefix);
    if (known?.size === 0) this.#byLength.delete(prefix.length);
  }

  *values(): Iterable<string> {
    for (const prefixes of this.#byLength.values()) yield* prefixes;
  }

  /** Whether `key` begins with one of them. */
  covers(key: string): boolean {
    for (const [length, prefixes] of this.#byLength) if (prefixes.has(key.slice(0, length))) return true;
    return false;
  }
}
