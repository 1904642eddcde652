import { type ClientReadableStream, Metadata } from "@grpc/grpc-js";
import { backoffMs, RECONNECT } from "../core/backoff.ts";
import { type Clock, sleep } from "../core/clock.ts";
import { asMeshError, MeshError } from "../core/errors.ts";
import type { Identity } from "../core/identity.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { CertifyResponse__Output } from "../protos/gen/causeway/identity/v1/CertifyResponse.ts";
import type { IdentityClient } from "../protos/gen/causeway/identity/v1/Identity.ts";
import type { TrustState__Output } from "../protos/gen/causeway/identity/v1/TrustState.ts";
import { loadIdentity } from "../protos/load.ts";
import { parseCertificate } from "./certificate.ts";
import {
  GRPC_CLIENT_OPTIONS,
  grpcChannelCredentials,
  type SpiffeChannelCredentials,
  serverAuthChannelCredentials,
} from "./grpc-channel.ts";
import { meshErrorOf } from "./grpc-status.ts";
import { trustDomainOf } from "./svid-rules.ts";
import { type Certified, type SvidSource, startSvidSource } from "./svid-source.ts";
import { decodeTrust } from "./trust-state.ts";
import { TrustStore } from "./trust-store.ts";
import { WorkloadTls } from "./workload-tls.ts";

const CERTIFY_MS = 10_000;
const MAX_CHAIN = 4;

export interface WorkloadIdentityOptions {
  /** "host:port" */
  readonly controlAddress: string;
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
  const watching = followTrust(options, trust, tls, signal);
  return { source, trust, tls, done: Promise.all([source.done, watching]).then(() => {}) };
}

/** `host:port` as gRPC's resolver must not mistake for a scheme. */
function target(address: string): string {
  return `dns:${address}`;
}

async function requestCertificate(
  options: WorkloadIdentityOptions,
  trust: TrustStore,
  csr: Buffer,
  signal: AbortSignal,
): Promise<Certified> {
  const token = await options.tokenSource();
  const trustDomain = trustDomainOf(options.identity);
  const credentials = serverAuthChannelCredentials({
    trust,
    trustDomain,
    expected: options.controlIdentity,
    clock: options.clock,
  });
  const client = new (loadIdentity().Identity)(target(options.controlAddress), credentials, GRPC_CLIENT_OPTIONS);
  try {
    const response = await certifyOnce(client, credentials, csr, token, signal);
    if (response.chain.length > MAX_CHAIN)
      throw new MeshError("PROTOCOL_VIOLATION", "Cannot use certificate: its chain is too long.");
    const bundles = response.trust === null ? [] : decodeTrust(response.trust);
    return { chain: response.chain.map(parseCertificate), notAfterMs: Number(response.notAfterMs), bundles };
  } finally {
    client.close();
  }
}

function certifyOnce(
  client: IdentityClient,
  credentials: SpiffeChannelCredentials,
  csr: Buffer,
  token: string,
  signal: AbortSignal,
): Promise<CertifyResponse__Output> {
  return new Promise((resolve, reject) => {
    const onAbort = () => call.cancel();
    const call = client.Certify(
      { csr, token },
      new Metadata(),
      { deadline: Date.now() + CERTIFY_MS },
      (error, response) => {
        signal.removeEventListener("abort", onAbort);
        if (error !== null) reject(meshErrorOf(error, "obtain a certificate from control", credentials.lastFailure));
        else if (response === undefined)
          reject(new MeshError("PROTOCOL_VIOLATION", "Cannot obtain a certificate: control's answer is empty."));
        else resolve(response);
      },
    );
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}

async function followTrust(
  options: WorkloadIdentityOptions,
  trust: TrustStore,
  tls: WorkloadTls,
  signal: AbortSignal,
): Promise<void> {
  const { controlAddress, controlIdentity, identity, clock, random, log } = options;
  const trustDomain = trustDomainOf(identity);
  const credentials = grpcChannelCredentials({ tls, trustDomain, expected: controlIdentity, clock });
  const client = new (loadIdentity().Identity)(target(controlAddress), credentials, GRPC_CLIENT_OPTIONS);
  try {
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const onState = (state: TrustState__Output) => {
          take(state, options, trust);
          attempt = 0;
        };
        await watchOnce(client.WatchTrust({}), credentials, onState, signal);
      } catch (error) {
        if (signal.aborted) return;
        const { code, message } = asMeshError(error, "STREAM_CLOSED", "watch trust");
        log.warn("trust.watch.lost", { code, error: message });
      }
      await sleep(clock, backoffMs(attempt, RECONNECT, random), signal).catch(() => {});
    }
  } finally {
    client.close();
  }
}

function take(state: TrustState__Output, { identity, log }: WorkloadIdentityOptions, trust: TrustStore): void {
  const bundles = decodeTrust(state);
  if (!bundles.some((bundle) => bundle.trustDomain === trustDomainOf(identity))) {
    throw new MeshError("PROTOCOL_VIOLATION", "Cannot take trust: control's state lacks its own trust domain.");
  }
  for (const { code, message } of trust.replaceAll(bundles)) log.warn("trust.bundle.refused", { code, error: message });
}

function watchOnce(
  stream: ClientReadableStream<TrustState__Output>,
  credentials: SpiffeChannelCredentials,
  onState: (state: TrustState__Output) => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => stream.cancel();
    const finish = (run: () => void) => {
      signal.removeEventListener("abort", onAbort);
      run();
    };
    stream.on("data", (state: TrustState__Output) => {
      try {
        onState(state);
      } catch (error) {
        finish(() => reject(asMeshError(error, "PROTOCOL_VIOLATION", "take trust")));
        stream.cancel();
      }
    });
    stream.on("error", (error) => finish(() => reject(meshErrorOf(error, "watch trust", credentials.lastFailure))));
    stream.on("end", () => finish(resolve));
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
