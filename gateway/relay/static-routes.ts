import type { RelayRoutes } from "./relay.ts";
import type { RelayRoute } from "./relay-connection.ts";

/** A table of routes that is replaced as a whole. */
export class StaticRoutes implements RelayRoutes {
  readonly #listeners = new Set<(keys: ReadonlySet<string>) => void>();
  #routes: ReadonlyMap<string, RelayRoute> = new Map();

  get size(): number {
    return this.#routes.size;
  }

  lookup(serverName: string): RelayRoute | undefined {
    return this.#routes.get(serverName);
  }

  onRemoved(removed: (keys: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(removed);
    return () => this.#listeners.delete(removed);
  }

  /** Where each server name, in lower case, leads from now on. Connections of names that lead elsewhere are cut. */
  replace(targets: ReadonlyMap<string, { readonly host: string; readonly port: number }>): void {
    const before = this.#routes;
    const next = new Map<string, RelayRoute>();
    for (const [key, { host, port }] of targets) next.set(key, { key, host, port });
    this.#routes = next;
    const gone = new Set<string>();
    for (const [key, { host, port }] of before) {
      const now = next.get(key);
      if (now?.host !== host || now.port !== port) gone.add(key);
    }
    if (gone.size > 0) for (const listener of this.#listeners) listener(gone);
  }
}
