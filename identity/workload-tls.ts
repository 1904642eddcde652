import { createHash, type X509Certificate } from "node:crypto";
import type { PeerCertificate, SecureContextOptions, TLSSocket, TlsOptions } from "node:tls";
import type { Clock } from "../core/clock.ts";
import { asMeshError, MeshError } from "../core/errors.ts";
import type { Identity, TrustDomain } from "../core/identity.ts";
import type { TrustBundle, TrustBundles } from "../core/trust-bundle.ts";
import { parseCertificate, pemOf } from "./certificate.ts";
import { chainFrom, peerChain, peerLeaf } from "./peer-chain.ts";
import { checkTime, isStillTrusted, judgePeer, type Verdict } from "./peer-verification.ts";
import { trustDomainOf } from "./svid-rules.ts";
import type { Svid, SvidSource } from "./svid-source.ts";
import type { TrustStore } from "./trust-store.ts";

/** Who must be at the other end: one identity, or a rule. */
export type ExpectedPeer = Identity | ((identity: Identity) => boolean);

/** AES-128 first: as safe here as AES-256, for a third fewer rounds. The client's order counts. */
const CIPHERS = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
const TLS_VERSION = { minVersion: "TLSv1.3", maxVersion: "TLSv1.3", ciphers: CIPHERS } as const;
const MAX_VERDICTS = 4_096;

type ServerCheck = (host: string, certificate: PeerCertificate) => Error | undefined;

/** @throws MeshError IDENTITY_UNEXPECTED */
function checkExpected(identity: Identity, expected: ExpectedPeer | undefined): void {
  if (expected === undefined || (typeof expected === "function" ? expected(identity) : expected === identity)) return;
  const wanted = typeof expected === "function" ? "one that is allowed here" : expected;
  throw new MeshError("IDENTITY_UNEXPECTED", `Cannot accept peer: it is ${identity}, not ${wanted}.`);
}

/** Verdicts by leaf, so that resumed sessions, which show only the leaf, can be judged; the least used goes first. */
export class PeerVerifier {
  readonly #clock: Clock;
  readonly #verdicts = new Map<string, Verdict>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Who is at the other end of `socket`, after its handshake; to be called after every one, resumptions included.
   * @throws MeshError as judgePeer, and IDENTITY_UNEXPECTED; a resumed session whose leaf was not seen before, or
   * whose root is no longer in its bundle, is refused (CERTIFICATE_UNTRUSTED): connect again without the session.
   * A client that has called getPeerX509Certificate() on the socket before has lost the chain and is refused too.
   */
  verify(socket: TLSSocket, bundles: TrustBundles, expected?: ExpectedPeer): Identity {
    const leaf = peerLeaf(socket);
    if (leaf === undefined) throw new MeshError("CERTIFICATE_INVALID", "Cannot accept peer: it shows no certificate.");
    return this.#judge(leaf, () => peerChain(socket), bundles, expected);
  }

  /** The same as `checkServerIdentity` of `tls.connect`. */
  serverCheck(bundles: () => TrustBundles, expected: ExpectedPeer): ServerCheck {
    return (_host, certificate) => {
      try {
        this.#judge(certificate.raw, () => chainFrom(certificate), bundles(), expected);
        return undefined;
      } catch (error) {
        return asMeshError(error, "CERTIFICATE_INVALID", "verify the server");
      }
    };
  }

