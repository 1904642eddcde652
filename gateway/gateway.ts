import { childAbort } from "../core/abort.ts";
import type { Clock } from "../core/clock.ts";
import { HEALTH, SYSTEM_NAMESPACE } from "../core/defaults.ts";
import { errorText, MeshError } from "../core/errors.ts";
import type { TrustDomain } from "../core/identity.ts";
import type { GatewayAddress } from "../core/link.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { SvidSource } from "../identity/svid-source.ts";
import { TrustStore } from "../identity/trust-store.ts";
import { WorkloadTls } from "../identity/workload-tls.ts";
import type { KubeClient } from "../kube/client.ts";
import { LINKS, type Link, SECRETS, type Secret } from "../kube/resources.ts";
import { RegistryView } from "../registry/registry-view.ts";
import { RegistryWriter } from "../registry/registry-writer.ts";
import {
  LOCAL_BUNDLE,
  LOCAL_ENDPOINTS,
  LOCAL_GATEWAYS,
  LOCAL_READY,
  LOCAL_SERVICES,
  PEER_LINKS,
} from "../registry/state.ts";
import type { RegistryStore } from "../registry/store.ts";
import { tidyAdvertised } from "./advertise.ts";
import { Evacuations } from "./federation/evacuations.ts";
import { FederationMetrics } from "./federation/federation-metrics.ts";
import { listenFederation } from "./federation/federation-server.ts";
import { federationAuthority } from "./federation/gateway-address.ts";
import { JoinServer } from "./federation/join-server.ts";
import { LinkController } from "./federation/link-controller.ts";
import type { HealthSettings } from "./federation/link-health.ts";
import { LocalState } from "./federation/local-state.ts";
import { grpcDialer } from "./federation/sync-grpc.ts";
import { GatewayPresence } from "./presence.ts";
import { ReplicaWatch } from "./replica-watch.ts";
import { LiveRoutes, type RouteTable } from "./route-table.ts";

const CLOSE_GRACE_MS = 1_000;

export interface GatewayDeps {
  readonly cluster: string;
  readonly trustDomain: TrustDomain;
  readonly kube: KubeClient;
  readonly store: RegistryStore;
  /** The gateway's own SVID, and the bundles that came with it: of these only the own trust domain's is believed. */
  readonly identity: { readonly source: SvidSource; readonly trust: TrustStore };
  /** Where federation listens; port 0 for any. */
  readonly federation: { readonly host: string; readonly port: number };
  /** How peers reach this gateway; a `federationPort` of 0 stands for the one that is listened on. */
  readonly advertise: GatewayAddress;
  /** This process, unique also across its restarts. */
  readonly holder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Called once, before anything is joined, with the live table for the relay. */
  readonly onRoutes: (routes: RouteTable) => void;
  readonly health?: Partial<HealthSettings>;
  /** How long a peer says that it has unlinked this cluster before its mirrors go; 10 minutes without. */
  readonly unlinkGraceMs?: number;
  readonly signal: AbortSignal;
}

export interface Gateway {
  readonly federationPort: number;
  /** What peers do wrong, in Prometheus text format. */
  metricsText(): string;
  /** Share of traffic that is to go elsewhere, of each cluster that is evacuated. */
  readonly drained: ReadonlyMap<string, number>;
  /** Takes this replica out of what peers are told; those who have others to go to stop coming. */
  leave(): Promise<void>;
  /** Says goodbye to peers (the links stay), gives the lease up and closes. */
  close(): Promise<void>;
}

/** A store of our own: whom the gateway lets in hangs on Links and their Secrets, not on what the registry says. */
function ownTrust(
  identity: GatewayDeps["identity"],
  trustDomain: TrustDomain,
  log: Log,
): { trust: TrustStore; stop: () => void } {
  const trust = new TrustStore();
  const follow = () => {
    const bundle = identity.trust.bundles.get(trustDomain);
    try {
      if (bundle !== undefined) trust.set(bundle);
    } catch (error) {
      log.error("own bundle refused", { reason: errorText(error) });
    }
  };
  follow();
  return { trust, stop: identity.trust.onChange(follow) };
}

/**
 * Starts the gateway's control side, on every replica: Join and Sync for peers, a seat per Link, and the relay's routes.
 * Of each link one replica's seat has the lease. Resolves once it listens and knows the cluster's Links.
 * @throws MeshError PORT_IN_USE, ABORTED
 */
