import type { X509Certificate } from "node:crypto";
import { SYSTEM_NAMESPACE, TRUST_CONFIG_MAP } from "../../core/defaults.ts";
import { asMeshError, hasCode, MeshError } from "../../core/errors.ts";
import { parseTrustDomain, type TrustDomain } from "../../core/identity.ts";
import { MAX_ROOTS, type TrustBundle } from "../../core/trust-bundle.ts";
import { parseCertificates, pemOf } from "../../identity/certificate.ts";
import { checkRoot } from "../../identity/svid-rules.ts";
import type { KubeClient } from "../../kube/client.ts";
import { apiVersionOf, CONFIG_MAPS, type ConfigMap } from "../../kube/resources.ts";

/** What ConfigMap `causeway-trust` says of this cluster: public, and what the rotation of a root goes by. */
export interface PublishedBundle {
  readonly cluster: string;
  readonly trustDomain: TrustDomain;
  /** The one that certificates are issued under comes first. */
  readonly roots: readonly X509Certificate[];
  readonly sequence: bigint;
  /** When this sequence was published, ms since 1970. */
  readonly sinceMs: number;
  /** When certificates began to be issued under the first root, ms since 1970. */
  readonly activeSinceMs: number;
  /** The longest life of any certificate issued under one of the roots, ms. */
  readonly longestLeafMs: number;
}

export function bundleOf({ cluster, trustDomain, roots, sequence }: PublishedBundle): TrustBundle {
  return { trustDomain, cluster, sequence, x509Authorities: roots.map(({ raw }) => new Uint8Array(raw)) };
}

/** @throws MeshError CA_UNAVAILABLE where somebody else wrote there */
export function readPublished({ data = {} }: ConfigMap): PublishedBundle {
  const { cluster = "", trustDomain = "", "root.crt": pem = "" } = data;
  try {
    const domain = parseTrustDomain(trustDomain);
    const roots = parseCertificates(pem, MAX_ROOTS);
    for (const root of roots) checkRoot(root, domain);
    return {
      cluster,
      trustDomain: domain,
      roots,
      sequence: readSequence(data["sequence"]),
      sinceMs: readTime(data["publishedAt"]),
      activeSinceMs: readTime(data["activeSince"]),
      longestLeafMs: Number(data["longestLeafSeconds"] ?? 0) * 1_000 || 0,
    };
  } catch (error) {
    const { message } = asMeshError(error, "CA_UNAVAILABLE", "read it");
    throw new MeshError(
      "CA_UNAVAILABLE",
      `Cannot use ConfigMap ${SYSTEM_NAMESPACE}/${TRUST_CONFIG_MAP}: ${message} It is control's own: delete it, and it is written anew.`,
      { cause: error },
    );
  }
}

function readSequence(text = "1"): bigint {
  if (!/^\d{1,19}$/.test(text)) throw new MeshError("CA_UNAVAILABLE", "its sequence is not a number.");
  return BigInt(text);
}

function readTime(text = ""): number {
  return Date.parse(text) || 0;
}

function dataOf(published: PublishedBundle): Record<string, string> {
  return {
    "root.crt": pemOf(published.roots),
    trustDomain: published.trustDomain,
    cluster: published.cluster,
    sequence: published.sequence.toString(),
    publishedAt: new Date(published.sinceMs).toISOString(),
    activeSince: new Date(published.activeSinceMs).toISOString(),
    longestLeafSeconds: String(Math.ceil(published.longestLeafMs / 1_000)),
  };
}

/** Whether both say the same to others. */
export function saysSame(a: PublishedBundle, b: PublishedBundle): boolean {
  const one = dataOf(a);
  return Object.entries(dataOf(b)).every(([key, text]) => one[key] === text);
}

/**
 * Writes `next` on top of what was read as `before`. False where that has changed meanwhile: look again.
 * @throws MeshError NOT_INSTALLED without the namespace, and what KubeClient throws
 */
export async function writePublished(
  kube: KubeClient,
  before: ConfigMap | undefined,
  next: PublishedBundle,
): Promise<boolean> {
  const metadata = { name: TRUST_CONFIG_MAP, namespace: SYSTEM_NAMESPACE };
  const data = dataOf(next);
  try {
    if (before === undefined) {
      const base = { apiVersion: apiVersionOf(CONFIG_MAPS), kind: CONFIG_MAPS.kind, metadata };
      await kube.create<ConfigMap>(CONFIG_MAPS, { ...base, data });
    } else {
      await kube.replace<ConfigMap>(CONFIG_MAPS, { ...before, data: { ...before.data, ...data } });
    }
    return true;
  } catch (error) {
    if (hasCode(error, "KUBE_CONFLICT")) return false;
    if (before === undefined && hasCode(error, "KUBE_NOT_FOUND")) throw notInstalled(SYSTEM_NAMESPACE, error);
    if (hasCode(error, "KUBE_NOT_FOUND")) return false;
    throw error;
  }
}

/** What to say where a namespace is missing. */
export function notInstalled(namespace: string, cause: unknown): MeshError {
  const message = `Cannot store the CA: namespace ${namespace} does not exist. Run mesh install.`;
  return new MeshError("NOT_INSTALLED", message, { cause });
}
