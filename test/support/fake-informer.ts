import { aborted } from "../../core/abort.ts";
import { MeshError } from "../../core/errors.ts";
import type { Informer, InformerEvent, KubeObject, ResourceType } from "../../kube/client.ts";

interface InformerSource<T> {
  /** What the server holds; undefined while it is away. */
  list(): T[] | undefined;
  matches(changed: ResourceType, object: T): boolean;
}

/** The informer that FakeKube hands out. */
export class FakeInformer<T extends KubeObject> implements Informer<T> {
  readonly #source: InformerSource<T>;
  readonly #cache = new Map<string, T>();
  readonly #listeners = new Set<(event: InformerEvent<T>) => void>();
  #started = false;
  #stopped = false;
  #synced = false;
  #onSynced: () => void = () => {};

  constructor(source: InformerSource<T>) {
    this.#source = source;
  }

  get synced(): boolean {
    return this.#synced;
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#started = true;
    const synced = new Promise<void>((resolve) => {
      this.#onSynced = resolve;
    });
    const stopped = aborted(signal).then(() => {
      this.#stopped = true;
    });
    await Promise.resolve();
    this.relist();
    await Promise.race([synced, stopped]);
    if (!this.#synced) throw new MeshError("ABORTED", "Cannot list: cancelled.");
  }

  get(name: string, namespace?: string): T | undefined {
    return this.#cache.get(`${namespace ?? ""}/${name}`);
  }

  list(): readonly T[] {
    return [...this.#cache.values()];
  }

  onEvent(listener: (event: InformerEvent<T>) => void): () => void {
    this.#listeners.add(listener);
    for (const object of this.#cache.values()) listener({ type: "set", object });
    return () => this.#listeners.delete(listener);
  }

  /** Makes the cache equal to what the server holds now. */
  relist(): void {
    const objects = this.#started && !this.#stopped ? this.#source.list() : undefined;
    if (objects === undefined) return;
    const next = new Set(objects.map(key));
    for (const object of [...this.#cache.values()]) {
      if (!next.has(key(object))) this.#apply({ type: "delete", object });
    }
    for (const object of objects) {
      if (this.#cache.get(key(object))?.metadata.resourceVersion !== object.metadata.resourceVersion) {
        this.#apply({ type: "set", object });
      }
    }
    this.#synced = true;
    this.#onSynced();
  }

  notice(type: ResourceType, event: InformerEvent<T>): void {
    if (!this.#synced || this.#stopped) return;
    const known = this.#cache.get(key(event.object));
    if (Number(known?.metadata.resourceVersion ?? 0) >= Number(event.object.metadata.resourceVersion)) return;
    if (this.#source.matches(type, event.object)) this.#apply(event);
  }

  #apply(event: InformerEvent<T>): void {
    if (event.type === "set") this.#cache.set(key(event.object), event.object);
    else this.#cache.delete(key(event.object));
    for (const listener of this.#listeners) listener(event);
  }
}

function key(object: KubeObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}
