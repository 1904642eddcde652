import type { ApiObject } from "../object.ts";
import { expired, StatusError } from "../status.ts";
import type { Journal } from "./journal.ts";

/** A change of one object. `object` bears the change's resourceVersion, also when it is gone. */
export interface StoreEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly revision: number;
  readonly resource: string;
  readonly object: ApiObject;
  readonly previous: ApiObject | undefined;
}

interface Table {
  readonly objects: Map<string, ApiObject>;
  history: StoreEvent[];
  /** Events up to here are forgotten. */
  compacted: number;
  readonly watchers: Set<(event: StoreEvent) => void>;
}

export interface StoreOptions {
  readonly journal: Journal;
  /** Events kept per resource for watches that resume. */
  readonly historyLimit: number;
}

/** A client that asks for the future knew another state of this server. */
function tooLarge(revision: number, current: number): StatusError {
  return new StatusError(504, "Timeout", `Too large resource version: ${revision}, current: ${current}`, {
    retryAfterSeconds: 1,
    causes: [{ reason: "FieldValueInvalid", field: "resourceVersion", message: "Too large resource version" }],
  });
}

/**
 * Every object of the cluster under one rising revision, as etcd keeps them. Synchronous: a write is in the
 * journal and at every watcher when it returns. Objects in it are shared, so nobody changes them in place.
 */
export class Store {
  readonly #journal: Journal;
  readonly #historyLimit: number;
  readonly #tables = new Map<string, Table>();
  readonly #byUid = new Map<string, { resource: string; object: ApiObject }>();
  readonly #listeners = new Set<(event: StoreEvent) => void>();
  #base = 0;
  #revision = 1;

  constructor(options: StoreOptions) {
    this.#journal = options.journal;
    this.#historyLimit = options.historyLimit;
    const { baseRevision, snapshot, records } = options.journal.load();
    this.#base = baseRevision;
    this.#revision = Math.max(1, baseRevision);
    for (const { resource, object } of snapshot) {
      this.#table(resource).objects.set(keyOf(object), object);
      this.#index(resource, object);
    }
    for (const { revision, type, resource, object } of records) {
      this.#revision = Math.max(this.#revision, revision);
      if (type === "put") this.#apply(resource, object, revision);
      else this.#drop(resource, object, revision);
    }
  }

  get revision(): number {
    return this.#revision;
  }

  get(resource: string, namespace: string, name: string): ApiObject | undefined {
    return this.#tables.get(resource)?.objects.get(`${namespace}/${name}`);
  }

  /** In the order of namespace and name; all namespaces for "". */
  list(resource: string, namespace: string): ApiObject[] {
    const objects = this.#tables.get(resource)?.objects;
    if (objects === undefined) return [];
    const keys = [...objects.keys()].filter((key) => namespace === "" || key.startsWith(`${namespace}/`)).sort();
    return keys.flatMap((key) => objects.get(key) ?? []);
  }

  /** In no order; for controllers that look at all of them. */
  values(resource: string): Iterable<ApiObject> {
    return this.#tables.get(resource)?.objects.values() ?? [];
  }

  resources(): string[] {
    return [...this.#tables.keys()];
  }

  byUid(uid: string): { readonly resource: string; readonly object: ApiObject } | undefined {
    return this.#byUid.get(uid);
  }

  /** Stores `object` under a new revision and returns it as stored. The store owns it from here on. */
  put(resource: string, object: ApiObject): ApiObject {
    const revision = this.#revision + 1;
    object.metadata.resourceVersion = String(revision);
    this.#journal.append({ revision, type: "put", resource, object });
    this.#revision = revision;
    this.#publish(this.#apply(resource, object, revision));
    return object;
  }

  /** Removes an object; the event carries `last` with the revision of its end. */
  remove(resource: string, last: ApiObject): ApiObject {
    const revision = this.#revision + 1;
    const object: ApiObject = { ...last, metadata: { ...last.metadata, resourceVersion: String(revision) } };
    this.#journal.append({ revision, type: "remove", resource, object });
    this.#revision = revision;
    this.#publish(this.#drop(resource, object, revision));
    return object;
  }

  /**
   * Calls `listener` for every event of a resource after revision `after`, the missed ones before it returns.
   * @throws StatusError 410 when history no longer reaches back that far, 504 when `after` lies ahead
   */
  watch(resource: string, after: number, listener: (event: StoreEvent) => void): () => void {
    const table = this.#table(resource);
    if (after > this.#revision) throw tooLarge(after, this.#revision);
    if (after < table.compacted) throw expired(`too old resource version: ${after} (${table.compacted})`);
    for (const event of table.history) if (event.revision > after) listener(event);
    table.watchers.add(listener);
    return () => table.watchers.delete(listener);
  }

  /** @throws StatusError 504 when `revision` lies ahead */
  check(revision: number): void {
    if (revision > this.#revision) throw tooLarge(revision, this.#revision);
  }

  /** Calls `listener` for every event of every resource, from now on. */
  subscribe(listener: (event: StoreEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Compacts the journal if it is due. */
  maintain(): void {
    if (!this.#journal.due) {
      this.#journal.sync();
      return;
    }
    this.#journal.snapshot(this.#revision, this.#all());
    this.#base = this.#revision;
  }

  *#all(): Generator<{ resource: string; object: ApiObject }> {
    for (const [resource, { objects }] of this.#tables)
      for (const object of objects.values()) yield { resource, object };
  }

  #table(resource: string): Table {
    const known = this.#tables.get(resource);
    if (known !== undefined) return known;
    const table: Table = { objects: new Map(), history: [], compacted: this.#base, watchers: new Set() };
    this.#tables.set(resource, table);
    return table;
  }

  #index(resource: string, object: ApiObject): void {
    if (object.metadata.uid !== undefined) this.#byUid.set(object.metadata.uid, { resource, object });
  }

  #apply(resource: string, object: ApiObject, revision: number): StoreEvent {
    const table = this.#table(resource);
    const previous = table.objects.get(keyOf(object));
    table.objects.set(keyOf(object), object);
    this.#index(resource, object);
    return this.#remember(table, {
      type: previous === undefined ? "ADDED" : "MODIFIED",
      revision,
      resource,
      object,
      previous,
    });
  }

  #drop(resource: string, object: ApiObject, revision: number): StoreEvent {
    const table = this.#table(resource);
    const previous = table.objects.get(keyOf(object));
    table.objects.delete(keyOf(object));
    if (object.metadata.uid !== undefined) this.#byUid.delete(object.metadata.uid);
    return this.#remember(table, { type: "DELETED", revision, resource, object, previous });
  }

  #remember(table: Table, event: StoreEvent): StoreEvent {
    table.history.push(event);
    // Cut in bulk: a shift per event would copy the list each time.
    if (table.history.length > this.#historyLimit * 2) {
      const cut = table.history.length - this.#historyLimit;
      table.compacted = table.history[cut - 1]?.revision ?? table.compacted;
      table.history = table.history.slice(cut);
    }
    return event;
  }

  #publish(event: StoreEvent): void {
    for (const watcher of this.#table(event.resource).watchers) watcher(event);
    for (const listener of this.#listeners) listener(event);
  }
}

function keyOf(object: ApiObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}
