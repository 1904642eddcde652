import { SYSTEM_NAMESPACE, TRUST_CONFIG_MAP } from "../core/defaults.ts";
import { parseTrustDomain, type TrustDomain } from "../core/identity.ts";
import type { KubeClient } from "./client.ts";
import { CONFIG_MAPS, type ConfigMap } from "./resources.ts";

/** What control says of its cluster to whoever may read it, in ConfigMap `causeway-trust`. */
export interface PublishedTrust {
  readonly cluster: string;
  readonly trustDomain: TrustDomain;
  /** PEM of the root. */
  readonly rootPem: string;
}

/**
 * What control has published; undefined where it has not yet. @throws MeshError IDENTITY_INVALID where somebody else
 * wrote there, and what KubeClient throws
 */
export async function readPublishedTrust(kube: KubeClient): Promise<PublishedTrust | undefined> {
  const found = await kube.get<ConfigMap>(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE);
  const { cluster, trustDomain, "root.crt": rootPem } = found?.data ?? {};
  if (cluster === undefined || trustDomain === undefined || rootPem === undefined) return undefined;
  return { cluster, trustDomain: parseTrustDomain(trustDomain), rootPem };
}
