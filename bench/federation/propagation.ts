import { Agent, request } from "node:http";
import { CLUSTER_DOMAIN } from "../../core/defaults.ts";
import { ENDPOINT_SLICES, type Pod } from "../../kube/resources.ts";
import { LOCAL_ENDPOINTS, PEER_ENDPOINTS, stateKey } from "../../registry/state.ts";
import type { RegistryStore } from "../../registry/store.ts";
import { endpointOf, serviceName, sliceName } from "./many-services.ts";
import { EXPORTER, type FederationWorld, IMPORTER, NAMESPACE } from "./world.ts";

/** One change of an endpoint: ms from the moment before it is sent to the exporter's API server. */
export interface Change {
  /** The API server has answered. */
  readonly accepted: number;
  /** In the exporter's registry. */
  readonly exported: number;
  /** In the importer's registry. */
  readonly imported: number;
  /** A request of the client's has been answered by the new endpoint. */
  readonly used: number;
}

const PAUSE_MS = 60;
const REQUEST_EVERY_MS = 3;
const GIVE_UP_MS = 20_000;

/**
 * Moves one service from one pod to the other and back, so many times, while the client calls it through its sidecar every
 * few ms, and takes the times until the other pod answers. Requests are made from the change until then only.
 */
export async function measurePropagation(world: FederationWorld, changes: number): Promise<Change[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const service = serviceName(0);
  const found: Change[] = [];
  const stop = new AbortController();
  const exported = new LastWrite(world.store[EXPORTER], stateKey(LOCAL_ENDPOINTS, NAMESPACE, service), stop.signal);
  const imported = new LastWrite(
    world.store[IMPORTER],
    stateKey(PEER_ENDPOINTS, EXPORTER, NAMESPACE, service),
    stop.signal,
  );
  try {
    await Promise.all([exported.ready, imported.ready]);
    let [current, other] = world.pods;
    // Until the pod that is asked for first answers: what came before is no part of it.
    await pointTo(world, service, current);
    await answeredBy(world, agent, service, current.metadata.name);
    // One more than asked for: the first has connections to make that stay.
    for (let i = 0; i <= changes; i++) {
      await pause(PAUSE_MS * (1 + Math.random()));
      const sinceMs = Date.now();
      const startMs = performance.now();
      const accepted = pointTo(world, service, other).then(() => performance.now() - startMs);
      const used = (await answeredBy(world, agent, service, other.metadata.name)) - startMs;
      const acceptedMs = await accepted;
      [current, other] = [other, current];
      if (i === 0) continue;
      const at = (write: LastWrite) => Math.max(0, write.atMs - sinceMs);
      found.push({ accepted: acceptedMs, exported: at(exported), imported: at(imported), used });
    }
  } finally {
    stop.abort();
    agent.destroy();
    await Promise.all([exported.ended, imported.ended]);
  }
  return found;
}

async function pointTo({ kube }: FederationWorld, service: string, pod: Pod): Promise<void> {
  const patch = { endpoints: [endpointOf(pod)] };
  await kube[EXPORTER].mergePatch(ENDPOINT_SLICES, sliceName(service), NAMESPACE, patch);
}

/** When `pod` first answered a request. Several may be under way, so that a slow one does not hide a quick one. */
async function answeredBy({ proxy }: FederationWorld, agent: Agent, service: string, pod: string): Promise<number> {
  const host = `${service}-${EXPORTER}.${NAMESPACE}.svc.${CLUSTER_DOMAIN}`;
  return await new Promise<number>((resolve, reject) => {
    let last = "nothing";
    const end = (act: () => void) => {
      clearInterval(timer);
      clearTimeout(late);
      act();
    };
    const ask = () => {
      const path = `http://${host}/?whoami`;
      const call = request({ ...proxy, agent, path, headers: { host } }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => {
          last = `${response.statusCode} ${text.slice(0, 200)}`;
          if (text.includes(`"${pod}"`)) end(() => resolve(performance.now()));
        });
      });
      call.on("error", (error) => {
        last = error.message;
      });
      call.end();
    };
    const timer = setInterval(ask, REQUEST_EVERY_MS);
    const late = setTimeout(() => end(() => reject(new Error(`${pod} never answered ${host}: ${last}`))), GIVE_UP_MS);
  });
}

/** When a key was last written, by the store's own clock (Redis's, of this machine). */
class LastWrite {
  readonly ready: Promise<void>;
  readonly ended: Promise<void>;
  atMs = 0;

  constructor(store: RegistryStore, key: string, signal: AbortSignal) {
    const snapshot = store.read(key);
    this.ready = snapshot.then(() => {});
    this.ended = snapshot
      .then(async ({ revision }) => {
        for await (const change of store.watch(key, revision, signal)) this.atMs = revisionMs(change.revision);
      })
      .catch(() => {});
  }
}

/** A Redis store's revisions begin with ms since 1970, as registry/redis-revision.ts packs them. */
export function revisionMs(revision: bigint): number {
  return Number(revision >> 21n);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
