import { MeshError } from "../core/errors.ts";
import type { ResourceType } from "./client.ts";

/** Path of a collection: of one namespace, or of all where `namespace` is undefined or the type has none. */
export function collectionPath(type: ResourceType, namespace: string | undefined): string {
  const root = type.group === "" ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const scope = type.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  return `${root}${scope}/${type.plural}`;
}

/** Path of one object. @throws MeshError INTERNAL without the namespace that the type needs, or without a name */
export function objectPath(type: ResourceType, name: string, namespace: string | undefined): string {
  // An empty name would address, and delete, the collection.
  if (name === "" || name === "." || name === "..")
    throw new MeshError("INTERNAL", `Cannot address a ${type.kind}: name "${name}".`);
  return `${collectionPath(type, namespaceOf(type, namespace))}/${encodeURIComponent(name)}`;
}

/** Path where an object is created. @throws MeshError INTERNAL without the namespace that the type needs */
export function creationPath(type: ResourceType, namespace: string | undefined): string {
  return collectionPath(type, namespaceOf(type, namespace));
}

/** "Service shop/web", for messages. */
export function describeObject(type: ResourceType, name: string, namespace: string | undefined): string {
  return type.namespaced && namespace !== undefined ? `${type.kind} ${namespace}/${name}` : `${type.kind} ${name}`;
}

function namespaceOf(type: ResourceType, namespace: string | undefined): string | undefined {
  if (!type.namespaced || (namespace !== undefined && namespace !== "" && !/^\.{1,2}$/.test(namespace)))
    return namespace;
  throw new MeshError("INTERNAL", `Cannot address a ${type.kind}: it needs a namespace.`);
}
