import type { TrustDomain } from "../../core/identity.ts";
import type { GatewayAddress } from "../../core/link.ts";
import { isExportedTo, type ServiceKey } from "../../core/service.ts";
import { endpointCounts, exportedEndpoints, type RouteKey, remoteEndpoint } from "./exported-endpoints.ts";
import { federationAuthority } from "./gateway-address.ts";
import type { LocalState } from "./local-state.ts";
import type { OutboxSource } from "./outbox.ts";
import { bundleResource, endpointsResource, gatewayResource, type SyncKind, serviceResource } from "./wire.ts";

export interface PeerExportsOptions {
  readonly state: LocalState;
  readonly peer: string;
  readonly trustDomain: TrustDomain;
  /** Asked each time: a new join names the routes anew. */
  readonly routes: () => RouteKey;
  readonly gateways: () => readonly GatewayAddress[];
  /** False: neither services nor endpoints are shown to this peer, whatever is exported. */
  readonly offered: () => boolean;
}

/** What one peer gets to see of this cluster, by kind. */
export function peerExports(options: PeerExportsOptions): Readonly<Record<SyncKind, OutboxSource>> {
  const { state, peer, routes, offered } = options;
  const exported = (key: ServiceKey) => {
    const service = state.service(key);
    return offered() && service !== undefined && isExportedTo(service, peer) ? service : undefined;
  };
  const names = function* () {
    if (!offered()) return;
    for (const service of state.services())
      if (isExportedTo(service, peer)) yield `${service.namespace}/${service.name}`;
  };
  const gateways = () => new Map(options.gateways().map((gateway) => [federationAuthority(gateway), gateway]));
  const bundles = () => [...state.bundles()].filter((bundle) => bundle.trustDomain === options.trustDomain);
  return {
    KIND_SERVICES: {
      get ready() {
        return !offered() || state.servicesReady;
      },
      names,
      resource(name) {
        const service = exported(name as ServiceKey);
        return service && serviceResource(service);
      },
    },
    KIND_ENDPOINTS: {
      get ready() {
        return !offered() || state.servicesReady;
      },
      names,
      resource(name) {
        const service = exported(name as ServiceKey);
        if (service === undefined) return undefined;
        const all = state.endpoints(name as ServiceKey);
        const endpoints = exportedEndpoints(all);
        return endpointsResource(
          service.namespace,
          service.name,
          endpoints.map((e) => remoteEndpoint(service, e, routes())),
          endpointCounts(all, endpoints.length),
        );
      },
    },
    KIND_BUNDLES: {
      get ready() {
        return state.synced && bundles().length > 0;
      },
      names: () => bundles().map((bundle) => bundle.trustDomain),
      resource(name) {
        const bundle = bundles().find((candidate) => candidate.trustDomain === name);
        return bundle && bundleResource(bundle);
      },
    },
    KIND_GATEWAYS: {
      ready: true,
      names: () => gateways().keys(),
      resource(name) {
        const gateway = gateways().get(name);
        return gateway && gatewayResource(gateway);
      },
    },
  };
}
