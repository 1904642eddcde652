import type { IncomingMessage } from "node:http";
import { forbidden, StatusError } from "../status.ts";
import type { RbacAuthorizer } from "./rbac.ts";
import { serviceAccountUser, type User } from "./tokens.ts";

/** The user that the request acts as (`kubectl --as`), if the caller may. @throws StatusError 400, 403 */
export function impersonated(request: IncomingMessage, caller: User, authorizer: RbacAuthorizer): User {
  const name = request.headers["impersonate-user"];
  const groups = request.headersDistinct["impersonate-group"] ?? [];
  if (typeof name !== "string" || name === "") {
    if (groups.length === 0) return caller;
    throw new StatusError(400, "BadRequest", "requested groups without impersonating a user");
  }
  const may = (resource: string, value: string) =>
    authorizer.allows(caller, {
      verb: "impersonate",
      group: "",
      resource,
      subresource: "",
      namespace: "",
      name: value,
      path: "",
    });
  const refuse = (resource: string, value: string) =>
    forbidden(
      { group: "", resource },
      value,
      `User "${caller.name}" cannot impersonate resource "${resource}" in API group "" at the cluster scope`,
    );
  if (!may("users", name)) throw refuse("users", name);
  for (const group of groups) if (!may("groups", group)) throw refuse("groups", group);
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
  if (account !== null && groups.length === 0) return serviceAccountUser(account[1] ?? "", account[2] ?? "", "");
  return { name, uid: "", groups: [...new Set([...groups, "system:authenticated"])], extra: {} };
}
