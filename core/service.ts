import type { Identity } from "./identity.ts";
import type { RetrySettings, TimeoutSettings } from "./route.ts";

/** How a port speaks; "" means detection by first bytes. */
export type AppProtocol = "" | "http" | "http2" | "grpc" | "opaque";

export interface ServicePort {
  readonly name: string;
  readonly port: number;
  readonly protocol: "TCP";
  readonly appProtocol: AppProtocol;
}

/** `<namespace>/<name>` */
export type ServiceKey = `${string}/${string}`;

export function serviceKey(namespace: string, name: string): ServiceKey {
  return `${namespace}/${name}`;
}

/** Ports that speak server first, or are never HTTP; opaque by default (as Linkerd's list). */
export const OPAQUE_PORTS: ReadonlySet<number> = new Set([25, 587, 3306, 4444, 5432, 6379, 9300, 11211]);

/** How clients are to call a service, where it says so. Goes with an export. */
export interface ServiceSettings {
  readonly timeouts?: TimeoutSettings;
  readonly retry?: RetrySettings;
  /** A client is kept at one endpoint for as long. */
  readonly affinitySeconds?: number;
  readonly maxConnectionAgeMs?: number;
  /** Endpoints in the client's own zone first. */
  readonly preferZone?: boolean;
}

/** What the proxies of a service's own Pods hold callers to; absent is no limit. */
export interface InboundLimits {
  /** Requests a second of one client identity. */
  readonly ratePerClient?: number;
  /** How many of them may come at once. */
  readonly burst?: number;
  /** Requests under way at one Pod. */
  readonly inFlight?: number;
}

/** A Service of this cluster, as the registry holds it. */
export interface LocalService {
  readonly namespace: string;
  readonly name: string;
  readonly ports: readonly ServicePort[];
  readonly headless: boolean;
  readonly clusterIps: readonly string[];
  readonly sessionAffinity: boolean;
  readonly settings?: ServiceSettings;
  readonly limits?: InboundLimits;
  /** Unix socket on which the app takes connections, by app port. */
  readonly appSockets?: Readonly<Record<string, string>>;
  /** Absent: not exported. */
  readonly export?: ServiceExport;
}

export interface ServiceExport {
  /** Clusters it is exported to; "all" is every linked one. */
  readonly to: "all" | readonly string[];
  /** By ServiceExport (joins the clusterset name), or only by label (mirrored). */
  readonly clusterset: boolean;
  readonly exportedAtMs: number;
}

/** Whether `service` is exported to `cluster`. */
export function isExportedTo(service: LocalService, cluster: string): boolean {
  const to = service.export?.to;
  return to === "all" || (to?.includes(cluster) ?? false);
}

/** A Pod behind a Service of this cluster. */
export interface LocalEndpoint {
  /** The Pod's UID, or the address where there is no Pod. */
  readonly id: string;
  readonly address: string;
  readonly ready: boolean;
  /** App port by Service port number. */
  readonly ports: Readonly<Record<string, number>>;
  /** Absent: no sidecar. */
  readonly identity?: Identity;
  /** Inbound port of its sidecar; 0 where there is none. */
  readonly proxyPort: number;
  readonly zone: string;
  readonly pod: string;
  /** As LocalService's, of the Pod itself; it wins. */
  readonly appSockets?: Readonly<Record<string, string>>;
}

/** All endpoints of a Service of this cluster. */
export interface LocalEndpoints {
  readonly namespace: string;
  readonly name: string;
  readonly endpoints: readonly LocalEndpoint[];
}

/** A Service that a linked cluster exports to us. */
export interface RemoteService {
  readonly cluster: string;
  readonly namespace: string;
  readonly name: string;
  readonly ports: readonly ServicePort[];
  readonly headless: boolean;
  readonly sessionAffinity: boolean;
  readonly settings?: ServiceSettings;
  readonly clusterset: boolean;
  readonly exportedAtMs: number;
}

/** A Pod behind a remote Service: no address, only routes through the gateway. */
export interface RemoteEndpoint {
  readonly id: string;
  readonly ready: boolean;
  readonly identity: Identity;
  readonly zone: string;
  readonly routes: readonly RemoteRoute[];
}

export interface RemoteRoute {
  readonly servicePort: number;
  readonly targetPort: number;
  /** TLS SNI at the gateway. */
  readonly routeName: string;
}

export interface RemoteEndpoints {
  readonly cluster: string;
  readonly namespace: string;
  readonly name: string;
  readonly endpoints: readonly RemoteEndpoint[];
  /** Of all that the service has, where `endpoints` is but a part of them. */
  readonly counts?: { readonly total: number; readonly ready: number };
}
