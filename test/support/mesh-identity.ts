import type { Clock } from "../../core/clock.ts";
import { defaultTrustDomain, type Identity, identityOf } from "../../core/identity.ts";
import { silentLog } from "../../core/log.ts";
import { seededRandom } from "../../core/random.ts";
import type { TrustBundle } from "../../core/trust-bundle.ts";
import { createIssuer, createRoot, type Signer } from "../../identity/certificate.ts";
import { type CertificateAuthority, certifyLocally } from "../../identity/certificate-authority.ts";
import { type SvidSource, startSvidSource } from "../../identity/svid-source.ts";
import { TrustStore } from "../../identity/trust-store.ts";
import { WorkloadTls } from "../../identity/workload-tls.ts";

export interface TestMesh {
  readonly root: Signer;
  readonly authority: CertificateAuthority;
  /** `spiffe://<cluster>.mesh/ns/<namespace>/sa/<serviceAccount>` */
  identity(namespace: string, serviceAccount: string): Identity;
  /** A workload of this cluster that also believes `peers`; its renewals end with `signal`. */
  workload(identity: Identity, peers: readonly TrustBundle[], clock: Clock, signal: AbortSignal): Promise<TestWorkload>;
}

export interface TestWorkload {
  readonly identity: Identity;
  readonly source: SvidSource;
  readonly trust: TrustStore;
  readonly tls: WorkloadTls;
}

/** The CA of a cluster in memory, with real certificates. */
export async function createTestMesh(cluster: string, nowMs: number): Promise<TestMesh> {
  const trustDomain = defaultTrustDomain(cluster);
  const root = await createRoot(trustDomain, nowMs);
  const issuer = await createIssuer(trustDomain, root, nowMs);
  const x509Authorities = [new Uint8Array(root.certificate.raw)];
  const chain = [issuer.certificate];
  const authority = { trustDomain, issuer, chain, bundle: { trustDomain, cluster, sequence: 1n, x509Authorities } };
  return {
    root,
    authority,
    identity: (namespace, serviceAccount) => identityOf(trustDomain, namespace, serviceAccount),
    async workload(identity, peers, clock, signal) {
      const trust = new TrustStore([authority.bundle, ...peers]);
      const certify = certifyLocally(() => authority, clock);
      const options = { identity, certify, trust, clock, random: seededRandom(1), log: silentLog };
      const source = await startSvidSource(options, signal);
      return { identity, source, trust, tls: new WorkloadTls({ source, trust, clock }) };
    },
  };
}
