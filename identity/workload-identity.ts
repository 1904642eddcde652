import { backoffMs, RECONNECT } from "../core/backoff.ts";
import { type Clock, sleep } from "../core/clock.ts";
import { asMeshError, MeshError } from "../core/errors.ts";
import type { Identity } from "../core/identity.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { TrustState__Output } from "../protos/gen/causeway/identity/v1/TrustState.ts";
import { CERTIFY, WATCH_TRUST } from "../protos/gen/tables/identity.ts";
import { parseCertificate } from "./certificate.ts";
import { GrpcClient } from "./grpc-client.ts";
import { mutualDialer, serverAuthDialer } from "./spiffe-dialer.ts";
import { trustDomainOf } from "./svid-rules.ts";
import { type Certified, type SvidSource, startSvidSource } from "./svid-source.ts";
import { decodeTrust } from "./trust-state.ts";
import { TrustStore } from "./trust-store.ts";
import { WorkloadTls } from "./workload-tls.ts";

const CERTIFY_MS = 10_000;
const MAX_CHAIN = 4;

export interface WorkloadIdentityOptions {
  /** "host:port" of each replica of control; which one is asked first is left to chance. */
  readonly controlAddresses: readonly [string, ...string[]];
  /** Of the own trust domain, as ConfigMap `causeway-trust` has them. */
  readonly rootsDer: readonly Uint8Array[];
  readonly controlIdentity: Identity;
  readonly identity: Identity;
  /** A ServiceAccount token with audience TOKEN_AUDIENCE; asked for each certificate. */
  readonly tokenSource: () => Promise<string>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface WorkloadIdentity {
  readonly source: SvidSource;
  readonly trust: TrustStore;
  readonly tls: WorkloadTls;
  /** To control, under the SVID of the moment; closed when `signal` aborts. */
  readonly control: GrpcClient;
  /** Ends after `signal` aborts, when nothing is open any more. */
  readonly done: Promise<void>;
}

/**
 * Gets an SVID from control and keeps it and the bundles fresh until `signal` aborts; tries for ever and keeps the
 * last good ones. Resolves when the first SVID is there. @throws MeshError ABORTED
 */
export async function startWorkloadIdentity(
  options: WorkloadIdentityOptions,
  signal: AbortSignal,
): Promise<WorkloadIdentity> {
  const { identity, clock, random, log } = options;
  const trustDomain = trustDomainOf(identity);
  // Sequence 0: what control says replaces it.
  const trust = new TrustStore([{ trustDomain, cluster: "", sequence: 0n, x509Authorities: options.rootsDer }]);
  const certify = (csr: Buffer) => requestCertificate(options, trust, csr, signal);
  const source = await startSvidSource({ identity, certify, trust, clock, random, log }, signal);
  const tls = new WorkloadTls({ source, trust, clock });
  const { controlIdentity: expected } = options;
  const addresses = startingAnywhere(options.controlAddresses, random);
  const control = new GrpcClient({ addresses, dialer: mutualDialer({ tls, trustDomain, expected }), clock });
  const watching = followTrust(options, trust, control, signal).finally(() => control.close());
  return { source, trust, tls, control, done: Promise.all([source.done, watching]).then(() => {}) };
}

/** The same round, begun at one of them: so that workloads spread over all. */
function startingAnywhere([first, ...others]: readonly [string, ...string[]], random: Random): [string, ...string[]] {
  const at = Math.floor(random() * (others.length + 1));
  const all = [first, ...others];
  const [head = first, ...tail] = [...all.slice(at), ...all.slice(0, at)];
  return [head, ...tail];
}

async function requestCertificate(
  options: WorkloadIdentityOptions,
  trust: TrustStore,
  csr: Buffer,
  signal: AbortSignal,
): Promise<Certified> {
  const token = await options.tokenSource();
  const trustDomain = trustDomainOf(options.identity);
  const { controlIdentity: expected, clock, random } = options;
  const addresses = startingAnywhere(options.controlAddresses, random);
  const dialer = serverAuthDialer({ trust, trustDomain, expected, clock });
  const client = new GrpcClient({ addresses, dialer, clock });
  try {
    const response = await client.unary(
      CERTIFY,
      { csr, token },
      "obtain a certificate from control",
      CERTIFY_MS,
      signal,
    );
    if (response.chain.length > MAX_CHAIN)
      throw new MeshError("PROTOCOL_VIOLATION", "Cannot use certificate: its chain is too long.");
    const bundles = response.trust === null ? [] : decodeTrust(response.trust);
    return { chain: response.chain.map(parseCertificate), notAfterMs: Number(response.notAfterMs), bundles };
  } finally {
    client.close();
  }
}

async function followTrust(
  options: WorkloadIdentityOptions,
  trust: TrustStore,
  control: GrpcClient,
  signal: AbortSignal,
): Promise<void> {
  const { clock, random, log } = options;
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      const onState = (state: TrustState__Output) => {
        take(state, options, trust);
        attempt = 0;
      };
      await watchOnce(control, onState, signal);
    } catch (error) {
      if (signal.aborted) return;
      const { code, message } = asMeshError(error, "STREAM_CLOSED", "watch trust");
      log.warn("trust.watch.lost", { code, error: message });
    }
    await sleep(clock, backoffMs(attempt, RECONNECT, random), signal).catch(() => {});
  }
}

function take(state: TrustState__Output, { identity, log }: WorkloadIdentityOptions, trust: TrustStore): void {
  const bundles = decodeTrust(state);
  if (!bundles.some((bundle) => bundle.trustDomain === trustDomainOf(identity))) {
    throw new MeshError("PROTOCOL_VIOLATION", "Cannot take trust: control's state lacks its own trust domain.");
  }
  for (const { code, message } of trust.replaceAll(bundles)) log.warn("trust.bundle.refused", { code, error: message });
}

/** Resolves when control has ended the stream. @throws MeshError */
function watchOnce(
  control: GrpcClient,
  onState: (state: TrustState__Output) => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => call.cancel();
    const onEnd = (error: MeshError | undefined) => {
      signal.removeEventListener("abort", onAbort);
      if (error === undefined) resolve();
      else reject(error);
    };
    const call = control.open(WATCH_TRUST, "watch trust", { onMessage: onState, onEnd });
    call.send({});
    call.end();
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