  #judge(
    leafDer: Uint8Array,
    chain: () => X509Certificate[],
    bundles: TrustBundles,
    expected: ExpectedPeer | undefined,
  ): Identity {
    const leaf = createHash("sha256").update(leafDer).digest("base64");
    let verdict = this.#verdicts.get(leaf);
    this.#verdicts.delete(leaf);
    if (verdict === undefined || !isStillTrusted(verdict, bundles))
      verdict = judgePeer(chain(), bundles, this.#clock.wallMs());
    checkTime(verdict, this.#clock.wallMs());
    this.#verdicts.set(leaf, verdict);
    const oldest = this.#verdicts.size > MAX_VERDICTS ? this.#verdicts.keys().next().value : undefined;
    if (oldest !== undefined) this.#verdicts.delete(oldest);
    checkExpected(verdict.identity, expected);
    return verdict.identity;
  }
}

interface Built {
  readonly svid: Svid;
  readonly bundles: TrustBundles | TrustBundle;
  readonly settings: TlsOptions;
}

/**
 * TLS as one workload speaks it: TLS 1.3, its SVID on both sides. Settings are one object per generation of SVID and
 * bundles, so ask for them per connection and cache contexts by them.
 */
export class WorkloadTls {
  readonly #source: SvidSource;
  readonly #trust: TrustStore;
  readonly #clock: Clock;
  readonly #verifier: PeerVerifier;
  #server: Built | undefined;
  readonly #clients = new Map<TrustDomain, Built>();

  constructor(deps: { readonly source: SvidSource; readonly trust: TrustStore; readonly clock: Clock }) {
    this.#source = deps.source;
    this.#trust = deps.trust;
    this.#clock = deps.clock;
    this.#verifier = new PeerVerifier(deps.clock);
  }

  /**
   * OpenSSL is given all roots, so it lets any linked domain in: verifyTlsPeer decides.
   * @throws MeshError CERTIFICATE_EXPIRED when the own SVID has expired
   */
  serverTlsOptions(): TlsOptions {
    const svid = this.#ownSvid();
    const { bundles } = this.#trust;
    if (this.#server?.svid !== svid || this.#server.bundles !== bundles) {
      const settings = { ...serverContextOptions(svid, bundles), requestCert: true, rejectUnauthorized: true };
      this.#server = { svid, bundles, settings };
    }
    return this.#server.settings;
  }

  /**
   * OpenSSL is given the roots of `trustDomain` alone; the host name says nothing, verifyTlsPeer decides. SNI, ALPN
   * and session are the caller's.
   * @throws MeshError TRUST_DOMAIN_UNKNOWN, CERTIFICATE_EXPIRED when the own SVID has expired
   */
  clientTlsOptions(trustDomain: TrustDomain): TlsOptions {
    const svid = this.#ownSvid();
    const bundle = this.#trust.bundles.get(trustDomain);
    if (bundle === undefined) {
      this.#clients.delete(trustDomain);
      throw new MeshError(
        "TRUST_DOMAIN_UNKNOWN",
        `Cannot connect to ${trustDomain}: no bundle is known for it. Link its cluster.`,
      );
    }
    let built = this.#clients.get(trustDomain);
    if (built?.svid !== svid || built.bundles !== bundle) {
      const settings = { ...clientContextOptions(bundle, svid), rejectUnauthorized: true };
      built = { svid, bundles: bundle, settings };
      this.#clients.set(trustDomain, built);
    }
    return built.settings;
  }

  /** In place of the check of host names, where Node makes it (not in resumed sessions): as verifyTlsPeer. */
  serverCheck(expected: ExpectedPeer): ServerCheck {
    return this.#verifier.serverCheck(() => this.#trust.bundles, expected);
  }

  /** See PeerVerifier.verify. */
  verifyTlsPeer(socket: TLSSocket, expected?: ExpectedPeer): Identity {
    return this.#verifier.verify(socket, this.#trust.bundles, expected);
  }

  #ownSvid(): Svid {
    const { svid } = this.#source;
    if (this.#clock.wallMs() <= svid.notAfterMs) return svid;
    const at = new Date(svid.notAfterMs).toISOString();
    throw new MeshError(
      "CERTIFICATE_EXPIRED",
      `Cannot present ${svid.identity}: its certificate expired at ${at}. Check control and the clock.`,
    );
  }
}

/** The rule that a peer is of `trustDomain` and, beyond that, as `expected`. */
export function within(trustDomain: TrustDomain, expected: ExpectedPeer | undefined): (identity: Identity) => boolean {
  return (identity) =>
    trustDomainOf(identity) === trustDomain &&
    (expected === undefined || (typeof expected === "function" ? expected(identity) : expected === identity));
}

function pemOfRoots(bundles: Iterable<TrustBundle>): string[] {
  return [...bundles].flatMap((bundle) => bundle.x509Authorities.map((der) => pemOf([parseCertificate(der)])));
}

function own(svid: Svid, more: readonly X509Certificate[] = []): SecureContextOptions {
  const key = svid.privateKey.export({ type: "pkcs8", format: "pem" });
  return { cert: pemOf([...svid.chain, ...more]), key };
}

/** The context of a server: every root that is known, the own chain and, with `presentRoot`, the own root behind it. */
export function serverContextOptions(svid: Svid, bundles: TrustBundles, presentRoot = false): SecureContextOptions {
  const roots = bundles.get(trustDomainOf(svid.identity))?.x509Authorities.map(parseCertificate) ?? [];
  const last = svid.chain.at(-1);
  const root = roots.find((candidate) => last?.checkIssued(candidate) && last.verify(candidate.publicKey));
  const shown = presentRoot && root !== undefined ? [root] : [];
  // Without a context for session ids OpenSSL breaks off every resumption with a client certificate.
  return { ...TLS_VERSION, ...own(svid, shown), ca: pemOfRoots(bundles.values()), sessionIdContext: "causeway" };
}

/** The context of a client that speaks to one trust domain; without `svid` it shows no certificate. */
export function clientContextOptions(bundle: TrustBundle, svid?: Svid): SecureContextOptions {
  return { ...TLS_VERSION, ...(svid === undefined ? {} : own(svid)), ca: pemOfRoots([bundle]) };
}
