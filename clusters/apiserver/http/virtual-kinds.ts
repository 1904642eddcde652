/** Kinds that are only answered, never stored. */
export interface VirtualKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

function virtual(group: string, kind: string, namespaced = false): VirtualKind {
  return { group, version: "v1", kind, plural: `${kind.toLowerCase()}s`, namespaced };
}

export const VIRTUAL_KINDS: readonly VirtualKind[] = [
  virtual("authentication.k8s.io", "TokenReview"),
  virtual("authentication.k8s.io", "SelfSubjectReview"),
  virtual("authorization.k8s.io", "SubjectAccessReview"),
  virtual("authorization.k8s.io", "SelfSubjectAccessReview"),
  virtual("authorization.k8s.io", "SelfSubjectRulesReview"),
  virtual("authorization.k8s.io", "LocalSubjectAccessReview", true),
];
