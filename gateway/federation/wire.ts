import { createHash } from "node:crypto";
import { MeshError } from "../../core/errors.ts";
import { identityParts, parseIdentity, type TrustDomain } from "../../core/identity.ts";
import type { GatewayAddress } from "../../core/link.ts";
import { isServiceName } from "../../core/mirror-name.ts";
import type {
  AppProtocol,
  LocalService,
  RemoteEndpoint,
  RemoteEndpoints,
  RemoteRoute,
  ServicePort,
} from "../../core/service.ts";
import type { TrustBundle } from "../../core/trust-bundle.ts";
import { decodeBundle } from "../../identity/trust-state.ts";
import type { Kind__Output } from "../../protos/gen/causeway/federation/v1/Kind.ts";
import type { Resource__Output } from "../../protos/gen/causeway/federation/v1/Resource.ts";
import type { TrustBundle__Output } from "../../protos/gen/causeway/identity/v1/TrustBundle.ts";
import { PEER_BUNDLES, PEER_ENDPOINTS, PEER_GATEWAYS, PEER_SERVICES, stateKey } from "../../registry/state.ts";
import { federationAuthority, isPort, isZone, parseGatewayAddress } from "./gateway-address.ts";
import { LIMITS } from "./limits.ts";
import { readSettings, settingsMessage } from "./service-settings.ts";

export type SyncKind = Exclude<Kind__Output, "KIND_UNSPECIFIED">;

/** In the order in which snapshots are sent: whom to believe, where to go, what there is. */
export const SYNC_KINDS: readonly SyncKind[] = ["KIND_BUNDLES", "KIND_GATEWAYS", "KIND_SERVICES", "KIND_ENDPOINTS"];

/** Under which names a peer may speak. */
export interface PeerNames {
  readonly cluster: string;
  readonly trustDomain: TrustDomain;
}

/** A resource that passed the checks, as the registry keeps it. */
export interface Received {
  readonly name: string;
  /** Registry key and value. */
  readonly key: string;
  readonly value: string;
  /** Of the value; both sides come to the same one. */
  readonly fingerprint: string;
  /** Endpoints in it, for the limit. */
  readonly endpoints: number;
  readonly bundle?: TrustBundle;
  readonly gateway?: GatewayAddress;
}

const APP_PROTOCOLS: ReadonlySet<string> = new Set<AppProtocol>(["", "http", "http2", "grpc", "opaque"]);
const PORT_NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const NAMESPACE = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const ENDPOINT_ID = /^[A-Za-z0-9:._-]{1,128}$/;

export function serviceResource(service: LocalService): Resource__Output {
  const { namespace, name, headless, sessionAffinity } = service;
  return {
    name: `${namespace}/${name}`,
    value: "service",
    service: {
      namespace,
      name,
      headless,
      sessionAffinity,
      ports: service.ports.map((port) => ({ ...port })),
      exportedAtMs: String(Math.trunc(service.export?.exportedAtMs ?? 0)),
      clusterset: service.export?.clusterset ?? false,
      settings: settingsMessage(service.settings),
    },
  };
}

export function endpointsResource(
  namespace: string,
  name: string,
  endpoints: readonly RemoteEndpoint[],
  counts: RemoteEndpoints["counts"],
): Resource__Output {
  return {
    name: `${namespace}/${name}`,
    value: "endpoints",
    endpoints: {
      namespace,
      name,
      endpoints: endpoints.map((endpoint) => ({ ...endpoint, routes: [...endpoint.routes] })),
      total: counts?.total ?? 0,
      ready: counts?.ready ?? 0,
    },
  };
}

function bundleMessage(bundle: TrustBundle): TrustBundle__Output {
  return {
    trustDomain: bundle.trustDomain,
    cluster: bundle.cluster,
    sequence: bundle.sequence.toString(),
    x509Authorities: bundle.x509Authorities.map((der) => Buffer.from(der)),
  };
}

export function bundleResource(bundle: TrustBundle): Resource__Output {
  return { name: bundle.trustDomain, value: "bundle", bundle: bundleMessage(bundle) };
}

export function gatewayResource(gateway: GatewayAddress): Resource__Output {
  return { name: federationAuthority(gateway), value: "gateway", gateway: { ...gateway } };
}

