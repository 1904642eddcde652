import type { X509Certificate } from "node:crypto";
import {
  createSecureContext,
  type DetailedPeerCertificate,
  type PeerCertificate,
  type SecureContext,
  type SecureContextOptions,
  type TLSSocket,
} from "node:tls";
import type { Clock } from "../core/clock.ts";
import { asMeshError, MeshError } from "../core/errors.ts";
import type { Identity, TrustDomain } from "../core/identity.ts";
import type { TrustBundle, TrustBundles } from "../core/trust-bundle.ts";
import { parseCertificate, pemOf } from "./certificate.ts";
import { checkTime, isStillTrusted, judgePeer, type Verdict } from "./peer-verification.ts";
import { trustDomainOf } from "./svid-rules.ts";
import type { Svid, SvidSource } from "./svid-source.ts";
import type { TrustStore } from "./trust-store.ts";

/** Who must be at the other end: one identity, or a rule. */
export type ExpectedPeer = Identity | ((identity: Identity) => boolean);

const TLS_VERSION = { minVersion: "TLSv1.3", maxVersion: "TLSv1.3" } as const;
const MAX_VERDICTS = 4_096;
const MAX_CHAIN_SHOWN = 8;

/** For `new TLSSocket(…, { isServer: true, ...options })` and `tls.createServer`. */
export interface ServerTlsOptions {
  readonly secureContext: SecureContext;
  readonly requestCert: true;
  readonly rejectUnauthorized: true;
}

/** For `tls.connect`; SNI, ALPN and session are the caller's. */
export interface ClientTlsOptions {
  readonly secureContext: SecureContext;
  readonly rejectUnauthorized: true;
  /** In place of the check of host names: the peer must be an SVID of the trust domain. */
  readonly checkServerIdentity: (host: string, certificate: PeerCertificate) => Error | undefined;
}

/** What the peer showed, leaf first (after a resumption: the leaf alone); empty where it showed nothing. */
export function peerChain(socket: TLSSocket): X509Certificate[] {
  return chainFrom(socket.getPeerCertificate(true));
}

function chainFrom(leaf: PeerCertificate | DetailedPeerCertificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let at: PeerCertificate | DetailedPeerCertificate | undefined = leaf;
  while (at?.raw !== undefined && chain.length < MAX_CHAIN_SHOWN) {
    chain.push(parseCertificate(at.raw));
    const issuer: DetailedPeerCertificate | undefined = "issuerCertificate" in at ? at.issuerCertificate : undefined;
    at = issuer === at ? undefined : issuer;
  }
  return chain;
}

/** @throws MeshError IDENTITY_UNEXPECTED */
export function checkExpected(identity: Identity, expected: ExpectedPeer | undefined): void {
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
   * whose root is no longer in its bundle, is refused (CERTIFICATE_UNTRUSTED): connect again without the session
   */
  verify(socket: TLSSocket, bundles: TrustBundles, expected?: ExpectedPeer): Identity {
    const leaf = socket.getPeerX509Certificate();
    if (leaf === undefined) throw new MeshError("CERTIFICATE_INVALID", "Cannot accept peer: it shows no certificate.");
    return this.#judge(leaf.fingerprint256, () => peerChain(socket), bundles, expected);
  }

  /** The same for what `checkServerIdentity` is given. */
  verifyShown(certificate: PeerCertificate, bundles: TrustBundles, expected?: ExpectedPeer): Identity {
    return this.#judge(certificate.fingerprint256, () => chainFrom(certificate), bundles, expected);
  }

  #judge(
    leaf: string,
    chain: () => X509Certificate[],
    bundles: TrustBundles,
    expected: ExpectedPeer | undefined,
  ): Identity {
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
  readonly context: SecureContext;
}

/**
 * TLS as one workload speaks it: TLS 1.3, its SVID on both sides. Contexts are rebuilt when the SVID or a bundle has
 * changed, so ask for options per connection.
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
  serverTlsOptions(): ServerTlsOptions {
    const svid = this.#ownSvid();
    const { bundles } = this.#trust;
    if (this.#server?.svid !== svid || this.#server.bundles !== bundles) {
      this.#server = { svid, bundles, context: createSecureContext(serverContextOptions(svid, bundles)) };
    }
    return { secureContext: this.#server.context, requestCert: true, rejectUnauthorized: true };
  }

  /**
   * OpenSSL is given the roots of `trustDomain` alone.
   * @throws MeshError TRUST_DOMAIN_UNKNOWN, CERTIFICATE_EXPIRED when the own SVID has expired
   */
  clientTlsOptions(trustDomain: TrustDomain, expected?: ExpectedPeer): ClientTlsOptions {
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
      built = { svid, bundles: bundle, context: createSecureContext(clientContextOptions(bundle, svid)) };
      this.#clients.set(trustDomain, built);
    }
    const checkServerIdentity = (_host: string, certificate: PeerCertificate) =>
      errorOf(() => this.#verifier.verifyShown(certificate, this.#trust.bundles, within(trustDomain, expected)));
    return { secureContext: built.context, rejectUnauthorized: true, checkServerIdentity };
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

function errorOf(check: () => unknown): Error | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return asMeshError(error, "CERTIFICATE_INVALID", "verify the peer");
  }
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
