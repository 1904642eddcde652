import { CA_NAMESPACE } from "../../core/defaults.ts";
import { asMeshError, hasCode, MeshError } from "../../core/errors.ts";
import { createRoot, type Signer } from "../../identity/certificate.ts";
import type { KubeObject, ResourceType } from "../../kube/client.ts";
import { type Link, SECRETS, type Secret, TRUST_ROTATIONS, type TrustRotation } from "../../kube/resources.ts";
import { type AuthorityStoreOptions, issuerBelow, type LoadedAuthority } from "./authority-store.ts";
import { CA_ROOT_SECRET, CA_SECRET, type Issuer, issuerSecret, readIssuer, readRoot, rootSecret } from "./ca-secret.ts";
import { replaceIssuer } from "./issuer-renewal.ts";
import { fingerprintOf, retireAtMs, waitingFor } from "./rotation.ts";

/** In CA_NAMESPACE: the root and issuer of a rotation until they are active. */
export const CA_NEXT_SECRET = "causeway-ca-next";
/** Annotation of it: the name of the TrustRotation. */
const ROTATION = "causeway.dev/rotation";

/** What is to sign next. */
export interface NextAuthority {
  readonly issuer: Issuer;
  /** The Secret that it is kept in until it is active; absent where it is in `causeway-ca` already. */
  readonly secret?: Secret;
}

/** What was prepared for `rotation`; what was prepared for another one is thrown away. */
export async function readNext(
  options: AuthorityStoreOptions,
  rotation: TrustRotation | undefined,
): Promise<NextAuthority | undefined> {
  const { kube, trustDomain, log } = options;
  const secret = await kube.get<Secret>(SECRETS, CA_NEXT_SECRET, CA_NAMESPACE);
  if (secret === undefined) return undefined;
  const owner = secret.metadata.annotations?.[ROTATION];
  if (rotation !== undefined && owner === rotation.metadata.name)
    return { issuer: readIssuer(secret, trustDomain), secret };
  await deleteThis(options, SECRETS, secret);
  log.info("ca.next.dropped", { rotation: owner ?? "" });
  return undefined;
}

/**
 * Takes the first step of a rotation that has none yet: a new issuer at once, or a new root beside the old one. What
 * cannot be done is told in the rotation's status, and ends it.
 */
export async function prepareNext(
  options: AuthorityStoreOptions,
  rotation: TrustRotation,
  current: Issuer,
): Promise<NextAuthority | undefined> {
  const prepared = await readNext(options, rotation);
  if (prepared !== undefined || rotation.status?.phase !== undefined) return prepared;
  try {
    if (rotation.spec.authority === "Issuer") {
      await rotateIssuer(options, rotation, current);
      return undefined;
    }
    const secret = await nextSecret(options, rotation);
    const { annotations } = secret.metadata;
    secret.metadata = { ...secret.metadata, annotations: { ...annotations, [ROTATION]: rotation.metadata.name } };
    const issuer = readIssuer(secret, options.trustDomain);
    if (issuer.root.raw.equals(current.root.raw))
      throw new MeshError("CA_UNAVAILABLE", "Cannot rotate: the new root is the one in use.");
    await options.kube.create<Secret>(SECRETS, secret);
    await tell(options, rotation, {
      phase: "Prepared",
      oldRoot: fingerprintOf(current.root),
      newRoot: fingerprintOf(issuer.root),
    });
  } catch (error) {
    if (hasCode(error, "KUBE_CONFLICT")) return await readNext(options, rotation);
    if (!hasCode(error, "CA_UNAVAILABLE", "CERTIFICATE_INVALID")) throw error;
    await tell(options, rotation, { phase: "Failed", message: asMeshError(error, "CA_UNAVAILABLE", "rotate").message });
    return undefined;
  }
  return await readNext(options, rotation);
}

async function rotateIssuer(options: AuthorityStoreOptions, rotation: TrustRotation, current: Issuer): Promise<void> {
  const secret = await options.kube.get<Secret>(SECRETS, CA_SECRET, CA_NAMESPACE);
  const renewed = secret === undefined ? undefined : await replaceIssuer(options, secret, current);
  if (renewed === undefined) {
    const state = `the key of its root is not in Secret ${CA_NAMESPACE}/${CA_ROOT_SECRET}`;
    throw new MeshError("CA_UNAVAILABLE", `Cannot make a new issuer: ${state}. Replace Secret ${CA_SECRET} yourself.`);
  }
  const root = fingerprintOf(renewed.root);
  await tell(options, rotation, { phase: "Retired", oldRoot: root, newRoot: root });
}

