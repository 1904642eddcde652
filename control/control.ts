import type { Clock } from "../core/clock.ts";
import { SERVICE_ACCOUNTS, SYSTEM_NAMESPACE } from "../core/defaults.ts";
import { errorText } from "../core/errors.ts";
import { identityOf, type TrustDomain } from "../core/identity.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import { type CertificateAuthority, certifyLocally } from "../identity/certificate-authority.ts";
import { listenGrpc } from "../identity/grpc-server.ts";
import { startSvidSource } from "../identity/svid-source.ts";
import { TrustStore } from "../identity/trust-store.ts";
import type { KubeClient } from "../kube/client.ts";
import type { DiscoveryDefinition } from "../protos/gen/causeway/discovery/v1/Discovery.ts";
import type { WatchResponse } from "../protos/gen/causeway/discovery/v1/WatchResponse.ts";
import { loadDiscovery } from "../protos/load.ts";
import { RegistryView } from "../registry/registry-view.ts";
import { RegistryWriter } from "../registry/registry-writer.ts";
import { LOCAL_BUNDLE, PEER_BUNDLES, stateKey } from "../registry/state.ts";
import type { RegistryStore } from "../registry/store.ts";
import { IdentityMetrics } from "./ca/identity-metrics.ts";
import { LiveAuthority } from "./ca/live-authority.ts";
import { DiscoveryService } from "./discovery-service.ts";
import type { WatchCall } from "./discovery-session.ts";
import { ANONYMOUS_IDENTITY_METHODS, addIdentityService } from "./identity-service.ts";
import { CATALOG_KINDS, catalogKeys, RegistryCatalog } from "./registry-catalog.ts";

export interface ControlOptions {
  readonly cluster: string;
  readonly trustDomain: TrustDomain;
  readonly kube: KubeClient;
  readonly store: RegistryStore;
  readonly listen: { readonly host: string; readonly port: number };
  /** This replica, for the lease. */
  readonly holder: string;
  /** Life of the certificates that are issued, ms. */
  readonly leafLifetimeMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface RunningControl {
  readonly port: number;
  /** Proxies that watch. */
  proxies(): number;
  /** Undefined when ready, else what is missing. */
  notReady(): string | undefined;
  /** What is wrong although it serves; undefined where nothing is. */
  degraded(): string | undefined;
  /** Prometheus text. */
  metricsText(): string;
  /** Answers no more calls, lets those under way end, frees the port. */
  close(): Promise<void>;
}

const DRAIN_MS = 1_000;

/**
 * The control role: CA, identities and discovery. Resolves when it listens; until the registry is whole it hands out
 * identities and answers discovery with nothing yet.
 */
export async function startControl(options: ControlOptions, signal: AbortSignal): Promise<RunningControl> {
  const { cluster, trustDomain, kube, store, clock, random, log, holder, leafLifetimeMs } = options;
  const authority = await LiveAuthority.start(options, signal);
  const trust = new TrustStore([authority.current.bundle]);
  const identity = identityOf(trustDomain, SYSTEM_NAMESPACE, SERVICE_ACCOUNTS.control);
  const source = await startSvidSource(
    { identity, certify: certifyLocally(() => authority.current, clock, leafLifetimeMs), trust, clock, random, log },
    signal,
  );

  const writer = new RegistryWriter({ store, lease: "control", holder, clock, random, log });
  const publish = ({ bundle }: CertificateAuthority) => {
    const own = new Map([[stateKey(LOCAL_BUNDLE, trustDomain), LOCAL_BUNDLE.encode(bundle)]]);
    writer.replacePrefix(LOCAL_BUNDLE.prefix, own);
    if (trust.bundles.get(trustDomain) !== bundle) trust.set(bundle);
  };
  publish(authority.current);
  authority.onChange(publish);
  writer.start(signal);

  const view = new RegistryView({ store, kinds: CATALOG_KINDS, clock, random, log });
  const catalog = new RegistryCatalog(cluster, trustDomain, view);
  const discovery = new DiscoveryService(catalog, trustDomain, log);
  view.onChange((keys) => {
    followPeerBundles(view, trust, trustDomain, log);
    discovery.changed(keys);
  });

  const metrics = new IdentityMetrics();
  let closeIdentity = () => {};
  const listener = await listenGrpc({
    ...options.listen,
    source,
    trust,
    clock,
    log,
    anonymousMethods: ANONYMOUS_IDENTITY_METHODS,
    services(server, peerOf) {
      const reviewToken = (token: string, audiences: readonly string[]) => kube.reviewToken(token, audiences);
      closeIdentity = addIdentityService(server, {
        authority: () => authority.current,
        leafLifetimeMs,
        metrics,
        trust,
        reviewToken,
        peerOf,
        clock,
        log,
      });
      server.addService(encodedOnce(loadDiscovery().Discovery.service), {
        Watch: (call: WatchCall) => discovery.serve(call, peerOf(call)),
      });
    },
  });
  log.info("control.ready", { trustDomain, port: listener.port });
  const opened = view.start(signal).then(() => {
    discovery.changed(catalogKeys(view));
    discovery.open();
  });
  opened.catch((error: unknown) => log.debug("control.view", { error: errorText(error) }));

  return {
    port: listener.port,
    proxies: () => discovery.proxies,
    notReady: () => (view.synced ? undefined : "the registry has not been read yet"),
    degraded: () => authority.problem,
    metricsText: () => metrics.text(authority),
    async close() {
      closeIdentity();
      // Not before the lease is given up: a successor would wait for its end.
      await Promise.all([listener.close(DRAIN_MS), writer.ended, view.ended, authority.ended]);
    },
  };
}

/** Believes the bundles of linked peers, each for its own trust domain, and those of unlinked ones no longer. */
function followPeerBundles(view: RegistryView, trust: TrustStore, own: TrustDomain, log: Log): void {
  const wanted = new Map([...view.entries(PEER_BUNDLES).values()].map((bundle) => [bundle.trustDomain, bundle]));
  wanted.delete(own);
  for (const bundle of wanted.values()) {
    try {
      trust.set(bundle);
    } catch (error) {
      log.warn("control.bundle.refused", { trustDomain: bundle.trustDomain, error: errorText(error) });
    }
  }
  for (const trustDomain of trust.bundles.keys()) {
    if (trustDomain !== own && !wanted.has(trustDomain)) trust.delete(trustDomain);
  }
}

/** A message that goes to many proxies is one object, and is encoded once for all of them. */
function encodedOnce(service: DiscoveryDefinition): DiscoveryDefinition {
  const { Watch } = service;
  const encoded = new WeakMap<object, Buffer>();
  const responseSerialize = (message: WatchResponse): Buffer => {
    const bytes = encoded.get(message) ?? Watch.responseSerialize(message);
    encoded.set(message, bytes);
    return bytes;
  };
  return { ...service, Watch: { ...Watch, responseSerialize } };
}
