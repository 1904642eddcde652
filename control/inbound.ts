import type { Identity, TrustDomain } from "../core/identity.ts";
import { type AppProtocol, isExportedTo, OPAQUE_PORTS } from "../core/service.ts";
import type { Catalog } from "./catalog.ts";

/** What the proxy of one workload lets in. */
export interface InboundPort {
  readonly port: number;
  readonly appProtocol: AppProtocol;
  readonly peerTrustDomains: readonly TrustDomain[];
  readonly namespace: string;
  readonly service: string;
}

/**
 * The ports of the workload at `address` that services name, with the peers to which such a service is exported.
 * Only endpoints that carry `identity` count: a workload learns nothing about another's.
 */
export function inboundPorts(
  address: string,
  identity: Identity,
  peers: readonly { readonly cluster: string; readonly trustDomain: TrustDomain }[],
  catalog: Catalog,
): InboundPort[] {
  const found = new Map<number, InboundPort>();
  for (const key of catalog.servicesAt(address)) {
    const service = catalog.localService(key);
    const endpoint = catalog
      .localEndpoints(key)
      ?.endpoints.find((e) => e.address === address && e.identity === identity);
    if (service === undefined || endpoint === undefined) continue;
    const exportedTo = peers.filter((peer) => isExportedTo(service, peer.cluster)).map((peer) => peer.trustDomain);
    for (const [servicePort, target] of Object.entries(endpoint.ports)) {
      const known = found.get(target);
      const appProtocol = service.ports.find((p) => p.port === Number(servicePort))?.appProtocol ?? "";
      found.set(target, {
        port: target,
        appProtocol:
          known?.appProtocol || (appProtocol === "" && OPAQUE_PORTS.has(Number(servicePort)) ? "opaque" : appProtocol),
        peerTrustDomains: [...new Set([...(known?.peerTrustDomains ?? []), ...exportedTo])].sort(),
        namespace: known?.namespace ?? service.namespace,
        service: known?.service ?? service.name,
      });
    }
  }
  return [...found.values()].sort((a, b) => a.port - b.port);
}
