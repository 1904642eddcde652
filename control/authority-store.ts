import type { X509Certificate } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import { SYSTEM_NAMESPACE, TRUST_CONFIG_MAP } from "../core/defaults.ts";
import { asMeshError, hasCode, MeshError } from "../core/errors.ts";
import type { TrustDomain } from "../core/identity.ts";
import type { Log } from "../core/log.ts";
import {
  createIssuer,
  createRoot,
  notAfterMs,
  notBeforeMs,
  parseCertificate,
  parsePrivateKey,
  pemOf,
  rootFingerprint,
  type Signer,
} from "../identity/certificate.ts";
import type { CertificateAuthority } from "../identity/certificate-authority.ts";
import { checkRoot, checkSigner } from "../identity/svid-rules.ts";
import type { KubeClient } from "../kube/client.ts";
import { apiVersionOf, CONFIG_MAPS, type ConfigMap, SECRETS, type Secret } from "../kube/resources.ts";

/** Names in the system namespace. */
export const CA_SECRET = "causeway-ca";
export const CA_ROOT_SECRET = "causeway-ca-root";

/** An issuer is replaced when this share of its life is over. */
const RENEW_ISSUER_AT = 0.7;

export interface AuthorityStoreOptions {
  readonly kube: KubeClient;
  readonly trustDomain: TrustDomain;
  readonly cluster: string;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Loads the cluster's CA, or makes it: Secret `causeway-ca-root` (root.crt, root.key), from it Secret `causeway-ca`
 * (root.crt, issuer.crt, issuer.key), then ConfigMap `causeway-trust` (root.crt, trustDomain, cluster). Each is created,
 * never overwritten, so of several that start at once one makes it and all read the same. An issuer past 70 % of its
 * life is replaced.
 * @throws MeshError CA_UNAVAILABLE for what is broken or of another trust domain, NOT_INSTALLED without the
 * namespace, and what KubeClient throws
 */
export async function loadAuthority(options: AuthorityStoreOptions): Promise<CertificateAuthority> {
  const { trustDomain, cluster, clock } = options;
  const stored = await options.kube.get<Secret>(SECRETS, CA_SECRET, SYSTEM_NAMESPACE);
  const secret = stored === undefined ? await create(options, await newIssuerSecret(options)) : stored;
  let { root, issuer } = readIssuer(secret, trustDomain);
  const age =
    (clock.wallMs() - notBeforeMs(issuer.certificate)) /
    (notAfterMs(issuer.certificate) - notBeforeMs(issuer.certificate));
  if (age > RENEW_ISSUER_AT) ({ root, issuer } = readIssuer(await replaceIssuer(options, secret), trustDomain));
  await publish(options, root);
  const x509Authorities = [new Uint8Array(root.raw)];
  return { trustDomain, issuer, bundle: { trustDomain, cluster, sequence: 1n, x509Authorities } };
}

/** Creates `object`, or reads what another created first. */
async function create(options: AuthorityStoreOptions, object: Secret): Promise<Secret> {
  const { name } = object.metadata;
  try {
    const created = await options.kube.create<Secret>(SECRETS, object);
    options.log.info("ca.created", { name });
    return created;
  } catch (error) {
    if (hasCode(error, "KUBE_NOT_FOUND")) {
      const state = `namespace ${SYSTEM_NAMESPACE} does not exist`;
      throw new MeshError("NOT_INSTALLED", `Cannot store the CA: ${state}. Run mesh install.`, { cause: error });
    }
    if (!hasCode(error, "KUBE_CONFLICT")) throw error;
  }
  const theirs = await options.kube.get<Secret>(SECRETS, name, SYSTEM_NAMESPACE);
  if (theirs === undefined)
    throw new MeshError("CA_UNAVAILABLE", `Cannot load the CA: Secret ${name} was deleted meanwhile. Try again.`);
  return theirs;
}

async function loadRoot(options: AuthorityStoreOptions): Promise<Signer> {
  const stored = await options.kube.get<Secret>(SECRETS, CA_ROOT_SECRET, SYSTEM_NAMESPACE);
  if (stored !== undefined) return readSigner(stored, "root", options.trustDomain);
  const root = await createRoot(options.trustDomain, options.clock.wallMs());
  const data = { "root.crt": pemOf([root.certificate]), "root.key": keyPem(root) };
  return readSigner(await create(options, secretOf(CA_ROOT_SECRET, data)), "root", options.trustDomain);
}

async function newIssuerSecret(options: AuthorityStoreOptions): Promise<Secret> {
  const root = await loadRoot(options);
  const issuer = await createIssuer(options.trustDomain, root, options.clock.wallMs());
  return secretOf(CA_SECRET, {
    "root.crt": pemOf([root.certificate]),
    "issuer.crt": pemOf([issuer.certificate]),
    "issuer.key": keyPem(issuer),
  });
}

/** Replaces the issuer under the same root; of several that try, one wins and the others take its. */
async function replaceIssuer(options: AuthorityStoreOptions, old: Secret): Promise<Secret> {
  const { kube, log } = options;
  const { data } = await newIssuerSecret(options);
  try {
    const replaced = await kube.replace<Secret>(SECRETS, { ...old, ...(data === undefined ? {} : { data }) });
    log.info("ca.issuer.renewed");
    return replaced;
  } catch (error) {
    if (!hasCode(error, "KUBE_CONFLICT")) throw error;
    return (await kube.get<Secret>(SECRETS, CA_SECRET, SYSTEM_NAMESPACE)) ?? old;
  }
}

function secretOf(name: string, data: Readonly<Record<string, string>>): Secret {
  const encoded = Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]);
  const metadata = { name, namespace: SYSTEM_NAMESPACE };
  return {
    apiVersion: apiVersionOf(SECRETS),
    kind: SECRETS.kind,
    metadata,
    type: "Opaque",
    data: Object.fromEntries(encoded),
  };
}

