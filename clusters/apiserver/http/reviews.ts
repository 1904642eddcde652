import type { RbacAuthorizer } from "../auth/rbac.ts";
import type { ServiceAccountTokens, User } from "../auth/tokens.ts";
import { at, isRecord, type JsonObject, listAt, recordAt, textAt } from "../object.ts";
import { badRequest, methodNotAllowed } from "../status.ts";
import { readJson } from "./body.ts";
import { type Exchange, sendJson } from "./exchange.ts";
import type { VirtualKind } from "./virtual-kinds.ts";

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
}

function userInfo(user: User): JsonObject {
  return {
    username: user.name,
    ...(user.uid === "" ? {} : { uid: user.uid }),
    groups: user.groups,
    ...(Object.keys(user.extra).length === 0 ? {} : { extra: user.extra }),
  };
}

/** TokenReview and the access reviews. */
export class ReviewHandlers {
  readonly #tokens: ServiceAccountTokens;
  readonly #authorizer: RbacAuthorizer;

  constructor(tokens: ServiceAccountTokens, authorizer: RbacAuthorizer) {
    this.#tokens = tokens;
    this.#authorizer = authorizer;
  }

  /** @throws StatusError 400, 405 */
  async serve({ request, response, info, user }: Exchange, kind: VirtualKind): Promise<void> {
    if (info.verb !== "create") throw methodNotAllowed();
    const body = await readJson(request);
    const given = isRecord(body) ? body : {};
    const spec = recordAt(given, "spec");
    const status = this.#status(kind.kind, spec, user);
    const reply = {
      kind: kind.kind,
      apiVersion: `${kind.group}/${kind.version}`,
      metadata: { creationTimestamp: null },
      spec,
      status,
    };
    // A token is not sent back to who asks about it.
    if (kind.kind === "TokenReview") reply.spec = { ...spec, token: "" };
    sendJson(response, 201, reply);
  }

  #status(kind: string, spec: JsonObject, user: User): JsonObject {
    switch (kind) {
      case "TokenReview":
        return this.#reviewToken(spec);
      case "SelfSubjectReview":
        return { userInfo: userInfo(user) };
      case "SelfSubjectAccessReview":
        return this.#access(user, spec);
      case "SelfSubjectRulesReview": {
        const rules = user.groups.includes("system:masters")
          ? [
              { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
              { verbs: ["*"], nonResourceURLs: ["*"] },
            ]
          : this.#authorizer.rulesOf(user, textAt(spec, "namespace"));
        return {
          resourceRules: rules.filter((rule) => listAt(rule, "nonResourceURLs").length === 0),
          nonResourceRules: rules.filter((rule) => listAt(rule, "nonResourceURLs").length > 0),
          incomplete: false,
        };
      }
      default: {
        const subject = {
          name: textAt(spec, "user"),
          uid: textAt(spec, "uid"),
          groups: strings(spec["groups"]),
          extra: {},
        };
        if (subject.name === "" && subject.groups.length === 0)
          throw badRequest("spec.user: Invalid value: at least one of user or group must be specified");
        return this.#access(subject, spec);
      }
    }
  }

  #reviewToken(spec: JsonObject): JsonObject {
    const asked = strings(spec["audiences"]);
    const audiences = asked.length === 0 ? [this.#tokens.issuer] : asked;
    const checked = this.#tokens.check(textAt(spec, "token"), audiences);
    if (typeof checked === "string")
      return { authenticated: false, user: {}, error: `[invalid bearer token, ${checked}]` };
    return { authenticated: true, user: userInfo(checked.user), audiences: checked.audiences };
  }

  #access(user: User, spec: JsonObject): JsonObject {
    const resource = at(spec, "resourceAttributes");
    const path = textAt(spec, "nonResourceAttributes", "path");
    const allowed = isRecord(resource)
      ? this.#authorizer.allows(user, {
          verb: textAt(resource, "verb"),
          group: textAt(resource, "group"),
          resource: textAt(resource, "resource"),
          subresource: textAt(resource, "subresource"),
          namespace: textAt(resource, "namespace"),
          name: textAt(resource, "name"),
          path: "",
        })
      : this.#authorizer.allows(user, {
          verb: textAt(spec, "nonResourceAttributes", "verb"),
          path: path || "/",
          group: "",
          resource: "",
          subresource: "",
          namespace: "",
          name: "",
        });
    return { allowed };
  }
}