/**
 * Checks a resource that `peer` sent.
 * @throws MeshError NAME_INVALID, IDENTITY_INVALID, IDENTITY_UNEXPECTED, CERTIFICATE_INVALID, LIMIT_EXCEEDED,
 * PROTOCOL_VIOLATION
 */
export function readResource(kind: SyncKind, resource: Resource__Output, peer: PeerNames): Received {
  switch (kind) {
    case "KIND_SERVICES":
      return readService(resource, peer);
    case "KIND_ENDPOINTS":
      return readEndpoints(resource, peer);
    case "KIND_BUNDLES":
      return readBundle(resource, peer);
    case "KIND_GATEWAYS":
      return readGateway(resource, peer);
    default:
      return kind satisfies never;
  }
}

/** The registry key of `name` of `kind`. */
export function peerKey(kind: SyncKind, cluster: string, name: string): string {
  return `${STATE[kind].prefix}${cluster}/${name}`;
}

const STATE = {
  KIND_SERVICES: PEER_SERVICES,
  KIND_ENDPOINTS: PEER_ENDPOINTS,
  KIND_BUNDLES: PEER_BUNDLES,
  KIND_GATEWAYS: PEER_GATEWAYS,
} as const;

function received(name: string, key: string, value: string, endpoints: number): Received {
  if (value.length > LIMITS.updateBytes) throw tooMany("bytes", value.length, LIMITS.updateBytes, name);
  return { name, key, value, endpoints, fingerprint: createHash("sha256").update(value).digest("base64") };
}

function wrong(what: string, name: string): MeshError {
  return new MeshError("NAME_INVALID", `Cannot take ${JSON.stringify(name.slice(0, 130))}: ${what}.`);
}

function checkName(resource: Resource__Output, value: { namespace: string; name: string }): void {
  if (resource.name !== `${value.namespace}/${value.name}`)
    throw wrong("its name is not that of its value", resource.name);
  if (!NAMESPACE.test(value.namespace) || !isServiceName(value.name))
    throw wrong("it is not <namespace>/<service>", resource.name);
}

function missing(kind: SyncKind): MeshError {
  return new MeshError("PROTOCOL_VIOLATION", `Cannot take a resource of ${kind}: it has no value of that kind.`);
}

function readService(resource: Resource__Output, peer: PeerNames): Received {
  const value = resource.service;
  if (!value) throw missing("KIND_SERVICES");
  checkName(resource, value);
  if (value.ports.length > LIMITS.portsPerService)
    throw tooMany("ports", value.ports.length, LIMITS.portsPerService, resource.name);
  const seen = new Set<number>();
  const names = new Set<string>();
  const ports = value.ports.map(({ name, port, protocol, appProtocol }): ServicePort => {
    if (!isPort(port) || seen.has(port)) throw wrong("a port is out of range or there twice", resource.name);
    if ((name !== "" || value.ports.length > 1) && (!PORT_NAME.test(name) || names.has(name))) {
      throw wrong("a port's name is malformed or there twice", resource.name);
    }
    if (protocol !== "TCP") throw wrong("a port is not TCP", resource.name);
    if (!APP_PROTOCOLS.has(appProtocol)) throw wrong("a port's protocol is unknown", resource.name);
    seen.add(port);
    names.add(name);
    return { name, port, protocol, appProtocol: appProtocol as AppProtocol };
  });
  const exportedAtMs = Number(value.exportedAtMs);
  if (!Number.isSafeInteger(exportedAtMs) || exportedAtMs < 0)
    throw wrong("its time of export is out of range", resource.name);
  const { namespace, name, headless, sessionAffinity, clusterset } = value;
  const settings = readSettings(value.settings, resource.name);
  const service = {
    cluster: peer.cluster,
    namespace,
    name,
    ports,
    headless,
    sessionAffinity,
    ...(settings === undefined ? {} : { settings }),
    clusterset,
    exportedAtMs,
  };
  return received(
    resource.name,
    stateKey(PEER_SERVICES, peer.cluster, namespace, name),
    PEER_SERVICES.encode(service),
    0,
  );
}

function tooMany(what: string, count: number, limit: number, name: string): MeshError {
  return new MeshError(
    "LIMIT_EXCEEDED",
    `Cannot take ${JSON.stringify(name.slice(0, 130))}: ${count} ${what}, the limit is ${limit}.`,
  );
}

