import { LABELS, PORTS } from "../../core/defaults.ts";
import { LOCAL_SERVICES, PEER_BUNDLES, PEER_ENDPOINTS, PEER_LINKS, stateKey } from "../../registry/state.ts";
import type { Change } from "../../registry/store.ts";
import { reached } from "../../test/support/local-mesh.ts";
import { serviceName } from "./many-services.ts";
import { revisionMs } from "./propagation.ts";
import { EXPORTER, type FederationWorld, IMPORTER, type Side } from "./world.ts";

/** Ms from the join of a link. */
export interface FirstSync {
  /** All services and endpoints are in the importer's registry, from where proxies are told. */
  readonly registryMs: number;
  /** Both sides agree by digest on all of it. */
  readonly activeMs: number;
  /** Every mirror's Service and EndpointSlice is in the importer's Kubernetes; to a second. */
  readonly mirroredMs: number;
}

const LONG_MS = 140_000;

/** Waits until the exporter's registry has all of its services. */
export async function exportsKnown({ store }: FederationWorld, services: number): Promise<void> {
  const key = stateKey(LOCAL_SERVICES, "shop", serviceName(services - 1));
  await reached("the exporter's registry has all", async () => (await store[EXPORTER].read(key)).entries.length > 0);
}

/** Links the clusters, which are not linked, and waits until all of the exporter's services are known and mirrored. */
export async function measureFirstSync(world: FederationWorld, services: number): Promise<FirstSync> {
  const bundles = `${PEER_BUNDLES.prefix}${EXPORTER}/`;
  const endpoints = `${PEER_ENDPOINTS.prefix}${EXPORTER}/`;
  let joinedMs: number | undefined;
  let known = 0;
  let registryMs = 0;
  let activeMs: number | undefined;
  const watching = watchChanges(world, IMPORTER, ({ key, value, revision }) => {
    const atMs = revisionMs(revision);
    if (key.startsWith(bundles)) joinedMs ??= atMs;
    else if (key.startsWith(endpoints) && value !== undefined && ++known === services) registryMs = atMs;
    else if (isActive(key, value)) activeMs ??= atMs;
  });
  try {
    await watching.ready;
    await world.mesh.meshOutput("link", "--context", EXPORTER);
    await reached("the link is active", () => registryMs > 0 && activeMs !== undefined, LONG_MS);
    await reached("all are mirrored", async () => (await mirrored(world)) >= services, LONG_MS);
  } finally {
    await watching.stop();
  }
  const from = joinedMs ?? Number.NaN;
  return {
    registryMs: registryMs - from,
    activeMs: (activeMs ?? Number.NaN) - from,
    mirroredMs: Date.now() - from,
  };
}

/** Takes the link away, and waits until its mirrors are gone. */
export async function unlink(world: FederationWorld): Promise<void> {
  await world.mesh.meshOutput("unlink", EXPORTER);
  await reached("no mirrors are left", async () => (await mirrored(world)) === 0, LONG_MS);
}

/** How long each role takes from SIGKILL until it is back as it was, the supervisor's and Node's start included. */
export interface Restarts {
  /** The importer's gateway: the link is agreed on again. */
  readonly gateway: number;
  /** The importer's control and mirror: ready, with the registry read. */
  readonly control: number;
  readonly mirror: number;
  /** Its Redis, which comes back empty: all endpoints of the peer are in it again. */
  readonly registry: number;
}

export async function measureRestarts(world: FederationWorld, services: number): Promise<Restarts> {
  const gateway = await linkAgain(world);
  const control = await readyAgain(world, "control");
  const mirror = await readyAgain(world, "mirror");
  const registry = await filledAgain(world, services);
  return { gateway, control, mirror, registry };
}

async function linkAgain(world: FederationWorld): Promise<number> {
  let lost = false;
  let agreedMs = 0;
  const watching = watchChanges(world, IMPORTER, ({ key, value, revision }) => {
    if (!key.startsWith(stateKey(PEER_LINKS, EXPORTER))) return;
    if (!isActive(key, value)) lost = true;
    else if (lost && agreedMs === 0) agreedMs = revisionMs(revision);
  });
  try {
    await watching.ready;
    const sinceMs = Date.now();
    await world.mesh.kill(IMPORTER, "gateway");
    await reached("the link is active again", () => agreedMs > 0, LONG_MS);
    return agreedMs - sinceMs;
  } finally {
    await watching.stop();
  }
}

async function readyAgain({ mesh }: FederationWorld, role: "control" | "mirror"): Promise<number> {
  const startMs = performance.now();
  await mesh.kill(IMPORTER, role);
  const url = `http://${mesh.layout(IMPORTER)[role]}:${PORTS.admin}/ready`;
  await reached(`${role} is ready`, async () => (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok);
  return performance.now() - startMs;
}

async function filledAgain(world: FederationWorld, services: number): Promise<number> {
  const startMs = performance.now();
  await world.mesh.kill(IMPORTER, "redis");
  const prefix = `${PEER_ENDPOINTS.prefix}${EXPORTER}/`;
  const full = async () => (await world.store[IMPORTER].read(prefix)).entries.length >= services;
  await reached("the registry is full again", full, LONG_MS);
  return performance.now() - startMs;
}

/** Mirrors of which Service and EndpointSlice are there. */
async function mirrored({ mesh }: FederationWorld): Promise<number> {
  const selector = `limit=1&labelSelector=${encodeURIComponent(`${LABELS.originCluster}=${EXPORTER}`)}`;
  const count = async (path: string) => {
    const text = await mesh.kubectl(IMPORTER, "get", "--raw", `${path}?${selector}`);
    const list = JSON.parse(text) as { items: unknown[]; metadata: { remainingItemCount?: number } };
    return list.items.length + (list.metadata.remainingItemCount ?? 0);
  };
  await new Promise((resolve) => setTimeout(resolve, 900));
  return Math.min(await count("/api/v1/services"), await count("/apis/discovery.k8s.io/v1/endpointslices"));
}

function isActive(key: string, value: string | undefined): boolean {
  return key === stateKey(PEER_LINKS, EXPORTER) && value !== undefined && PEER_LINKS.decode(value).active;
}

interface Watching {
  readonly ready: Promise<void>;
  stop(): Promise<void>;
}

/** Tells every change of a cluster's registry from now on. */
export function watchChanges({ store }: FederationWorld, side: Side, listener: (change: Change) => void): Watching {
  const abort = new AbortController();
  const snapshot = store[side].read("peer/link/");
  const ended = snapshot
    .then(async ({ revision }) => {
      for await (const change of store[side].watch("peer/", revision, abort.signal)) listener(change);
    })
    .catch((error: unknown) => {
      if (!abort.signal.aborted) console.error(`The watch of ${side}'s registry ended: ${String(error)}`);
    });
  return {
    ready: snapshot.then(() => {}),
    async stop() {
      abort.abort();
      await ended;
    },
  };
}
