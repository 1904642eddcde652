import { INSTANCES_FINALIZER } from "../kinds/custom-resource-definitions.ts";
import { textAt } from "../object.ts";
import { builtinKind, type Controller, type ControllerContext } from "./controller.ts";

const CRDS = "apiextensions.k8s.io/customresourcedefinitions";

/** Deletes the instances of a CustomResourceDefinition before it goes itself. */
export function customResourceController({ store, operations }: ControllerContext): Controller {
  const definitions = builtinKind(operations, CRDS);
  return {
    name: "customresources",
    *keysOf({ resource, object, type }) {
      if (resource === CRDS) yield object.metadata.name;
      const [group = "", plural = ""] = resource.split("/");
      if (type === "DELETED" && store.get(CRDS, "", `${plural}.${group}`) !== undefined) yield `${plural}.${group}`;
    },
    *allKeys() {
      for (const crd of store.values(CRDS)) yield crd.metadata.name;
    },
    reconcile(name) {
      const crd = store.get(CRDS, "", name);
      if (
        crd?.metadata.deletionTimestamp === undefined ||
        crd.metadata.finalizers?.includes(INSTANCES_FINALIZER) !== true
      )
        return;
      const resource = `${textAt(crd, "spec", "group")}/${textAt(crd, "spec", "names", "plural")}`;
      const kind = operations.catalog.byResource(resource);
      let left = 0;
      for (const object of store.list(resource, "")) {
        const namespace = object.metadata.namespace ?? "";
        if (kind !== undefined && object.metadata.deletionTimestamp === undefined)
          operations.delete(kind, namespace, object.metadata.name);
        if (store.get(resource, namespace, object.metadata.name) !== undefined) left++;
      }
      if (left > 0) return;
      operations.amend(definitions, "", name, (next) => {
        const finalizers = (next.metadata.finalizers ?? []).filter((one) => one !== INSTANCES_FINALIZER);
        if (finalizers.length === 0) delete next.metadata.finalizers;
        else next.metadata.finalizers = finalizers;
      });
    },
  };
}
