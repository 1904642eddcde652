import { CA_NAMESPACE } from "../../core/defaults.ts";
import { hasCode } from "../../core/errors.ts";
import { notAfterMs, notBeforeMs } from "../../identity/certificate.ts";
import { SECRETS, type Secret } from "../../kube/resources.ts";
import { type AuthorityStoreOptions, issuerBelow } from "./authority-store.ts";
import { CA_ROOT_SECRET, CA_SECRET, type Issuer, issuerSecret, readIssuer, readRoot } from "./ca-secret.ts";

/** An issuer is replaced when this share of its life is over. */
const RENEW_AT = 0.7;

/**
 * Replaces an issuer that is past 70 % of its life, under the same root. Undefined where it is not due, or where the
 * root's key is not ours: then whoever has it must.
 */
export async function renewIssuer(
  options: AuthorityStoreOptions,
  secret: Secret,
  stored: Issuer,
): Promise<Issuer | undefined> {
  const { certificate } = stored.signer;
  const startMs = notBeforeMs(certificate);
  if (options.clock.wallMs() - startMs < RENEW_AT * (notAfterMs(certificate) - startMs)) return undefined;
  return await replaceIssuer(options, secret, stored);
}

/** A new issuer under the same root, stored; undefined where the root's key is not here. */
export async function replaceIssuer(
  options: AuthorityStoreOptions,
  secret: Secret,
  stored: Issuer,
): Promise<Issuer | undefined> {
  const { kube, trustDomain, log } = options;
  const rootSecret = await kube.get<Secret>(SECRETS, CA_ROOT_SECRET, CA_NAMESPACE);
  if (rootSecret === undefined) return undefined;
  const root = readRoot(rootSecret, trustDomain);
  if (!root.certificate.raw.equals(stored.root.raw)) return undefined;
  const issuer = await issuerBelow(root, options);
  const { data } = issuerSecret(CA_SECRET, issuer);
  try {
    await kube.replace<Secret>(SECRETS, { ...secret, ...(data === undefined ? {} : { data }) });
  } catch (error) {
    if (!hasCode(error, "KUBE_CONFLICT")) throw error;
    // Another replica was first: its issuer is as good.
    const theirs = await kube.get<Secret>(SECRETS, CA_SECRET, CA_NAMESPACE);
    return theirs === undefined ? undefined : readIssuer(theirs, trustDomain);
  }
  log.info("ca.issuer.renewed");
  return issuer;
}