function readEndpoints(resource: Resource__Output, peer: PeerNames): Received {
  const value = resource.endpoints;
  if (!value) throw missing("KIND_ENDPOINTS");
  checkName(resource, value);
  const limit = LIMITS.endpointsPerService;
  if (value.endpoints.length > limit) throw tooMany("endpoints", value.endpoints.length, limit, resource.name);
  const routeName = new RegExp(`^[a-z2-7]{26}\\.${peer.cluster}\\.mesh$`);
  const ids = new Set<string>();
  const endpoints = value.endpoints.map((endpoint): RemoteEndpoint => {
    if (!ENDPOINT_ID.test(endpoint.id) || ids.has(endpoint.id))
      throw wrong("an endpoint's id is malformed or there twice", resource.name);
    ids.add(endpoint.id);
    if (!isZone(endpoint.zone)) throw wrong("an endpoint's zone is malformed", resource.name);
    const identity = parseIdentity(endpoint.identity);
    if (identityParts(identity).trustDomain !== peer.trustDomain) {
      throw new MeshError(
        "IDENTITY_UNEXPECTED",
        `Cannot take ${resource.name}: ${identity} is not of ${peer.cluster}'s trust domain ${peer.trustDomain}.`,
      );
    }
    if (endpoint.routes.length > LIMITS.portsPerService) {
      throw tooMany("routes of an endpoint", endpoint.routes.length, LIMITS.portsPerService, resource.name);
    }
    const routes = endpoint.routes.map((route): RemoteRoute => {
      if (!isPort(route.servicePort) || !isPort(route.targetPort))
        throw wrong("a route's port is out of range", resource.name);
      if (!routeName.test(route.routeName)) throw wrong("a route's name is not one of the peer's", resource.name);
      return { servicePort: route.servicePort, targetPort: route.targetPort, routeName: route.routeName };
    });
    return { id: endpoint.id, ready: endpoint.ready, identity, zone: endpoint.zone, routes };
  });
  const { namespace, name, total, ready } = value;
  if (total > LIMITS.endpoints || ready > total) throw wrong("its counts of endpoints are out of range", resource.name);
  const counts = total > 0 ? { counts: { total, ready } } : {};
  const set: RemoteEndpoints = { cluster: peer.cluster, namespace, name, endpoints, ...counts };
  const key = stateKey(PEER_ENDPOINTS, peer.cluster, namespace, name);
  return received(resource.name, key, PEER_ENDPOINTS.encode(set), endpoints.length);
}

/** The bundle in a message, which must be of `peer`. @throws MeshError IDENTITY_UNEXPECTED, CERTIFICATE_INVALID */
export function readBundleMessage(message: TrustBundle__Output | null | undefined, peer: PeerNames): TrustBundle {
  if (!message) throw missing("KIND_BUNDLES");
  const bundle = decodeBundle(message);
  const { trustDomain, cluster } = bundle;
  if (trustDomain !== peer.trustDomain || cluster !== peer.cluster) {
    throw new MeshError(
      "IDENTITY_UNEXPECTED",
      `Cannot take the bundle of ${trustDomain} (${cluster.slice(0, 63)}): ${peer.cluster} may only send its own, of ${peer.trustDomain}.`,
    );
  }
  // An empty bundle would mean that nothing of the peer is believed any more: that is what unlinking is for.
  if (bundle.x509Authorities.length === 0) {
    throw new MeshError("CERTIFICATE_INVALID", `Cannot take the bundle of ${trustDomain}: it has no root.`);
  }
  return bundle;
}

function readBundle(resource: Resource__Output, peer: PeerNames): Received {
  const bundle = readBundleMessage(resource.bundle, peer);
  if (resource.name !== bundle.trustDomain) throw wrong("its name is not that of its value", resource.name);
  const key = stateKey(PEER_BUNDLES, peer.cluster, bundle.trustDomain);
  return { ...received(resource.name, key, PEER_BUNDLES.encode(bundle), 0), bundle };
}

function readGateway(resource: Resource__Output, peer: PeerNames): Received {
  if (!resource.gateway) throw missing("KIND_GATEWAYS");
  const gateway = parseGatewayAddress(resource.gateway);
  if (resource.name !== federationAuthority(gateway)) throw wrong("its name is not that of its value", resource.name);
  const key = stateKey(PEER_GATEWAYS, peer.cluster, resource.name);
  return { ...received(resource.name, key, PEER_GATEWAYS.encode(gateway), 0), gateway };
}
