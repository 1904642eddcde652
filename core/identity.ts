import { MeshError } from "./errors.ts";

declare const identityBrand: unique symbol;
declare const trustDomainBrand: unique symbol;

/** `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`, checked. */
export type Identity = string & { readonly [identityBrand]: true };
/** A SPIFFE trust domain, checked: `[a-z0-9._-]`, 1 to 255 bytes. */
export type TrustDomain = string & { readonly [trustDomainBrand]: true };

export interface IdentityParts {
  readonly trustDomain: TrustDomain;
  readonly namespace: string;
  readonly serviceAccount: string;
}

const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;
const SEGMENT = "[a-zA-Z0-9_-](?:[a-zA-Z0-9._-]{0,252}[a-zA-Z0-9_-])?";
const SHAPE = new RegExp(`^spiffe://([a-z0-9._-]{1,255})/ns/(${SEGMENT})/sa/(${SEGMENT})$`);

/** @throws MeshError IDENTITY_INVALID (SPIFFE-ID section 2.1) */
export function parseTrustDomain(text: string): TrustDomain {
  if (TRUST_DOMAIN.test(text)) return text as TrustDomain;
  throw new MeshError(
    "IDENTITY_INVALID",
    `Cannot parse trust domain "${text.slice(0, 80)}": want [a-z0-9._-], 1 to 255.`,
  );
}

/** @throws MeshError IDENTITY_INVALID */
export function parseIdentity(text: string): Identity {
  if (text.length <= 2048 && SHAPE.test(text)) return text as Identity;
  const shown = text.slice(0, 120);
  throw new MeshError(
    "IDENTITY_INVALID",
    `Cannot parse identity "${shown}": want spiffe://<trust domain>/ns/<ns>/sa/<sa>.`,
  );
}

/** The parts of an identity. */
export function identityParts(identity: Identity): IdentityParts {
  const match = SHAPE.exec(identity);
  if (match === null) throw new MeshError("IDENTITY_INVALID", `Cannot take "${identity}" apart.`);
  const [, trustDomain = "", namespace = "", serviceAccount = ""] = match;
  return { trustDomain: trustDomain as TrustDomain, namespace, serviceAccount };
}

/** The identity of a service account. @throws MeshError IDENTITY_INVALID */
export function identityOf(trustDomain: TrustDomain, namespace: string, serviceAccount: string): Identity {
  return parseIdentity(`spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`);
}

/** The trust domain that a cluster has by default: `<cluster>.mesh`. */
export function defaultTrustDomain(cluster: string): TrustDomain {
  return parseTrustDomain(`${cluster}.mesh`);
}
