import { systemClock } from "../../core/clock.ts";
import { SERVICE_ACCOUNTS, SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { defaultTrustDomain } from "../../core/identity.ts";
import { type Log, silentLog } from "../../core/log.ts";
import { seededRandom } from "../../core/random.ts";
import type { LocalEndpoint, LocalService } from "../../core/service.ts";
import { createJoinToken } from "../../gateway/federation/join-token.ts";
import { type Gateway, type GatewayDeps, startGateway } from "../../gateway/gateway.ts";
import type { RouteTable } from "../../gateway/route-table.ts";
import { rootFingerprint } from "../../identity/certificate.ts";
import { LINKS, type Link, NAMESPACES, SECRETS, type Secret } from "../../kube/resources.ts";
import {
  LOCAL_BUNDLE,
  LOCAL_ENDPOINTS,
  LOCAL_READY,
  LOCAL_SERVICES,
  type StateKind,
  stateKey,
} from "../../registry/state.ts";
import type { Mutation } from "../../registry/store.ts";
import { FakeKube } from "./fake-kube.ts";
import { FaultyStore } from "./faulty-store.ts";
import { createTestMesh, type TestMesh, type TestWorkload } from "./mesh-identity.ts";

export function localService(namespace: string, name: string, to: "all" | readonly string[] | undefined): LocalService {
  const ports = [{ name: "http", port: 80, protocol: "TCP" as const, appProtocol: "http" as const }];
  const base = { namespace, name, ports, headless: false, clusterIps: ["10.0.0.1"], sessionAffinity: false };
  return to === undefined ? base : { ...base, export: { to, clusterset: true, exportedAtMs: 1_000 } };
}

/** A cluster with its gateway, over real sockets and certificates; Kubernetes and the registry are in memory. */
export class GatewayWorld {
  readonly cluster: string;
  readonly kube = new FakeKube();
  readonly store = new FaultyStore(systemClock);
  readonly mesh: TestMesh;
  readonly workload: TestWorkload;
  readonly #abort: AbortController;
  readonly #log: Log;
  #starts = 0;
  gateway: Gateway | undefined;
  routes: RouteTable | undefined;
  port = 0;

  constructor(cluster: string, mesh: TestMesh, workload: TestWorkload, abort: AbortController, log: Log) {
    this.cluster = cluster;
    this.mesh = mesh;
    this.workload = workload;
    this.#abort = abort;
    this.#log = log;
    this.kube.seed(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: SYSTEM_NAMESPACE } });
  }

  static async create(cluster: string, log: Log = silentLog): Promise<GatewayWorld> {
    const mesh = await createTestMesh(cluster, systemClock.wallMs());
    const abort = new AbortController();
    const identity = mesh.identity(SYSTEM_NAMESPACE, SERVICE_ACCOUNTS.gateway);
    const workload = await mesh.workload(identity, [], systemClock, abort.signal);
    const world = new GatewayWorld(cluster, mesh, workload, abort, log);
    await world.write(LOCAL_BUNDLE, { [`${cluster}.mesh`]: mesh.authority.bundle });
    await world.write(LOCAL_SERVICES, { "default/kubernetes": localService("default", "kubernetes", undefined) });
    await world.write(LOCAL_READY, { mirror: { sinceMs: 1 } });
    return world;
  }

  /** Writes as control or mirror would; undefined deletes. */
  async write<T>(kind: StateKind<T>, values: Record<string, T | undefined>): Promise<void> {
    const fence = await this.store.acquire("others", "test", 60_000);
    if (fence === undefined) throw new Error("lease");
    const mutations = Object.entries(values).map(([name, value]): Mutation => {
      const key = stateKey(kind, name);
      return value === undefined ? { key } : { key, value: kind.encode(value) };
    });
    await this.store.write(mutations, fence);
  }

  /** A Service with endpoints at `addresses`. */
  async serve(
    namespace: string,
    name: string,
    to: "all" | readonly string[] | undefined,
    addresses: readonly string[],
  ): Promise<void> {
    const identity = this.mesh.identity(namespace, name);
    const endpoints = addresses.map(
      (address): LocalEndpoint => ({
        id: `uid-${address}`,
        address,
        ready: true,
        ports: { "80": 8080 },
        identity,
        proxyPort: 4143,
        zone: "",
        pod: address,
      }),
    );
    await this.write(LOCAL_SERVICES, { [`${namespace}/${name}`]: localService(namespace, name, to) });
    await this.write(LOCAL_ENDPOINTS, { [`${namespace}/${name}`]: { namespace, name, endpoints } });
  }

  async start(over: Partial<GatewayDeps> = {}): Promise<void> {
    this.gateway = await this.replica({ federation: { host: "127.0.0.1", port: this.port }, ...over });
    this.port = this.gateway.federationPort;
  }

  /** One gateway more, which the caller closes. */
  replica(over: Partial<GatewayDeps> = {}): Promise<Gateway> {
    const host = "127.0.0.1";
    return startGateway({
      cluster: this.cluster,
      trustDomain: defaultTrustDomain(this.cluster),
      kube: this.kube,
      store: this.store,
      identity: this.workload,
      federation: { host, port: 0 },
      advertise: { host, relayPort: 4143, federationPort: 0, zone: "" },
      holder: `${this.cluster}-${++this.#starts}`,
      clock: systemClock,
      random: seededRandom(1),
      log: this.#log.child({ cluster: this.cluster }),
      onRoutes: (routes) => {
        this.routes = routes;
      },
      signal: this.#abort.signal,
      ...over,
    });
  }

  async stop(): Promise<void> {
    await this.gateway?.close();
    this.gateway = undefined;
  }

  async close(): Promise<void> {
    await this.stop();
    this.#abort.abort();
    await this.store.close();
  }

  get rootFingerprint(): string {
    return rootFingerprint(this.mesh.root.certificate.raw);
  }

  /** A token of this cluster, its record stored. */
  async token(
    options: { forCluster?: string; ttlMs?: number; nowMs?: number; rootFingerprint?: string } = {},
  ): Promise<string> {
    const gateways = [{ host: "127.0.0.1", relayPort: 4143, federationPort: this.port, zone: "" }];
    const trustDomain = defaultTrustDomain(this.cluster);
    const base = {
      cluster: this.cluster,
      trustDomain,
      gateways,
      rootFingerprint: this.rootFingerprint,
      nowMs: systemClock.wallMs(),
    };
    const { text, manifest } = createJoinToken({ ...base, ...options });
    await this.kube.create<Secret>(SECRETS, manifest);
    return text;
  }

  /** Makes the Link and its Secret as `mesh link` does on the consuming side. */
  async link(peer: GatewayWorld, token: string, over: Partial<Link["spec"]> = {}): Promise<void> {
    const secretName = `causeway-link-${peer.cluster}`;
    await this.kube.create<Secret>(SECRETS, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: secretName, namespace: SYSTEM_NAMESPACE },
      data: { token: Buffer.from(token).toString("base64") },
    });
    const gateways = [{ host: "127.0.0.1", relayPort: 4143, federationPort: peer.port }];
    await this.kube.create<Link>(LINKS, {
      apiVersion: "causeway.dev/v1alpha1",
      kind: "Link",
      metadata: { name: peer.cluster },
      spec: {
        cluster: peer.cluster,
        trustDomain: `${peer.cluster}.mesh`,
        gateways,
        rootFingerprint: peer.rootFingerprint,
        dial: true,
        import: true,
        export: true,
        secretName,
        ...over,
      },
    });
  }

  async phase(peer: string): Promise<string | undefined> {
    return (await this.kube.get<Link>(LINKS, peer))?.status?.phase;
  }

  async condition(
    peer: string,
    type: string,
  ): Promise<{ status: string; reason: string; message: string } | undefined> {
    return (await this.kube.get<Link>(LINKS, peer))?.status?.conditions?.find((condition) => condition.type === type);
  }

  /** Who has the lease now. */
  async holderOf(lease: string): Promise<string | undefined> {
    return (await this.store.status()).leases.find((status) => status.lease === lease)?.holder;
  }

  /** Keys of the registry under `prefix`. */
  async keys(prefix: string): Promise<string[]> {
    return (await this.store.read(prefix)).entries.map((entry) => entry.key);
  }

  async value<T>(kind: StateKind<T>, ...name: string[]): Promise<T | undefined> {
    const key = stateKey(kind, ...name);
    const entry = (await this.store.read(key)).entries.find((candidate) => candidate.key === key);
    return entry && kind.decode(entry.value);
  }
}