export async function startGateway(deps: GatewayDeps): Promise<Gateway> {
  const { cluster, trustDomain, kube, store, identity, holder, clock, random, log } = deps;
  const abort = childAbort(deps.signal);
  const { signal } = abort;
  const health = { ...HEALTH, ...deps.health };
  const own = { cluster, trustDomain };
  const { trust, stop } = ownTrust(identity, trustDomain, log);
  const kinds = [LOCAL_SERVICES, LOCAL_ENDPOINTS, LOCAL_BUNDLE, LOCAL_GATEWAYS, LOCAL_READY];
  const view = new RegistryView({ store, kinds, clock, random, log });
  const state = new LocalState(view);
  const routes = new LiveRoutes(state);
  deps.onRoutes(routes);
  const writer = new RegistryWriter({ store, lease: "gateway", holder, clock, random, log });
  const presence = new GatewayPresence({ store, view, holder, clock, random, log });
  const linkStates = new RegistryView({ store, kinds: [PEER_LINKS], clock, random, log });
  // The registry may be away for now: peers are let in and told what is known all the same.
  view.start(signal).catch(() => {});
  linkStates.start(signal).catch(() => {});
  const evacuations = new Evacuations({ cluster, kube, writer, clock, log });
  // A cluster whose definitions or roles are of an earlier version has none: nothing waits for them.
  evacuations.start(signal).catch(() => {});
  const links = kube.informer<Link>(LINKS);
  const secrets = kube.informer<Secret>(SECRETS, { namespace: SYSTEM_NAMESPACE });

  const metrics = new FederationMetrics();
  let advertise = deps.advertise;
  let leaving = false;
  /** What the registry knows, and this replica itself even before it does; but not once it leaves others behind. */
  const gateways = () => {
    const known = [...state.gateways()];
    const all = leaving && known.length > 0 ? known : [advertise, ...known];
    return [...new Map(all.map((gateway) => [federationAuthority(gateway), gateway])).values()];
  };
  const ownBundle = () => {
    const bundle = trust.bundles.get(trustDomain);
    if (bundle === undefined)
      throw new MeshError("CA_UNAVAILABLE", `Cannot join: ${cluster}'s own bundle is not known yet.`);
    return bundle;
  };
  const undo: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step();
    evacuations.close();
    abort.abort();
    await Promise.all([writer.ended, presence.ended, view.ended, linkStates.ended]);
    stop();
    routes.close();
    state.close();
    abort[Symbol.dispose]();
  };
  try {
    await Promise.all([links.start(signal), secrets.start(signal)]);
    const join = new JoinServer({ cluster, trustDomain, kube, clock, log, bundle: ownBundle, gateways });
    let controller: LinkController | undefined;
    const listener = await listenFederation({
      ...deps.federation,
      source: identity.source,
      trust,
      clock,
      log,
      metrics,
      strangers: (stranger) => controller?.refusal(stranger),
      join: (request) => join.join(request),
      accept: async (peer, pipe) => {
        if (controller === undefined)
          throw new MeshError("REGISTRY_UNAVAILABLE", "Cannot sync: this gateway is starting. Try again.");
        await controller.accept(peer, pipe);
      },
    });
    undo.push(() => listener.close(CLOSE_GRACE_MS));
    if (advertise.federationPort === 0) advertise = { ...advertise, federationPort: listener.port };
    presence.set(advertise);
    presence.start(signal);
    const tls = new WorkloadTls({ source: identity.source, trust, clock });
    const running = new LinkController(
      {
        ...{ own, kube, store, state, holder, ownBundle, gateways, health, clock, random, log, links, secrets, trust },
        evacuations,
        metrics,
        ...(deps.unlinkGraceMs === undefined ? {} : { unlinkGraceMs: deps.unlinkGraceMs }),
        // Rises with each start; a peer's clock plays no part in it.
        epoch: BigInt(Math.trunc(clock.wallMs())),
        dial: grpcDialer(tls, clock),
        onPeers: (peers) => routes.setPeers(peers),
        linkState: (name) => linkStates.get(PEER_LINKS, name),
      },
      signal,
    );
    controller = running;
    undo.push(() => running.close());
    const watch = new ReplicaWatch({
      clock,
      log,
      onGone: (replica) => {
        running.succeed(replica);
        writer.seize(replica);
      },
    });
    const others = () =>
      watch.update(new Map([...view.entries(LOCAL_GATEWAYS)].filter(([replica]) => replica !== holder)));
    undo.push(
      async () => watch.close(),
      async () => unwatch(),
    );
    const unwatch = view.onChange((changed) => {
      for (const key of changed) if (key.startsWith(LOCAL_GATEWAYS.prefix)) return others();
    });
    others();
    undo.push(async () => {
      unlead();
      stopTidying();
      presence.lead(false);
    });
    let stopTidying = () => {};
    const unlead = writer.onLeadership((leading) => {
      presence.lead(leading);
      stopTidying();
      const known = () => new Set(view.entries(LOCAL_GATEWAYS).keys());
      stopTidying = leading ? tidyAdvertised({ kube, clock, log, known }) : () => {};
    });
    writer.start(signal);
    return {
      federationPort: listener.port,
      leave() {
        leaving = true;
        return presence.leave(signal);
      },
      close,
      metricsText: () => metrics.text(),
      get drained() {
        return evacuations.shares;
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