async function nextSecret(options: AuthorityStoreOptions, { spec }: TrustRotation): Promise<Secret> {
  const { kube, trustDomain, clock } = options;
  if (spec.secretName === undefined) {
    const root = await createRoot(trustDomain, clock.wallMs());
    const made = issuerSecret(CA_NEXT_SECRET, await issuerBelow(root, options));
    return { ...made, data: { ...made.data, ...rootSecret(CA_NEXT_SECRET, root).data } };
  }
  const given = await kube.get<Secret>(SECRETS, spec.secretName, CA_NAMESPACE);
  if (given === undefined)
    throw new MeshError("CA_UNAVAILABLE", `Cannot rotate: there is no Secret ${CA_NAMESPACE}/${spec.secretName}.`);
  const issuer = readIssuer(given, trustDomain);
  const made = issuerSecret(CA_NEXT_SECRET, issuer);
  const root = rootOf(given, options);
  return root === undefined ? made : { ...made, data: { ...made.data, ...rootSecret(CA_NEXT_SECRET, root).data } };
}

/** The root's key, where the Secret has it. */
function rootOf(secret: Secret, { trustDomain }: AuthorityStoreOptions): Signer | undefined {
  return secret.data?.["root.key"] === undefined ? undefined : readRoot(secret, trustDomain);
}

/** Makes what was prepared the CA's Secrets. May be taken again after any failure on the way. */
export async function activateNext(options: AuthorityStoreOptions, { issuer, secret }: NextAuthority): Promise<void> {
  if (secret === undefined) return;
  const { kube } = options;
  const root = rootOf(secret, options);
  const oldRoot = await kube.get<Secret>(SECRETS, CA_ROOT_SECRET, CA_NAMESPACE);
  if (root !== undefined) await put(options, oldRoot, rootSecret(CA_ROOT_SECRET, root));
  // A root whose key we lack: the old one's must make no more issuers.
  else if (oldRoot !== undefined) await deleteThis(options, SECRETS, oldRoot);
  const old = await kube.get<Secret>(SECRETS, CA_SECRET, CA_NAMESPACE);
  await put(options, old, issuerSecret(CA_SECRET, issuer));
  await deleteThis(options, SECRETS, secret);
}

async function put({ kube }: AuthorityStoreOptions, old: Secret | undefined, next: Secret): Promise<void> {
  if (old === undefined) await kube.create<Secret>(SECRETS, next);
  else await kube.replace<Secret>(SECRETS, { ...next, metadata: { ...old.metadata } });
}

async function deleteThis({ kube }: AuthorityStoreOptions, type: ResourceType, object: KubeObject): Promise<void> {
  const { name, namespace, uid } = object.metadata;
  await kube.delete(type, name, namespace, uid === undefined ? {} : { uid });
}

type Status = NonNullable<TrustRotation["status"]>;

/** Writes how far `rotation` has come, as it is seen from what is published and acknowledged. */
export async function tellRotation(
  options: AuthorityStoreOptions,
  rotation: TrustRotation,
  { issuer, published }: LoadedAuthority,
  links: readonly Link[],
): Promise<void> {
  const live = await options.kube.get<TrustRotation>(TRUST_ROTATIONS, rotation.metadata.name);
  const before = live?.status ?? {};
  if (live === undefined || before.newRoot === undefined || before.phase === "Retired" || before.phase === "Failed")
    return;
  const isNew = (root: Parameters<typeof fingerprintOf>[0]) => fingerprintOf(root) === before.newRoot;
  const sequence = published.sequence.toString();
  if (isNew(issuer.root)) {
    const over = published.roots.length === 1;
    const activatedAt = new Date(published.activeSinceMs).toISOString();
    const retiresAt = new Date(retireAtMs(published)).toISOString();
    const base = { sequence, waitingFor: [], activatedAt, retiresAt };
    await tell(options, live, { ...base, phase: over ? "Retired" : "Active", message: "" });
  } else if (published.roots.some(isNew)) {
    const waiting = waitingFor(links, published.sequence).map(({ cluster }) => cluster);
    const distributedAt = new Date(published.sinceMs).toISOString();
    const message = waiting.length === 0 ? "" : `waiting for ${waiting.join(", ")} to acknowledge sequence ${sequence}`;
    await tell(options, live, { phase: "Distributed", sequence, waitingFor: waiting, distributedAt, message });
  }
}

async function tell({ kube, log }: AuthorityStoreOptions, rotation: TrustRotation, status: Status): Promise<void> {
  const { name, generation } = rotation.metadata;
  const before = rotation.status ?? {};
  const next = { ...before, ...status, ...(generation === undefined ? {} : { observedGeneration: generation }) };
  if (JSON.stringify({ ...before, ...next }) === JSON.stringify(before)) return;
  await kube.mergePatchStatus<TrustRotation>(TRUST_ROTATIONS, name, undefined, { status: next });
  if (status.phase !== before.phase) log.info("ca.rotation", { rotation: name, phase: status.phase ?? "" });
}
