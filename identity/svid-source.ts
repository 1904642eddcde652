import type { KeyObject, X509Certificate } from "node:crypto";
import { childAbort } from "../core/abort.ts";
import { backoffMs, RECONNECT } from "../core/backoff.ts";
import { type Clock, sleep } from "../core/clock.ts";
import { asMeshError, errorText, MeshError } from "../core/errors.ts";
import type { Identity } from "../core/identity.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { TrustBundle } from "../core/trust-bundle.ts";
import { notBeforeMs, parseCertificate } from "./certificate.ts";
import { createCsr } from "./csr.ts";
import { isSignedBy, judgePeer } from "./peer-verification.ts";
import { trustDomainOf } from "./svid-rules.ts";
import type { TrustStore } from "./trust-store.ts";

/** A certificate chain (leaf first, without the root) and its key, which never leaves the process. */
export interface Svid {
  readonly identity: Identity;
  readonly chain: readonly X509Certificate[];
  readonly privateKey: KeyObject;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface Certified {
  readonly chain: readonly X509Certificate[];
  readonly notAfterMs: number;
  readonly bundles: readonly TrustBundle[];
}

/** Has a request signed; the whole set of bundles comes with the answer. */
export type Certify = (csrDer: Buffer) => Promise<Certified>;

export interface SvidSourceOptions {
  readonly identity: Identity;
  readonly certify: Certify;
  /** Receives the bundles of the first answer, later those of the own trust domain: removals come by WatchTrust. */
  readonly trust: TrustStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Share of the life after which a certificate is renewed, and how much of it is random. */
const RENEW_AT = 0.7;
const RENEW_JITTER = 0.1;
/** A wall clock may jump (suspend, correction): it is looked at again at least this often. */
const LOOK_MS = 60_000;
/** After a rotation of the root all workloads renew within this time, each at a moment of its own. */
const ROTATED_WITHIN_MS = 3_600_000;
const RETRY = { ...RECONNECT, maxMs: 30_000 };

/** The workload's own SVID, renewed in time and for ever; while renewal fails the old one is served. */
export class SvidSource {
  #svid: Svid;
  readonly #listeners = new Set<(svid: Svid) => void>();
  /** Ends when the signal it was started with aborts. */
  readonly done: Promise<void>;

  constructor(first: Svid, renewals: (publish: (svid: Svid) => void) => Promise<void>) {
    this.#svid = first;
    this.done = renewals((svid) => {
      this.#svid = svid;
      for (const listener of [...this.#listeners]) listener(svid);
    });
  }

  /** The newest, even where it has expired: see notAfterMs. */
  get svid(): Svid {
    return this.#svid;
  }

  onChange(listener: (svid: Svid) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** Resolves once the first SVID is there; tries for ever. @throws MeshError ABORTED */
export async function startSvidSource(options: SvidSourceOptions, signal: AbortSignal): Promise<SvidSource> {
  const first = await obtain(options, true, signal);
  return new SvidSource(first, (publish) => renew(options, first, publish, signal));
}

async function renew(
  options: SvidSourceOptions,
  first: Svid,
  publish: (svid: Svid) => void,
  signal: AbortSignal,
): Promise<void> {
  let svid = first;
  try {
    for (;;) {
      await untilRenewal(svid, options, signal);
      svid = await obtain(options, false, signal);
      publish(svid);
    }
  } catch (error) {
    if (!signal.aborted)
      options.log.error("svid.renewal.stopped", { identity: options.identity, error: errorText(error) });
  }
}

/**
 * Until `svid` is to be replaced: by its age; within an hour where its root has been followed by another; at once where
 * its root is believed no longer.
 */
async function untilRenewal(svid: Svid, options: SvidSourceOptions, signal: AbortSignal): Promise<void> {
  const { clock, random, trust } = options;
  const share = RENEW_AT - RENEW_JITTER / 2 + RENEW_JITTER * random();
  let dueMs = svid.notBeforeMs + (svid.notAfterMs - svid.notBeforeMs) * share;
  let rotated = false;
  let bundle: TrustBundle | undefined;
  let standing: Standing = "current";
  for (;;) {
    const now = trust.bundles.get(trustDomainOf(svid.identity));
    if (bundle === undefined || now !== bundle) standing = standingOf(svid, now);
    bundle = now;
    if (standing === "gone") return;
    const nowMs = clock.wallMs();
    if (standing === "old" && !rotated) {
      rotated = true;
      dueMs = Math.min(dueMs, nowMs + ROTATED_WITHIN_MS * random());
    }
    if (dueMs <= nowMs) return;
    await changeOrTime(trust, clock, Math.min(dueMs - nowMs, LOOK_MS), signal);
  }
}

/** The root below an SVID is the one that signs now, another that is believed, or none of them. */
type Standing = "current" | "old" | "gone";

/** Without a bundle nothing is known of its root: no reason to ask for another. */
function standingOf(svid: Svid, bundle: TrustBundle | undefined): Standing {
  if (bundle === undefined) return "current";
  const last = svid.chain.at(-1);
  const at = (bundle?.x509Authorities ?? [])
    .map(parseCertificate)
    .findIndex((root) => last !== undefined && isSignedBy(last, root));
  return at === 0 ? "current" : at > 0 ? "old" : "gone";
}

/** Resolves after a change of trust, or after `ms`. @throws MeshError ABORTED */
async function changeOrTime(trust: TrustStore, clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  using pause = childAbort(signal);
  const stop = trust.onChange(() => pause.abort());
  try {
    await sleep(clock, ms, pause.signal);
  } catch (error) {
    if (signal.aborted) throw error;
  } finally {
    stop();
  }
}

async function obtain(options: SvidSourceOptions, first: boolean, signal: AbortSignal): Promise<Svid> {
  const { identity, clock, random, log } = options;
  for (let attempt = 0; ; attempt++) {
    if (signal.aborted) throw new MeshError("ABORTED", "Cannot obtain a certificate: cancelled.");
    try {
      const svid = await request(options, first);
      log.info("svid.issued", { identity, notAfter: new Date(svid.notAfterMs).toISOString() });
      return svid;
    } catch (error) {
      const { code, message } = asMeshError(error, "CA_UNAVAILABLE", "obtain a certificate");
      log.warn("svid.refused", { identity, code, error: message, attempt });
      await sleep(clock, backoffMs(attempt, RETRY, random), signal);
    }
  }
}

async function request({ identity, certify, trust, clock, log }: SvidSourceOptions, first: boolean): Promise<Svid> {
  const { privateKey, csrDer } = await createCsr(identity);
  const { chain, bundles } = await certify(csrDer);
  for (const bundle of bundles) {
    if (first || bundle.trustDomain === trustDomainOf(identity)) offer(bundle, trust, log);
  }
  const verdict = judgePeer(chain, trust.bundles, clock.wallMs());
  const [leaf] = chain;
  if (leaf === undefined || verdict.identity !== identity || !leaf.checkPrivateKey(privateKey)) {
    throw new MeshError(
      "CERTIFICATE_INVALID",
      `Cannot use certificate: it is not for ${identity} and the key that was sent.`,
    );
  }
  return { identity, chain, privateKey, notBeforeMs: notBeforeMs(leaf), notAfterMs: verdict.notAfterMs };
}

function offer(bundle: TrustBundle, trust: TrustStore, log: Log): void {
  try {
    trust.set(bundle);
  } catch (error) {
    // A replica of control that lags behind: what is known is newer.
    log.warn("trust.bundle.refused", { error: errorText(error) });
  }
}
