import { SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { hasCode } from "../../core/errors.ts";
import type { TrustDomain } from "../../core/identity.ts";
import type { KubeClient } from "../../kube/client.ts";
import { SECRETS, type Secret } from "../../kube/resources.ts";

/** A peer that was away for longer than this is told nothing any more, and its Link waits for a person. */
const KEEP_MS = 90 * 24 * 3_600_000;
const TYPE = "causeway.dev/unlinked";

/** A peer that this cluster has unlinked on purpose. */
interface UnlinkedPeer {
  readonly cluster: string;
  readonly trustDomain: string;
  readonly atMs: number;
}

/** Notes that `cluster` is unlinked, for when its gateway asks that could not be told. Nothing secret is in it. */
export async function noteUnlinked(kube: KubeClient, { cluster, trustDomain, atMs }: UnlinkedPeer): Promise<void> {
  const metadata = { name: `causeway-unlinked-${cluster}`, namespace: SYSTEM_NAMESPACE };
  const encode = (text: string) => Buffer.from(text).toString("base64");
  const data = { cluster: encode(cluster), trustDomain: encode(trustDomain), atMs: encode(String(atMs)) };
  try {
    await kube.create<Secret>(SECRETS, { apiVersion: "v1", kind: "Secret", metadata, type: TYPE, data });
  } catch (error) {
    if (!hasCode(error, "KUBE_CONFLICT")) throw error;
    await kube.mergePatch<Secret>(SECRETS, metadata.name, SYSTEM_NAMESPACE, { data });
  }
}

/** What noteUnlinked noted; undefined for other Secrets, and damaged ones. */
export function readUnlinked({ type, data }: Secret): UnlinkedPeer | undefined {
  if (type !== TYPE) return undefined;
  const field = (name: string) => Buffer.from(data?.[name] ?? "", "base64").toString("utf8");
  const atMs = Number(field("atMs"));
  return Number.isFinite(atMs) ? { cluster: field("cluster"), trustDomain: field("trustDomain"), atMs } : undefined;
}

/** Whether the note is of use no more: the peer is linked again, or was away for too long. */
export function isPast({ trustDomain, atMs }: UnlinkedPeer, linked: ReadonlySet<string>, wallMs: number): boolean {
  return linked.has(trustDomain) || wallMs - atMs > KEEP_MS;
}

/** The note on the peer of `trustDomain`. */
export function unlinkedPeer(secrets: Iterable<Secret>, trustDomain: TrustDomain): UnlinkedPeer | undefined {
  for (const secret of secrets) {
    const note = readUnlinked(secret);
    if (note?.trustDomain === trustDomain) return note;
  }
  return undefined;
}
