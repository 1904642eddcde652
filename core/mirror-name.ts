import { createHash } from "node:crypto";
import { MeshError } from "./errors.ts";

const LABEL = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;
const CLUSTER = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** A DNS label as Kubernetes wants Service names (RFC 1035). */
export function isServiceName(text: string): boolean {
  return LABEL.test(text);
}

/** A cluster's name: an RFC 1123 label. @throws MeshError NAME_INVALID */
export function parseClusterName(text: string): string {
  if (CLUSTER.test(text)) return text;
  throw new MeshError(
    "NAME_INVALID",
    `Cannot use "${text.slice(0, 80)}" as a cluster name: want a-z, 0-9 and -, at most 63.`,
  );
}

/**
 * Name of the mirror of `service` of `cluster`: `<service>-<cluster>`, or where that is over 63 characters a
 * shortened name with 8 characters of hash. The origin is in labels and is never parsed back from the name.
 */
export function mirrorName(service: string, cluster: string): { name: string; shortened: boolean } {
  const full = `${service}-${cluster}`;
  if (full.length <= 63) return { name: full, shortened: false };
  const hash = createHash("sha256").update(`${service}\0${cluster}`).digest("hex").slice(0, 8);
  return { name: `${full.slice(0, 54).replace(/-+$/, "")}-${hash}`, shortened: true };
}
