import { childAbort } from "../core/abort.ts";
import type { Clock } from "../core/clock.ts";
import { SYSTEM_NAMESPACE } from "../core/defaults.ts";
import type { TrustDomain } from "../core/identity.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { KubeClient } from "../kube/client.ts";
import { LINKS, type Link, SECRETS, type Secret } from "../kube/resources.ts";
import { RegistryView } from "../registry/registry-view.ts";
import { LOCAL_ENDPOINTS, LOCAL_READY, LOCAL_SERVICES } from "../registry/state.ts";
import type { RegistryStore } from "../registry/store.ts";
import { readLinks, routePeers } from "./federation/link-peers.ts";
import { LocalState } from "./federation/local-state.ts";
import { LiveRoutes, type RouteTable } from "./route-table.ts";

export interface FollowRoutesDeps {
  readonly cluster: string;
  readonly trustDomain: TrustDomain;
  readonly kube: KubeClient;
  readonly store: RegistryStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly signal: AbortSignal;
}

export interface FollowedRoutes {
  readonly routes: RouteTable;
  /** Whether the registry has been read once. */
  readonly synced: boolean;
  close(): Promise<void>;
}

/**
 * The routes of a cluster's exports for a relay without a gateway: exports and endpoints from the registry, peers and
 * the secrets that name their routes from Links. Writes nothing and holds no lease. Resolves once Links are known;
 * the registry may be away, and then the table is empty until it is there. @throws MeshError ABORTED
 */
export async function followRoutes(deps: FollowRoutesDeps): Promise<FollowedRoutes> {
  const { cluster, trustDomain, kube, store, clock, random, log } = deps;
  const abort = childAbort(deps.signal);
  const { signal } = abort;
  const view = new RegistryView({ store, kinds: [LOCAL_SERVICES, LOCAL_ENDPOINTS, LOCAL_READY], clock, random, log });
  const state = new LocalState(view);
  const table = new LiveRoutes(state);
  view.start(signal).catch(() => {});
  const links = kube.informer<Link>(LINKS);
  const secrets = kube.informer<Secret>(SECRETS, { namespace: SYSTEM_NAMESPACE });
  const peers = () => table.setPeers(routePeers(readLinks({ links, secrets }, trustDomain, log), cluster));
  let due = false;
  // One look for all that happens in one tick.
  const schedule = () => {
    if (due) return;
    due = true;
    setImmediate(() => {
      due = false;
      if (!signal.aborted) peers();
    });
  };
  const stops: (() => void)[] = [];
  const close = async () => {
    for (const stop of stops.splice(0)) stop();
    abort.abort();
    await view.ended;
    table.close();
    state.close();
    abort[Symbol.dispose]();
  };
  try {
    await Promise.all([links.start(signal), secrets.start(signal)]);
    peers();
    stops.push(links.onEvent(schedule), secrets.onEvent(schedule));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    routes: table,
    get synced() {
      return view.synced;
    },
    close,
  };
}
