import type { Clock } from "../../../core/clock.ts";
import type { Log } from "../../../core/log.ts";
import type { Kind } from "../kinds/kind.ts";
import type { Operations } from "../operations.ts";
import type { Store, StoreEvent } from "../store/store.ts";

/** What a built-in controller works with. */
export interface ControllerContext {
  readonly store: Store;
  readonly operations: Operations;
  readonly clock: Clock;
  readonly log: Log;
}

/** A level-triggered controller: events only say where to look; the work starts from what the store holds. */
export interface Controller {
  readonly name: string;
  /** The keys that an event makes worth a look. */
  readonly keysOf: (event: StoreEvent) => Iterable<string>;
  /** Keys to look at after a start. */
  readonly allKeys: () => Iterable<string>;
  /** Brings what `key` names to what it should be; throws to be called again later. */
  readonly reconcile: (key: string) => void;
}

/** `namespace/name` taken apart. */
export function splitKey(key: string): { readonly namespace: string; readonly name: string } {
  const cut = key.indexOf("/");
  return { namespace: key.slice(0, cut), name: key.slice(cut + 1) };
}

/** `namespace/name` */
export function objectKey(object: {
  readonly metadata: { readonly namespace?: string; readonly name: string };
}): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}

/** A kind that is always there. */
export function builtinKind(operations: Operations, resource: string): Kind {
  const kind = operations.catalog.byResource(resource);
  if (kind === undefined) throw new TypeError(`no such kind: ${resource}`);
  return kind;
}
