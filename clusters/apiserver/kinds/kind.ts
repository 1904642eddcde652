import type { ApiObject } from "../object.ts";
import type { ResolveSchema, Schema } from "../schema/schema.ts";
import type { Cause, StatusError } from "../status.ts";
import type { Store } from "../store/store.ts";

/** What strategies may look at and use. */
export interface KindContext {
  readonly store: Store;
  readonly wallMs: () => number;
  /** EndpointSlices may hold loopback addresses: the one deliberate difference from a real server. */
  readonly allowLoopbackEndpoints: boolean;
  /** A free address of the service range. @throws StatusError when none is left */
  readonly allocateIp: () => string;
  /** Whether an address lies in the service range and is free. */
  readonly ipState: (ip: string) => "free" | "taken" | "outside";
}

/** A column of `kubectl get`. */
export interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  readonly format?: string;
  readonly description?: string;
  /** 0 is always shown, 1 with `-o wide`. */
  readonly priority: number;
  readonly value: (object: ApiObject, wallMs: number) => unknown;
}

/** The rules of a kind that its schema does not say. Objects are fresh copies and may be changed in place. */
export interface Strategy {
  /** Fills in defaults; also run on update. */
  readonly defaults?: (object: ApiObject) => void;
  readonly prepareCreate?: (object: ApiObject, context: KindContext) => void;
  readonly prepareUpdate?: (object: ApiObject, old: ApiObject, context: KindContext) => void;
  readonly validate?: (object: ApiObject, context: KindContext) => Cause[];
  readonly validateUpdate?: (object: ApiObject, old: ApiObject) => Cause[];
  /** Takes what only the server gives (addresses), once all else is valid. */
  readonly assign?: (object: ApiObject, context: KindContext) => Cause[];
  /** Refuses for other reasons than the object's content. */
  readonly admitCreate?: (object: ApiObject, context: KindContext) => StatusError | undefined;
  readonly admitDelete?: (object: ApiObject) => StatusError | undefined;
  /** Seconds of grace that a deletion gets; 0 removes at once. */
  readonly graceSeconds?: (object: ApiObject, asked: number | undefined) => number;
  /** Changes the object when its deletion begins. */
  readonly beginDelete?: (object: ApiObject) => void;
  /** Whether something other than finalizers still holds a deleted object. */
  readonly heldBack?: (object: ApiObject) => boolean;
}

/** How names of a kind are checked. */
export type NameRule = "subdomain" | "label" | "label1035" | "path";

/** A kind in one served version. */
export interface Kind {
  readonly group: string;
  readonly version: string;
  readonly storageVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** Key in the store: `group/plural`, the same for all versions. */
  readonly resource: string;
  readonly names: NameRule;
  readonly schema: Schema;
  readonly resolve: ResolveSchema;
  /** Built-in kinds are read as Go reads them; custom ones by their structural schema. */
  readonly custom: boolean;
  readonly statusSubresource: boolean;
  readonly scale: ScalePaths | undefined;
  /** Whether metadata.generation counts changes of what is wanted. */
  readonly generation: boolean;
  /** Whether an update may come without resourceVersion. */
  readonly unconditionalUpdate: boolean;
  /** Whether a deletion answers with the object instead of a Status. */
  readonly returnsDeleted: boolean;
  readonly verbs: readonly string[];
  /** Discovery lists these besides status and scale. */
  readonly subresources: readonly string[];
  readonly fields: ReadonlySet<string>;
  readonly columns: readonly Column[];
  readonly strategy: Strategy;
}

/** Where a kind keeps what its scale subresource shows: dotted paths, without the leading dot. */
export interface ScalePaths {
  readonly specReplicas: string;
  readonly statusReplicas: string;
  readonly labelSelector: string | undefined;
}

export const ALL_VERBS: readonly string[] = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
];

/** `v1`, or `apps/v1`. */
export function groupVersion({ group, version }: { readonly group: string; readonly version: string }): string {
  return group === "" ? version : `${group}/${version}`;
}