function keyPem(signer: Signer): string {
  return signer.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}

function field(secret: Secret, key: string): string {
  const value = secret.data?.[key];
  if (value !== undefined) return Buffer.from(value, "base64").toString();
  throw unusable(secret.metadata.name, `it lacks ${key}`);
}

function readSigner(secret: Secret, role: "root" | "issuer", trustDomain: TrustDomain): Signer {
  const { name } = secret.metadata;
  try {
    const certificate = parseCertificate(field(secret, `${role}.crt`));
    const privateKey = parsePrivateKey(field(secret, `${role}.key`));
    if (!certificate.checkPrivateKey(privateKey)) throw unusable(name, `${role}.key is not the key of ${role}.crt`);
    checkSigner(certificate, trustDomain, 0);
    return { certificate, privateKey };
  } catch (error) {
    const { code, message } = asMeshError(error, "CA_UNAVAILABLE", "read the CA");
    throw code === "CA_UNAVAILABLE" ? error : unusable(name, message, error);
  }
}

function readIssuer(secret: Secret, trustDomain: TrustDomain): { root: X509Certificate; issuer: Signer } {
  const { name } = secret.metadata;
  const issuer = readSigner(secret, "issuer", trustDomain);
  let root: X509Certificate;
  try {
    root = parseCertificate(field(secret, "root.crt"));
    checkRoot(root, trustDomain);
  } catch (error) {
    throw unusable(name, asMeshError(error, "CA_UNAVAILABLE", "read the root").message, error);
  }
  if (!issuer.certificate.checkIssued(root) || !issuer.certificate.verify(root.publicKey))
    throw unusable(name, "issuer.crt is not signed by root.crt");
  return { root, issuer };
}

function unusable(name: string, what: string, cause?: unknown): MeshError {
  const message = `Cannot use the CA in Secret ${SYSTEM_NAMESPACE}/${name}: ${what}. Restore it, or delete it to make a new one.`;
  return new MeshError("CA_UNAVAILABLE", message, { cause });
}

async function publish(
  { kube, trustDomain, cluster, log }: AuthorityStoreOptions,
  root: X509Certificate,
): Promise<void> {
  const data = { "root.crt": pemOf([root]), trustDomain, cluster };
  const metadata = { name: TRUST_CONFIG_MAP, namespace: SYSTEM_NAMESPACE };
  const wanted: ConfigMap = { apiVersion: apiVersionOf(CONFIG_MAPS), kind: CONFIG_MAPS.kind, metadata, data };
  const found = await kube.get<ConfigMap>(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE);
  if (found === undefined) {
    try {
      await kube.create<ConfigMap>(CONFIG_MAPS, wanted);
    } catch (error) {
      if (!hasCode(error, "KUBE_CONFLICT")) throw error;
    }
  } else if (Object.entries(data).some(([key, text]) => found.data?.[key] !== text)) {
    await kube.mergePatch<ConfigMap>(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE, { data });
  } else {
    return;
  }
  log.info("ca.published", { fingerprint: rootFingerprint(root.raw) });
}
