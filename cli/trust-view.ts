import { MAX_ROOTS } from "../core/trust-bundle.ts";
import { parseCertificates, rootFingerprint } from "../identity/certificate.ts";
import type { ConfigMap, Link, TrustRotation } from "../kube/resources.ts";

/** What a cluster publishes of its CA, what peers hold of it, and what changes: all from public objects. */
export interface TrustView {
  readonly trustDomain: string;
  readonly sequence: string;
  readonly roots: readonly {
    readonly fingerprint: string;
    /** signs: certificates are issued under it; next: published, not yet used; old: only for what was issued before. */
    readonly state: "signs" | "next" | "old";
    readonly notAfter: string;
  }[];
  readonly peers: readonly {
    readonly cluster: string;
    /** Newest sequence that it has acknowledged. */
    readonly acknowledged: string | null;
    readonly current: boolean;
  }[];
  readonly rotations: readonly {
    readonly name: string;
    readonly authority: string;
    readonly phase: string;
    readonly waitingFor: readonly string[];
    readonly retiresAt: string | null;
    readonly message: string;
  }[];
}

export interface TrustObjects {
  readonly published: ConfigMap;
  readonly links: readonly Link[];
  readonly rotations: readonly TrustRotation[];
}

/** @throws MeshError CERTIFICATE_INVALID where ConfigMap `causeway-trust` is broken */
export function trustView({ published, links, rotations }: TrustObjects): TrustView {
  const { trustDomain = "", sequence = "1", "root.crt": pem = "" } = published.data ?? {};
  const next = new Set(
    rotations.filter(({ status }) => isBeforeActive(status?.phase)).map(({ status }) => status?.newRoot),
  );
  const known = BigInt(/^\d{1,19}$/.test(sequence) ? sequence : "0");
  return {
    trustDomain,
    sequence,
    roots: parseCertificates(pem, MAX_ROOTS).map((root, i) => {
      const fingerprint = rootFingerprint(root.raw);
      const state = i === 0 ? "signs" : next.has(fingerprint) ? "next" : "old";
      return { fingerprint, state, notAfter: new Date(root.validTo).toISOString() };
    }),
    peers: links.map(({ spec, status }) => {
      const acknowledged = status?.acknowledgedBundle ?? null;
      return { cluster: spec.cluster, acknowledged, current: acknowledged !== null && BigInt(acknowledged) >= known };
    }),
    rotations: [...rotations].sort(byAge).map(({ metadata, spec, status = {} }) => ({
      name: metadata.name,
      authority: spec.authority,
      phase: status.phase ?? "Pending",
      waitingFor: status.waitingFor ?? [],
      retiresAt: status.retiresAt ?? null,
      message: status.message ?? "",
    })),
  };
}

function byAge(a: TrustRotation, b: TrustRotation): number {
  return (a.metadata.creationTimestamp ?? "").localeCompare(b.metadata.creationTimestamp ?? "");
}

export function isBeforeActive(phase: string | undefined): boolean {
  return phase === undefined || phase === "Prepared" || phase === "Distributed";
}

/** The newest rotation that is not over. */
export function openRotation(rotations: readonly TrustRotation[]): TrustRotation | undefined {
  return rotations.find(({ status }) => status?.phase !== "Retired" && status?.phase !== "Failed");
}
