import type { ApiObject } from "../object.ts";
import type { Store, StoreEvent } from "../store/store.ts";
import { BUILTIN_KINDS } from "./builtin-kinds.ts";
import { customKinds } from "./custom-resource-definitions.ts";
import type { Kind } from "./kind.ts";

const CRDS = "apiextensions.k8s.io/customresourcedefinitions";

/** Which kinds are served now: the built-in ones and those of CustomResourceDefinitions in the store. */
export class Catalog {
  readonly #byPath = new Map<string, Kind>();
  #custom = new Map<string, Kind[]>();
  /** Rises with every change; for ETags of discovery. */
  generation = 0;

  constructor(store: Store) {
    for (const kind of BUILTIN_KINDS) this.#byPath.set(pathOf(kind), kind);
    for (const crd of store.values(CRDS)) this.#set(crd);
    store.subscribe((event: StoreEvent) => {
      if (event.resource !== CRDS) return;
      if (event.type === "DELETED") this.#unset(event.object.metadata.name);
      else this.#set(event.object);
    });
  }

  /** The kind at `/apis/<group>/<version>/<plural>`. */
  find(group: string, version: string, plural: string): Kind | undefined {
    return this.#byPath.get(`${group}/${version}/${plural}`);
  }

  /** A served version of what is stored under `resource`; the storage version where that is served. */
  byResource(resource: string): Kind | undefined {
    let found: Kind | undefined;
    for (const kind of this.#byPath.values()) {
      if (kind.resource !== resource) continue;
      if (kind.version === kind.storageVersion) return kind;
      found ??= kind;
    }
    return found;
  }

  all(): Kind[] {
    return [...this.#byPath.values()];
  }

  #set(crd: ApiObject): void {
    this.#unset(crd.metadata.name);
    const kinds = customKinds(crd);
    this.#custom.set(crd.metadata.name, kinds);
    for (const kind of kinds) if (!this.#byPath.has(pathOf(kind))) this.#byPath.set(pathOf(kind), kind);
  }

  #unset(name: string): void {
    this.generation++;
    for (const kind of this.#custom.get(name) ?? []) {
      if (this.#byPath.get(pathOf(kind)) === kind) this.#byPath.delete(pathOf(kind));
    }
    this.#custom.delete(name);
  }
}

function pathOf({ group, version, plural }: Kind): string {
  return `${group}/${version}/${plural}`;
}
