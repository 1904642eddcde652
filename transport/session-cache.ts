/** Least recently used out. */
class BoundedMap<V> {
  readonly #limit: number;
  readonly #values = new Map<string, V>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: string): V | undefined {
    const value = this.#values.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  set(key: string, value: V): void {
    this.#values.delete(key);
    this.#values.set(key, value);
    const oldest = this.#values.keys().next();
    if (this.#values.size > this.#limit && oldest.done !== true) this.#values.delete(oldest.value);
  }

  delete(key: string): void {
    this.#values.delete(key);
  }
}

const SESSIONS = 1_000;
const CHAINS = 10_000;

/** What resumption needs: the clients' sessions, and the chains that a resumed session no longer carries. */
export class SessionCache {
  /** TLS session by the caller's session key. */
  readonly sessions = new BoundedMap<Buffer>(SESSIONS);
  /** DER chain by SHA-256 fingerprint of the leaf. */
  readonly chains = new BoundedMap<readonly Buffer[]>(CHAINS);
}
