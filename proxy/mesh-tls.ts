import type { TLSSocket } from "node:tls";
import type { Clock } from "../core/clock.ts";
import { MeshError } from "../core/errors.ts";
import type { Identity, TrustDomain } from "../core/identity.ts";
import type { TrustBundle, TrustBundles } from "../core/trust-bundle.ts";
import { parseCertificate } from "../identity/certificate.ts";
import { peerLeaf } from "../identity/peer-chain.ts";
import { checkTime, isStillTrusted, judgePeer, type Verdict } from "../identity/peer-verification.ts";
import type { Svid, SvidSource } from "../identity/svid-source.ts";
import type { TrustStore } from "../identity/trust-store.ts";
import { clientContextOptions, serverContextOptions } from "../identity/workload-tls.ts";
import type { TlsSettings } from "../transport/transport.ts";

const MAX_VERDICTS = 4_096;

/** TLS as the data plane speaks it: one settings object per generation of SVID and trust, which transport caches by. */
export class MeshTls {
  readonly #source: SvidSource;
  readonly #trust: TrustStore;
  readonly #clock: Clock;
  readonly #verdicts = new Map<string, Verdict>();
  #server: { svid: Svid; bundles: TrustBundles; settings: TlsSettings } | undefined;
  readonly #clients = new Map<TrustDomain, { svid: Svid; bundle: TrustBundle; settings: TlsSettings }>();

  constructor(deps: { source: SvidSource; trust: TrustStore; clock: Clock }) {
    this.#source = deps.source;
    this.#trust = deps.trust;
    this.#clock = deps.clock;
  }

  /** An expired certificate is still presented: the client refuses it, and says why. */
  server(): TlsSettings {
    const { svid } = this.#source;
    const { bundles } = this.#trust;
    if (this.#server?.svid !== svid || this.#server.bundles !== bundles) {
      const settings = { ...serverContextOptions(svid, bundles), requestCert: true, rejectUnauthorized: true };
      this.#server = { svid, bundles, settings };
    }
    return this.#server.settings;
  }

  /** @throws MeshError TRUST_DOMAIN_UNKNOWN, CERTIFICATE_EXPIRED when the own SVID has expired */
  client(trustDomain: TrustDomain): TlsSettings {
    const { svid } = this.#source;
    if (this.#clock.wallMs() > svid.notAfterMs) {
      throw new MeshError(
        "CERTIFICATE_EXPIRED",
        `Cannot present ${svid.identity}: its certificate has expired. Check control and the clock.`,
      );
    }
    const bundle = this.#trust.bundles.get(trustDomain);
    if (bundle === undefined) {
      this.#clients.delete(trustDomain);
      throw new MeshError(
        "TRUST_DOMAIN_UNKNOWN",
        `Cannot connect to ${trustDomain}: no bundle is known for it. Link its cluster.`,
      );
    }
    const built = this.#clients.get(trustDomain);
    if (built !== undefined && built.svid === svid && built.bundle === bundle) return built.settings;
    const settings: TlsSettings = clientContextOptions(bundle, svid);
    this.#clients.set(trustDomain, { svid, bundle, settings });
    return settings;
  }

  /** Sessions are only resumed for the same certificate of ours. */
  sessionKey(trustDomain: TrustDomain, identity: string, servername: string): string {
    return `${this.#source.svid.chain[0]?.fingerprint256 ?? ""} ${trustDomain} ${identity} ${servername}`;
  }

  /**
   * Who is at the other end; after each handshake. `chain` is what transport saw, leaf first; a resumed session shows
   * the leaf at most, so verdicts are kept by leaf and hold while their root is believed and their time is not over.
   * @throws MeshError as judgePeer, and IDENTITY_UNEXPECTED
   */
  verify(chain: readonly Buffer[], socket: TLSSocket, expected?: Identity): Identity {
    return this.#judge(peerLeaf(socket) ?? chain[0], chain, expected);
  }

  /** The same for a peer within the process, which shows its chain, leaf first, without TLS. */
  verifyNeighbour(chain: readonly Buffer[], expected?: Identity): Identity {
    return this.#judge(chain[0], chain, expected);
  }

  /** What this side shows, leaf first, DER. */
  get chain(): readonly Buffer[] {
    return this.#source.svid.chain.map(({ raw }) => raw);
  }

  #judge(leaf: Buffer | undefined, chain: readonly Buffer[], expected: Identity | undefined): Identity {
    if (leaf === undefined) {
      throw new MeshError("CERTIFICATE_INVALID", "Cannot accept peer: it shows no certificate.");
    }
    const { bundles } = this.#trust;
    const nowMs = this.#clock.wallMs();
    const key = leaf.toString("latin1");
    let verdict = this.#verdicts.get(key);
    this.#verdicts.delete(key);
    if (verdict === undefined || !isStillTrusted(verdict, bundles)) {
      const above = chain.filter((der) => !der.equals(leaf));
      verdict = judgePeer([leaf, ...above].map(parseCertificate), bundles, nowMs);
    }
    checkTime(verdict, nowMs);
    this.#verdicts.set(key, verdict);
    const oldest = this.#verdicts.size > MAX_VERDICTS ? this.#verdicts.keys().next().value : undefined;
    if (oldest !== undefined) this.#verdicts.delete(oldest);
    if (expected !== undefined && verdict.identity !== expected) {
      throw new MeshError("IDENTITY_UNEXPECTED", `Cannot accept peer: it is ${verdict.identity}, not ${expected}.`);
    }
    return verdict.identity;
  }
}
