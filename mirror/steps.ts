import type { KubeObject, ResourceType } from "../kube/client.ts";

interface StepTarget {
  readonly type: ResourceType;
  readonly namespace: string | undefined;
  readonly name: string;
  /** May wait behind others: many of these can fall due at once. */
  readonly lazy?: boolean;
}

/** One change to make in Kubernetes. */
export type Step = StepTarget &
  (
    | { readonly action: "create" | "replace"; readonly object: KubeObject }
    | { readonly action: "delete"; readonly uid: string | undefined }
    | {
        readonly action: "edit";
        readonly part: "object" | "status";
        /** Tells this edit from another of the same object. */
        readonly what: string;
        /** The object as it should be, made from what is there now; undefined where nothing is to be done. */
        edit(current: KubeObject): KubeObject | undefined;
      }
  );

/** Names the object that a step changes, and the part of it. */
export function stepKey(step: Step): string {
  const part = step.action === "edit" ? step.part : "object";
  return `${step.type.plural}/${step.namespace ?? ""}/${step.name}/${part}`;
}

/** Equal for steps that would do the same. */
export function stepDigest(step: Step): string {
  switch (step.action) {
    case "create":
    case "replace":
      return JSON.stringify([
        step.action,
        { ...step.object, metadata: { ...step.object.metadata, resourceVersion: "" } },
      ]);
    case "delete":
      return `delete ${step.uid}`;
    case "edit":
      return `edit ${step.what}`;
    default:
      return step satisfies never;
  }
}
