import { canonicalAddress } from "../core/address.ts";
import type { Identity, TrustDomain } from "../core/identity.ts";
import { type AppProtocol, type InboundLimits, isExportedTo, OPAQUE_PORTS } from "../core/service.ts";
import type { Catalog } from "./catalog.ts";

/** What the proxy of one workload lets in. */
export interface InboundPort {
  readonly port: number;
  readonly appProtocol: AppProtocol;
  readonly peerTrustDomains: readonly TrustDomain[];
  readonly namespace: string;
  readonly service: string;
  /** Requests a second of one client, and how many at once; 0: no limit. */
  readonly rateLimit: number;
  readonly rateBurst: number;
  /** 0: the proxy's own limit. */
  readonly maxInFlight: number;
  /** "": TCP. */
  readonly appSocket: string;
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
      ?.endpoints.find((e) => canonicalAddress(e.address) === canonicalAddress(address) && e.identity === identity);
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
        ...strictest(known, service.limits),
        appSocket: endpoint.appSockets?.[target] ?? (known?.appSocket || (service.appSockets?.[target] ?? "")),
      });
    }
  }
  return [...found.values()].sort((a, b) => a.port - b.port);
}

type Limits = Pick<InboundPort, "rateLimit" | "rateBurst" | "maxInFlight">;

/** Of two services with one port the stricter limit holds. A rate without a burst lets a second's worth come at once. */
function strictest(known: Limits | undefined, limits: InboundLimits = {}): Limits {
  const { ratePerClient = 0, burst = ratePerClient, inFlight = 0 } = limits;
  const least = (a: number, b: number) => (a === 0 || b === 0 ? a + b : Math.min(a, b));
  return {
    rateLimit: least(known?.rateLimit ?? 0, ratePerClient),
    rateBurst: least(known?.rateBurst ?? 0, ratePerClient === 0 ? 0 : burst),
    maxInFlight: least(known?.maxInFlight ?? 0, inFlight),
  };
}
