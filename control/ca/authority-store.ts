import type { Clock } from "../../core/clock.ts";
import { CA_NAMESPACE, SYSTEM_NAMESPACE, TRUST_CONFIG_MAP } from "../../core/defaults.ts";
import { hasCode, MeshError } from "../../core/errors.ts";
import type { TrustDomain } from "../../core/identity.ts";
import type { Log } from "../../core/log.ts";
import { createIssuer, createRoot, LIFETIME_MS, type Signer } from "../../identity/certificate.ts";
import type { CertificateAuthority } from "../../identity/certificate-authority.ts";
import type { KubeClient } from "../../kube/client.ts";
import { CONFIG_MAPS, type ConfigMap, SECRETS, type Secret } from "../../kube/resources.ts";
import { CA_ROOT_SECRET, CA_SECRET, type Issuer, issuerSecret, readIssuer, readRoot, rootSecret } from "./ca-secret.ts";
import { bundleOf, notInstalled, type PublishedBundle, readPublished, writePublished } from "./published-bundle.ts";

export interface AuthorityStoreOptions {
  readonly kube: KubeClient;
  readonly trustDomain: TrustDomain;
  readonly cluster: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** What signs, and what is published of it. */
export interface LoadedAuthority {
  readonly issuer: Issuer;
  readonly published: PublishedBundle;
}

export function authorityOf({ issuer, published }: LoadedAuthority): CertificateAuthority {
  const { signer, chain } = issuer;
  return { trustDomain: published.trustDomain, issuer: signer, chain, bundle: bundleOf(published) };
}

/**
 * Loads the cluster's CA, or makes it: Secret `causeway-ca-root`, from it Secret `causeway-ca`, then ConfigMap
 * `causeway-trust`. Each is created, never overwritten, so of several that start at once one makes it and all read the
 * same. An issuer of the user's own is taken as it is (see readIssuer), without a root's key.
 * @throws MeshError CA_UNAVAILABLE for what is broken or of another trust domain, NOT_INSTALLED without the
 * namespaces, and what KubeClient throws
 */
export async function loadAuthority(options: AuthorityStoreOptions): Promise<LoadedAuthority> {
  const { kube, trustDomain } = options;
  await moveOld(options, CA_ROOT_SECRET);
  await moveOld(options, CA_SECRET);
  const hadRoot = (await kube.get(SECRETS, CA_ROOT_SECRET, CA_NAMESPACE)) !== undefined;
  const stored = await kube.get<Secret>(SECRETS, CA_SECRET, CA_NAMESPACE);
  const secret = stored ?? (await create(options, issuerSecret(CA_SECRET, await newIssuer(options))));
  const issuer = readIssuer(secret, trustDomain);
  return { issuer, published: await publish(options, issuer, stored === undefined && !hadRoot) };
}

/** An issuer below the root of which the key is in `causeway-ca-root`; the root is made where there is none. */
async function newIssuer(options: AuthorityStoreOptions): Promise<Issuer> {
  const { kube, trustDomain, clock } = options;
  const stored = await kube.get<Secret>(SECRETS, CA_ROOT_SECRET, CA_NAMESPACE);
  let root: Signer;
  if (stored !== undefined) root = readRoot(stored, trustDomain);
  else {
    const made = rootSecret(CA_ROOT_SECRET, await createRoot(trustDomain, clock.wallMs()));
    root = readRoot(await create(options, made), trustDomain);
  }
  return await issuerBelow(root, options);
}

/** A new issuer below `root`. */
export async function issuerBelow(
  root: Signer,
  { trustDomain, clock }: Pick<AuthorityStoreOptions, "trustDomain" | "clock">,
): Promise<Issuer> {
  const signer = await createIssuer(trustDomain, root, clock.wallMs());
  return { signer, chain: [signer.certificate], root: root.certificate };
}

/** Creates `object`, or reads what another created first. */
async function create({ kube, log }: AuthorityStoreOptions, object: Secret): Promise<Secret> {
  const { name } = object.metadata;
  try {
    const created = await kube.create<Secret>(SECRETS, object);
    log.info("ca.created", { name });
    return created;
  } catch (error) {
    if (hasCode(error, "KUBE_NOT_FOUND")) throw notInstalled(CA_NAMESPACE, error);
    if (!hasCode(error, "KUBE_CONFLICT")) throw error;
  }
  const theirs = await kube.get<Secret>(SECRETS, name, CA_NAMESPACE);
  if (theirs === undefined)
    throw new MeshError("CA_UNAVAILABLE", `Cannot load the CA: Secret ${name} was deleted meanwhile. Try again.`);
  return theirs;
}

/** Earlier versions kept the CA where the gateway could read it. */
async function moveOld({ kube, log }: AuthorityStoreOptions, name: string): Promise<void> {
  const old = await kube.get<Secret>(SECRETS, name, SYSTEM_NAMESPACE);
  if (old === undefined) return;
  const { resourceVersion: _, uid: __, namespace: ___, creationTimestamp: ____, ...metadata } = old.metadata;
  try {
    await kube.create<Secret>(SECRETS, { ...old, metadata: { ...metadata, namespace: CA_NAMESPACE } });
    log.info("ca.moved", { name, namespace: CA_NAMESPACE });
  } catch (error) {
    if (hasCode(error, "KUBE_NOT_FOUND")) throw notInstalled(CA_NAMESPACE, error);
    if (!hasCode(error, "KUBE_CONFLICT")) throw error;
  }
  await kube.delete(SECRETS, name, SYSTEM_NAMESPACE);
}

/** What is published, made where there is nothing; a root that signs and is missing there is put first. */
async function publish(options: AuthorityStoreOptions, { root }: Issuer, fresh: boolean): Promise<PublishedBundle> {
  const { kube, trustDomain, cluster, clock, log } = options;
  for (;;) {
    const stored = await kube.get<ConfigMap>(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE);
    const nowMs = clock.wallMs();
    const before = stored === undefined ? undefined : readPublished(stored);
    if (before !== undefined && before.trustDomain !== trustDomain) {
      throw new MeshError(
        "CA_UNAVAILABLE",
        `Cannot serve trust domain ${trustDomain}: ConfigMap ${SYSTEM_NAMESPACE}/${TRUST_CONFIG_MAP} is of ${before.trustDomain}. A cluster keeps its trust domain.`,
      );
    }
    const others = before?.roots.filter((known) => !known.raw.equals(root.raw)) ?? [];
    const known = before?.roots.length === others.length + 1;
    if (before !== undefined && known && before.cluster === cluster) return before;
    const next: PublishedBundle = {
      cluster,
      trustDomain,
      roots: known ? (before?.roots ?? []) : [root, ...others],
      // Where the last one is lost, one that peers have not seen yet.
      sequence: before === undefined ? (fresh ? 1n : BigInt(Math.floor(nowMs / 1_000))) : before.sequence + 1n,
      sinceMs: nowMs,
      activeSinceMs: known ? (before?.activeSinceMs ?? nowMs) : nowMs,
      longestLeafMs: before?.longestLeafMs ?? LIFETIME_MS.leaf,
    };
    if (!(await writePublished(kube, stored, next))) continue;
    if (before !== undefined && !known)
      log.error("ca.replaced", {
        reason: "the CA's Secret has another root than before: links wait for peers to take it",
      });
    log.info("ca.published", { sequence: next.sequence.toString(), roots: next.roots.length });
    return next;
  }
}
