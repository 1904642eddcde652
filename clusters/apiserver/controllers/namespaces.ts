import { type ApiObject, equal, recordAt } from "../object.ts";
import { builtinKind, type Controller, type ControllerContext } from "./controller.ts";

const NAMESPACES = "/namespaces";
const ACCOUNTS = "/serviceaccounts";
const CONFIG_MAPS = "/configmaps";
const ROOT_CA = "kube-root-ca.crt";

/** Gives namespaces their default ServiceAccount and CA, and empties those that are being deleted. */
export function namespaceController({ store, operations }: ControllerContext, caPem: string): Controller {
  const namespaces = builtinKind(operations, NAMESPACES);
  const accounts = builtinKind(operations, ACCOUNTS);
  const maps = builtinKind(operations, CONFIG_MAPS);

  const provide = (name: string) => {
    if (store.get(ACCOUNTS, name, "default") === undefined) {
      operations.create(accounts, name, {
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { name: "default", namespace: name },
      });
    }
    const data = { "ca.crt": caPem };
    const map = store.get(CONFIG_MAPS, name, ROOT_CA);
    if (map === undefined) {
      const metadata = {
        name: ROOT_CA,
        namespace: name,
        annotations: {
          "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver.",
        },
      };
      operations.create(maps, name, { apiVersion: "v1", kind: "ConfigMap", metadata, data });
    } else if (!equal(map["data"], data)) operations.update(maps, name, ROOT_CA, { ...map, data });
  };

  const empty = (namespace: ApiObject) => {
    const { name } = namespace.metadata;
    let left = 0;
    for (const resource of store.resources()) {
      const kind = operations.catalog.byResource(resource);
      if (kind?.namespaced !== true) continue;
      for (const object of store.list(resource, name)) {
        if (object.metadata.deletionTimestamp === undefined)
          operations.delete(kind, name, object.metadata.name, { propagation: "Background" });
        if (store.get(resource, name, object.metadata.name) !== undefined) left++;
      }
    }
    if (left > 0) return; // each of them calls again when it goes
    operations.amend(namespaces, "", name, (object) => {
      const spec = { ...recordAt(object, "spec") };
      delete spec["finalizers"];
      object["spec"] = spec;
    });
  };

  return {
    name: "namespaces",
    *keysOf({ resource, object, type }) {
      if (resource === NAMESPACES) yield object.metadata.name;
      const namespace = object.metadata.namespace;
      if (namespace === undefined) return;
      const watched =
        (resource === ACCOUNTS && object.metadata.name === "default") ||
        (resource === CONFIG_MAPS && object.metadata.name === ROOT_CA);
      if (watched || type === "DELETED") yield namespace;
    },
    *allKeys() {
      for (const namespace of store.values(NAMESPACES)) yield namespace.metadata.name;
    },
    reconcile(name) {
      const namespace = store.get(NAMESPACES, "", name);
      if (namespace === undefined) return;
      if (namespace.metadata.deletionTimestamp === undefined) provide(name);
      else empty(namespace);
    },
  };
}
