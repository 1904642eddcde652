import { type ApiObject, isRecord, listAt, textAt } from "../object.ts";
import type { Store } from "../store/store.ts";
import type { User } from "./tokens.ts";

/** What a request wants to do: on a resource, or on a path outside the API groups. */
export interface Action {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** Set for requests that are not for a resource. */
  readonly path: string;
}

const RBAC = "rbac.authorization.k8s.io";

function names(subject: unknown, user: User, bindingNamespace: string): boolean {
  const name = textAt(subject, "name");
  switch (textAt(subject, "kind")) {
    case "User":
      return name === user.name;
    case "Group":
      return user.groups.includes(name);
    case "ServiceAccount":
      return user.name === `system:serviceaccount:${textAt(subject, "namespace") || bindingNamespace}:${name}`;
    default:
      return false;
  }
}

function has(rule: unknown, field: string, value: string): boolean {
  const list = listAt(rule, field);
  return list.includes("*") || list.includes(value);
}

function pathMatches(pattern: unknown, path: string): boolean {
  if (typeof pattern !== "string") return false;
  return pattern === "*" || pattern === path || (pattern.endsWith("*") && path.startsWith(pattern.slice(0, -1)));
}

function allows(rule: unknown, action: Action): boolean {
  if (!has(rule, "verbs", action.verb)) return false;
  if (action.path !== "") return listAt(rule, "nonResourceURLs").some((pattern) => pathMatches(pattern, action.path));
  if (!has(rule, "apiGroups", action.group)) return false;
  const resources = listAt(rule, "resources");
  const wanted = action.subresource === "" ? action.resource : `${action.resource}/${action.subresource}`;
  const fits =
    resources.includes("*") ||
    resources.includes(wanted) ||
    (action.subresource !== "" && resources.includes(`*/${action.subresource}`));
  if (!fits) return false;
  const only = listAt(rule, "resourceNames");
  return only.length === 0 || only.includes(action.name);
}

/** RBAC over the roles and bindings in the store: what nothing allows is denied; `system:masters` may do all. */
export class RbacAuthorizer {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  allows(user: User, action: Action): boolean {
    if (user.groups.includes("system:masters")) return true;
    for (const rules of this.#rules(user, action.namespace))
      if (rules.some((rule) => allows(rule, action))) return true;
    return false;
  }

  /** Every rule that applies to `user` in a namespace ("" for none). */
  rulesOf(user: User, namespace: string): unknown[] {
    return [...this.#rules(user, namespace)].flat();
  }

  *#rules(user: User, namespace: string): Generator<unknown[]> {
    for (const binding of this.#store.values(`${RBAC}/clusterrolebindings`)) {
      if (this.#binds(binding, user, "")) yield this.#roleRules(binding, "");
    }
    if (namespace === "") return;
    for (const binding of this.#store.values(`${RBAC}/rolebindings`)) {
      if (binding.metadata.namespace === namespace && this.#binds(binding, user, namespace))
        yield this.#roleRules(binding, namespace);
    }
  }

  #binds(binding: ApiObject, user: User, namespace: string): boolean {
    return listAt(binding, "subjects").some((subject) => isRecord(subject) && names(subject, user, namespace));
  }

  #roleRules(binding: ApiObject, namespace: string): unknown[] {
    const name = textAt(binding, "roleRef", "name");
    const role =
      textAt(binding, "roleRef", "kind") === "ClusterRole"
        ? this.#store.get(`${RBAC}/clusterroles`, "", name)
        : this.#store.get(`${RBAC}/roles`, namespace, name);
    return listAt(role, "rules");
  }
}
