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

export interface ClientSession {
  readonly session: Buffer;
  /** DER of what the server sent in the full handshake that the session comes from, leaf first. */
  readonly chain: readonly Buffer[];
}

/** What resumption needs: the sessions, and the chains, which a resumed session no longer carries. */
export class SessionCache {
  /** A client's last session, by the caller's session key. */
  readonly sessions = new BoundedMap<ClientSession>(SESSIONS);
  /** Chains of a server's clients, by SHA-256 fingerprint of the leaf. */
  readonly chains = new BoundedMap<readonly Buffer[]>(CHAINS);
}
