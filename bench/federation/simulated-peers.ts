import { randomBytes } from "node:crypto";
import { systemClock } from "../../core/clock.ts";
import { HEALTH, SERVICE_ACCOUNTS, SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { defaultTrustDomain } from "../../core/identity.ts";
import { silentLog } from "../../core/log.ts";
import type { LocalService } from "../../core/service.ts";
import { type RouteKey, remoteEndpoint } from "../../gateway/federation/exported-endpoints.ts";
import type { InboxSink } from "../../gateway/federation/inbox.ts";
import type { OutboxSource } from "../../gateway/federation/outbox.ts";
import { grpcDialer } from "../../gateway/federation/sync-grpc.ts";
import { endText, SyncSession } from "../../gateway/federation/sync-session.ts";
import {
  bundleResource,
  endpointsResource,
  gatewayResource,
  type SyncKind,
  serviceResource,
} from "../../gateway/federation/wire.ts";
import { rootFingerprint } from "../../identity/certificate.ts";
import type { Resource__Output } from "../../protos/gen/causeway/federation/v1/Resource.ts";
import { createTestMesh, type TestMesh } from "../../test/support/mesh-identity.ts";
import type { FederationCommand, PeerAccount } from "./load-commands.ts";

interface Peer {
  readonly cluster: string;
  readonly mesh: TestMesh;
  readonly linkSecret: Uint8Array;
}

type DialCommand = Extract<FederationCommand, { readonly kind: "dial" }>;

/** Of each link: nobody joined, so it is what many-peers.ts says. */
const EPOCH = 1n;
/** A gateway holds those off that dial too often. */
const REDIAL_MS = 1_000;
const GIVE_UP_MS = 60_000;

/** Clusters of which there is only the federation stream: certificates, TLS and the protocol's both sides are real. */
export class SimulatedPeers {
  #waiting: Peer[] = [];

  /** CAs and link secrets of more peers, which are to be linked before they dial. */
  async make(from: number, to: number): Promise<PeerAccount[]> {
    const peers: Peer[] = [];
    for (let i = from; i < to; i++) {
      const cluster = `peer-${String(i).padStart(3, "0")}`;
      const mesh = await createTestMesh(cluster, systemClock.wallMs());
      peers.push({ cluster, mesh, linkSecret: new Uint8Array(randomBytes(32)) });
    }
    this.#waiting = peers;
    return peers.map(({ cluster, mesh, linkSecret }) => ({
      cluster,
      root: mesh.root.certificate.raw.toString("base64"),
      fingerprint: rootFingerprint(mesh.root.certificate.raw),
      linkSecret: Buffer.from(linkSecret).toString("base64"),
    }));
  }

  /** The peers made last dial, all at once; resolves when each has agreed with the other side on everything. */
  async dial(command: DialCommand): Promise<void> {
    const peers = this.#waiting.splice(0);
    await Promise.all(peers.map((peer) => dialOne(peer, command)));
  }
}

async function dialOne({ cluster, mesh, linkSecret }: Peer, command: DialCommand): Promise<void> {
  const trustDomain = defaultTrustDomain(command.cluster);
  const x509Authorities = [new Uint8Array(Buffer.from(command.root, "base64"))];
  const other = { trustDomain, cluster: command.cluster, sequence: 1n, x509Authorities };
  const identity = mesh.identity(SYSTEM_NAMESPACE, SERVICE_ACCOUNTS.gateway);
  const workload = await mesh.workload(identity, [other], systemClock, new AbortController().signal);
  const dial = grpcDialer(workload.tls, systemClock);
  const own = { cluster, trustDomain: defaultTrustDomain(cluster) };
  const untilMs = performance.now() + GIVE_UP_MS;
  for (;;) {
    let onChange = () => {};
    const session = new SyncSession(dial({ trustDomain, cluster: command.cluster }, command.gateway), {
      own,
      peer: { cluster: command.cluster, trustDomain },
      epoch: EPOCH,
      wantsImport: true,
      offersExport: true,
      sources: sourcesOf(cluster, mesh, { linkSecret, epoch: EPOCH, cluster }, command),
      sink: FORGETFUL,
      heartbeatMs: HEALTH.heartbeatMs,
      clock: systemClock,
      log: silentLog,
      observer: {
        onHello() {},
        onHeartbeat() {},
        onRtt() {},
        onAgreed() {},
        onRefused() {},
        onRefusedByPeer() {},
        onChange: () => onChange(),
      },
    });
    const agreed = new Promise<true>((resolve) => {
      onChange = () => session.agreed && resolve(true);
    });
    // The gateway may not know of the Link yet, and refuses.
    const end = await Promise.race([agreed, session.done]);
    if (end === true) return;
    if (performance.now() > untilMs) throw new Error(`${cluster} was never agreed with: ${endText(end)}`);
    await new Promise((resolve) => setTimeout(resolve, REDIAL_MS));
  }
}

/** Takes everything and keeps nothing. */
const FORGETFUL: InboxSink = { admit() {}, async apply() {} };

function sourcesOf(
  cluster: string,
  mesh: TestMesh,
  key: RouteKey,
  { services, namespace }: DialCommand,
): Record<SyncKind, OutboxSource> {
  const identity = mesh.identity(namespace, "app");
  const all = Array.from({ length: services }, (_, i): LocalService => {
    const ports = [{ name: "http", port: 80, protocol: "TCP" as const, appProtocol: "http" as const }];
    const base = { namespace, name: `app-${i}`, ports, headless: false, clusterIps: [], sessionAffinity: false };
    return { ...base, export: { to: "all", clusterset: false, exportedAtMs: 1_000 } };
  });
  const endpoint = { id: "pod-0", address: "127.0.0.1", ready: true, ports: { "80": 8_080 }, proxyPort: 4_143 };
  const endpoints = (service: LocalService) =>
    endpointsResource(
      namespace,
      service.name,
      [remoteEndpoint(service, { ...endpoint, identity, zone: "", pod: "pod-0" }, key)],
      undefined,
    );
  const gateway = { host: "127.0.0.1", relayPort: 4_143, federationPort: 4_180, zone: "" };
  return {
    KIND_SERVICES: sourceOf(all.map(serviceResource)),
    KIND_ENDPOINTS: sourceOf(all.map(endpoints)),
    KIND_BUNDLES: sourceOf([bundleResource({ ...mesh.authority.bundle, cluster })]),
    KIND_GATEWAYS: sourceOf([gatewayResource(gateway)]),
  };
}

function sourceOf(resources: readonly Resource__Output[]): OutboxSource {
  const byName = new Map(resources.map((resource) => [resource.name, resource]));
  return { ready: true, names: () => byName.keys(), resource: (name) => byName.get(name) };
}
