import { createHash, createPublicKey, type KeyObject, randomUUID, sign, timingSafeEqual, verify } from "node:crypto";
import { isRecord, type JsonObject, textAt } from "../object.ts";
import type { Store } from "../store/store.ts";

/** Who a request comes from. */
export interface User {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export interface TokenCheck {
  readonly user: User;
  readonly audiences: readonly string[];
}

export interface BoundObject {
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

interface MintRequest {
  readonly namespace: string;
  readonly account: string;
  readonly accountUid: string;
  readonly audiences: readonly string[];
  readonly ttlSeconds: number;
  readonly pod?: BoundObject;
}

interface Claims {
  iss: string;
  sub: string;
  aud: string[];
  iat: number;
  nbf: number;
  exp: number;
  jti: string;
  "kubernetes.io": {
    namespace: string;
    serviceaccount: { name: string; uid: string };
    pod?: { name: string; uid: string };
  };
}

const MAX_TOKEN_BYTES = 16 * 1024;

function base64url(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** The user that a ServiceAccount acts as. */
export function serviceAccountUser(namespace: string, account: string, uid: string): User {
  return {
    name: `system:serviceaccount:${namespace}:${account}`,
    uid,
    groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
    extra: {},
  };
}

/** Signs and checks the JWTs (ES256) of ServiceAccounts; a token dies with its account, and with its pod if bound. */
export class ServiceAccountTokens {
  readonly #key: KeyObject;
  readonly #public: KeyObject;
  readonly #keyId: string;
  readonly #store: Store;
  readonly #wallMs: () => number;
  readonly issuer: string;

  constructor(options: { key: KeyObject; issuer: string; store: Store; wallMs: () => number }) {
    this.#key = options.key;
    this.#public = createPublicKey(options.key);
    this.#keyId = createHash("sha256")
      .update(this.#public.export({ type: "spki", format: "der" }))
      .digest("base64url");
    this.#store = options.store;
    this.#wallMs = options.wallMs;
    this.issuer = options.issuer;
  }

  mint(request: MintRequest): { readonly token: string; readonly expiresMs: number } {
    const now = Math.floor(this.#wallMs() / 1000);
    const claims: Claims = {
      iss: this.issuer,
      sub: `system:serviceaccount:${request.namespace}:${request.account}`,
      aud: [...request.audiences],
      iat: now,
      nbf: now,
      exp: now + request.ttlSeconds,
      jti: randomUUID(),
      "kubernetes.io": {
        namespace: request.namespace,
        serviceaccount: { name: request.account, uid: request.accountUid },
        ...(request.pod === undefined ? {} : { pod: { name: request.pod.name, uid: request.pod.uid } }),
      },
    };
    const body = `${base64url({ alg: "ES256", kid: this.#keyId, typ: "JWT" })}.${base64url(claims)}`;
    const signature = sign("sha256", Buffer.from(body), { key: this.#key, dsaEncoding: "ieee-p1363" });
    return { token: `${body}.${signature.toString("base64url")}`, expiresMs: claims.exp * 1000 };
  }

  /** The account of a token that is valid for one of `audiences`; a reason otherwise. */
  check(token: string, audiences: readonly string[]): TokenCheck | string {
    if (token.length > MAX_TOKEN_BYTES) return "token is too long";
    const [head = "", body = "", signature = "", ...rest] = token.split(".");
    if (rest.length > 0 || signature === "") return "token is not a JWT";
    const header = decode(head);
    if (textAt(header, "alg") !== "ES256" || textAt(header, "kid") !== this.#keyId)
      return "token was not signed by this cluster";
    const bytes = Buffer.from(signature, "base64url");
    if (!verify("sha256", Buffer.from(`${head}.${body}`), { key: this.#public, dsaEncoding: "ieee-p1363" }, bytes))
      return "signature is invalid";
    const claims = decode(body) as Claims | undefined;
    if (claims === undefined) return "claims cannot be read";
    return this.#checkClaims(claims, audiences);
  }

  #checkClaims(claims: Claims, audiences: readonly string[]): TokenCheck | string {
    const now = this.#wallMs() / 1000;
    if (claims.iss !== this.issuer) return "issuer is another";
    if (claims.exp <= now) return "token has expired";
    if (claims.nbf > now + 5) return "token is not valid yet";
    const common = claims.aud.filter((one) => audiences.includes(one));
    if (common.length === 0)
      return `token audiences ${JSON.stringify(claims.aud)} is invalid for the target audiences ${JSON.stringify(audiences)}`;
    const { namespace, serviceaccount, pod } = claims["kubernetes.io"];
    const account = this.#store.get("/serviceaccounts", namespace, serviceaccount.name);
    if (account === undefined || account.metadata.uid !== serviceaccount.uid) return "service account has been deleted";
    if (pod !== undefined && this.#store.get("/pods", namespace, pod.name)?.metadata.uid !== pod.uid)
      return "pod has been deleted";
    const user = serviceAccountUser(namespace, serviceaccount.name, serviceaccount.uid);
    const extra: Record<string, string[]> = { "authentication.kubernetes.io/credential-id": [`JTI=${claims.jti}`] };
    if (pod !== undefined) {
      extra["authentication.kubernetes.io/pod-name"] = [pod.name];
      extra["authentication.kubernetes.io/pod-uid"] = [pod.uid];
    }
    return { user: { ...user, extra }, audiences: common };
  }
}

function decode(part: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Equality that takes the same time wherever the difference is. */
export function sameSecret(a: string, b: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
